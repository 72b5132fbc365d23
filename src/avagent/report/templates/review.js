"use strict";
(() => {
  const { clips, keys, go, current } = window.avagentPage;
  const form = document.getElementById("rules");
  const told = document.getElementById("reviewed");
  const place = `avagent-review ${form.dataset.fingerprint} ${document.querySelector("h1").textContent}`;
  const judged = clips.filter((clip) => clip.querySelector(".decide"));
  const edits = new Map(judged.map((clip) => [clip, JSON.parse(clip.dataset.edits)]));
  const inputs = (clip) => [...clip.querySelectorAll(".decide input")];
  const verdict = (clip) => inputs(clip).find((input) => input.checked).value;

  function rules() {
    const found = [];
    for (const box of form.querySelectorAll("input[type=checkbox]")) {
      const below = form.elements[`${box.name}-below`];
      if (box.checked) found.push({ action: box.name });
      else if (below && below.value && below.validity.valid) found.push({ action: box.name, below: Number(below.value) });
    }
    return found;
  }
  const hits = (rule, edit) => rule.action === edit.kind && (rule.below === undefined || edit.confidence < rule.below);
  const said = (rule) => "no " + rule.action.replaceAll("_", " ") + (rule.below === undefined ? "" : ` under ${rule.below}`);

  function show() {
    const all = rules();
    let accepted = 0, rejected = 0, byRules = 0;
    for (const clip of judged) {
      const word = verdict(clip);
      const rule = word ? undefined : all.find((one) => edits.get(clip).some((edit) => hits(one, edit)));
      clip.classList.toggle("accepted", word === "accepted");
      clip.classList.toggle("rejected", word === "rejected" || rule !== undefined);
      clip.querySelector(".by-rules").textContent = rule ? `rejected by a rule: ${said(rule)}` : "";
      accepted += word === "accepted";
      rejected += word === "rejected";
      byRules += rule !== undefined;
    }
    told.value = `${accepted} accepted, ${rejected} rejected, ${byRules} by rules, ${judged.length - accepted - rejected - byRules} as decided`;
    keep();
  }

  function review() {
    return {
      format: "avagent-review-v1",
      fingerprint: form.dataset.fingerprint,
      reviewer: form.elements.reviewer.value.trim(),
      rules: rules(),
      clips: judged.filter(verdict).map((clip) => ({
        key: clip.dataset.key, shard: clip.dataset.shard, content_sha256: clip.dataset.sha, verdict: verdict(clip),
      })),
    };
  }
  function save() {
    const file = new Blob([JSON.stringify(review(), null, 1) + "\n"], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = "review.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // A browser may refuse to keep anything for a page from a file: then only what is saved is kept.
  function keep() {
    try { localStorage.setItem(place, JSON.stringify(review())); } catch { /* as told */ }
  }
  function restore() {
    let kept;
    try { kept = JSON.parse(localStorage.getItem(place)); } catch { return; }
    if (!kept || kept.format !== "avagent-review-v1") return;
    form.elements.reviewer.value = kept.reviewer;
    for (const rule of kept.rules) {
      if (rule.below === undefined) form.elements[rule.action].checked = true;
      else form.elements[`${rule.action}-below`].value = rule.below;
    }
    const words = new Map(kept.clips.map((clip) => [`${clip.shard} ${clip.content_sha256} ${clip.key}`, clip.verdict]));
    for (const clip of judged) {
      const word = words.get(`${clip.dataset.shard} ${clip.dataset.sha} ${clip.dataset.key}`);
      if (word) inputs(clip).find((input) => input.value === word).checked = true;
    }
  }

  function judge(word) {
    const clip = current() || go(1);
    if (!clip || !edits.has(clip)) return;
    inputs(clip).find((input) => input.value === word).checked = true;
    show();
    go(1);
  }
  Object.assign(keys, { y: () => judge("accepted"), n: () => judge("rejected"), u: () => judge("") });
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("clips").addEventListener("change", (event) => { if (event.target.closest(".decide")) show(); });
  document.getElementById("save").addEventListener("click", save);
  restore();
  show();
})();
