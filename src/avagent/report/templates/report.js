"use strict";
(() => {
  const clips = [...document.querySelectorAll(".clip")];
  const form = document.getElementById("filters");
  const shown = document.getElementById("shown");
  const none = document.getElementById("none-shown");
  const text = new Map(clips.map((clip) => [clip, clip.textContent.toLowerCase()]));
  const visible = () => clips.filter((clip) => !clip.hidden);

  function filter() {
    const wanted = Object.fromEntries(new FormData(form));
    const words = (wanted.text || "").toLowerCase();
    delete wanted.text;
    for (const clip of clips) {
      const fits = Object.entries(wanted).every(([name, value]) => !value || clip.dataset[name].split("|").includes(value));
      clip.hidden = !fits || !text.get(clip).includes(words);
    }
    const count = visible().length;
    shown.value = count === clips.length ? `${count} clips` : `${count} of ${clips.length} clips`;
    none.hidden = count > 0;
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));

  // A clip that is linked to is shown, whatever the filters say.
  function follow() {
    let anchor;
    try { anchor = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const clip = anchor && clips.find((one) => one.id === anchor);
    if (!clip) return;
    if (clip.hidden) { form.reset(); filter(); }
    clip.focus({ preventScroll: true });
    clip.scrollIntoView({ block: "start" });
  }
  addEventListener("hashchange", follow);

  for (const video of document.querySelectorAll("video")) {
    const still = video.closest(".clip").querySelector(".strip img");
    if (still) video.poster = still.src;
  }
  // One sound at a time.
  document.addEventListener("play", (event) => {
    for (const other of document.querySelectorAll("video, audio")) if (other !== event.target) other.pause();
  }, true);

  const current = () => document.activeElement && document.activeElement.closest(".clip");
  function go(step) {
    const list = visible();
    if (!list.length) return null;
    const at = list.indexOf(current());
    const next = at < 0 ? (step > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + step));
    list[next].focus({ preventScroll: true });
    list[next].scrollIntoView({ block: "start" });
    return list[next];
  }
  function player(which) {
    const clip = current() || go(1);
    return clip && clip.querySelector(`video.${which}, audio.${which}`);
  }
  // What is stopped before it began has nothing to tell.
  const start = (one) => one.play().catch(() => {});
  function play(which) {
    const found = player(which);
    if (found) { found.currentTime = 0; start(found); }
  }
  function swap() {
    const clip = current();
    const both = clip ? [...clip.querySelectorAll("video, audio")] : [];
    if (both.length < 2) return;
    const from = both.find((one) => !one.paused) || both[0];
    const to = both.find((one) => one !== from);
    to.currentTime = from.currentTime;
    start(to);
  }
  const stop = () => document.querySelectorAll("video, audio").forEach((one) => one.pause());
  const search = () => form.elements.text.focus();
  const keys = { j: () => go(1), k: () => go(-1), b: () => play("before"), a: () => play("after"), x: swap, s: stop, "/": search };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.closest("select, textarea, input:not([type=radio]):not([type=checkbox])");
    if (field) { if (event.key === "Escape") field.blur(); return; }
    const action = keys[event.key];
    if (action) { event.preventDefault(); action(); }
  });
  window.avagentPage = { clips, keys, go, current, filter };
  filter();
  follow();
})();
