"""Does the embedded planner find known faults, does the loop mend them, and does it leave clean clips alone?

    python bench/planner_embedded.py [--every N] [--faults NAME,...] [--output FOLDER]

Every clean clip is refined as it is; then with one fault at a time. Per fault: how often the first candidate is of a
kind that mends it, how often an action of such a kind was accepted within three rounds, and how the sound's distance
to the clean one changed where the fault leaves one (SI-SDR, Le Roux et al. 2019, doi:10.1109/ICASSP.2019.8683855).
"""

from __future__ import annotations

import argparse
import json
import statistics
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _array_clips import ArrayView, load, recordings, scenes
from _reflection_loop import Ports, caption, decide_clip

from avagent.core.actions import EXTENDED_ACTIONS, Action, action_to_dict
from avagent.core.decide import Accept, Policy, decide
from avagent.core.errors import ClipError
from avagent.core.facts import Facts
from avagent.core.history import Base, History
from avagent.core.plan import Plan
from avagent.core.ports import PlanRequest, Scorer
from avagent.core.scores import Scores
from avagent.dsp.faults import Clipping, Dropouts, Fault, HumFault, Lag, Level, Noise, SpeedChange, inject
from avagent.models.registry import build_captioner, build_planner, build_scorer

FAULTS: Mapping[str, Fault] = {
    "white 0 dB": Noise(snr_db=0.0, colour="white"),
    "white 5 dB": Noise(snr_db=5.0, colour="white"),
    "white 10 dB": Noise(snr_db=10.0, colour="white"),
    "pink 0 dB": Noise(snr_db=0.0, colour="pink"),
    "pink 5 dB": Noise(snr_db=5.0, colour="pink"),
    "pink 10 dB": Noise(snr_db=10.0, colour="pink"),
    "brown 5 dB": Noise(snr_db=5.0, colour="brown"),
    "blue 5 dB": Noise(snr_db=5.0, colour="blue"),
    "hum 5 dB": HumFault(snr_db=5.0),
    "hum 10 dB": HumFault(snr_db=10.0, fundamental_hz=60.0),
    "dropouts": Dropouts(lengths_ms=(20.0, 40.0, 60.0, 100.0)),
    "level -20 dB": Level(gain_db=-20.0),
    "level +12 dB": Level(gain_db=12.0),
    "clipping 12 dB": Clipping(drive_db=12.0),
    "lag -600 ms": Lag(milliseconds=-600.0),
    "lag -250 ms": Lag(milliseconds=-250.0),
    "lag -100 ms": Lag(milliseconds=-100.0),
    "lag +100 ms": Lag(milliseconds=100.0),
    "lag +250 ms": Lag(milliseconds=250.0),
    "lag +600 ms": Lag(milliseconds=600.0),
    "speed 0.92": SpeedChange(factor=0.92),
    "speed 0.96": SpeedChange(factor=0.96),
    "speed 1.04": SpeedChange(factor=1.04),
    "speed 1.08": SpeedChange(factor=1.08),
}
SAMPLE_EXACT = ("white", "pink", "brown", "blue", "hum", "dropouts", "clipping")
"""Faults whose repair can be compared with the clean sound sample by sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One clip, refined.

    Attributes:
        clip, fault: which; None: left clean.
        evaluable: alignment, synchronization.
        first: kinds of the first candidate; empty: the planner found nothing.
        accepted: actions that left with the clip.
        right: whether a first, an accepted kind mends the fault.
        gain_db: SI-SDR after minus before.
        before, after: alignment and synchronization.
        tried: kinds and scores of every round.
    """

    clip: str
    fault: str | None
    evaluable: tuple[bool, bool]
    first: tuple[str, ...]
    accepted: tuple[Action, ...]
    right_first: bool
    right_accepted: bool
    gain_db: float | None
    before: tuple[float | None, float | None]
    after: tuple[float | None, float | None]
    rounds: int
    facts: Facts
    tried: tuple[tuple[tuple[str, ...], tuple[float | None, float | None]], ...] = ()


def false_alarms() -> str:
    """On recordings as they come: which are taken for faulty, and why."""
    planner, lines, count = build_planner("embedded"), [], 0
    for view in recordings():
        count += 1
        request = PlanRequest(
            key=view.key,
            captions=caption(view, build_captioner("embedded")),
            facts=view.facts(),
            history=History(original=Scores(alignment=0.5, synchronization=None)),
            base=Base.ORIGINAL,
            allowed=EXTENDED_ACTIONS,
        )
        candidates = planner.plan([request])[0]
        if not isinstance(candidates, ClipError) and candidates:
            lines.append(f"- {view.key}: {candidates[0].rationale}")
    return "\n".join([f"Recordings as they come: {count}; planned for {len(lines)}:", *lines]) + "\n"


def refine(view: ArrayView, scorer: Scorer, policy: Policy) -> tuple[History, tuple[Plan, ...]]:
    """The loop as it runs, reflection and all, on one clip, and the first candidates."""
    planner, captioner = build_planner("embedded"), build_captioner("embedded")
    captions = caption(view, captioner)
    ports = Ports(captioner=captioner, planner=planner, scorer=scorer)
    history = decide_clip(view, ports, policy, captions).history
    if history is None:
        raise ValueError(f"clip {view.key} was not scored")
    request = PlanRequest(
        key=view.key,
        captions=captions,
        facts=view.facts(),
        history=History(original=history.original),
        base=Base.ORIGINAL,
        allowed=EXTENDED_ACTIONS,
    )
    candidates = planner.plan([request])[0]
    if isinstance(candidates, ClipError):
        raise candidates
    return history, tuple(candidates)


def trial(clean: ArrayView, name: str | None, scorer: Scorer, policy: Policy) -> Trial:
    """Refine a clip with a fault, or without."""
    view, repairs = clean, frozenset[str]()
    if name is not None:
        injected = inject(FAULTS[name], clean.sound, seed=zlib.crc32(f"{clean.key}/{name}".encode()))
        view = replace(clean, sound=injected.waveform, made={})
        repairs = injected.truth.repairs
    history, candidates = refine(view, scorer, policy)
    decision = decide(history, policy)
    accepted = decision.actions if isinstance(decision, Accept) else ()
    kinds = tuple(a.kind for a in candidates[0].actions) if candidates else ()
    return Trial(
        clip=clean.key,
        fault=name,
        evaluable=(history.original.alignment is not None, history.original.synchronization is not None),
        first=kinds,
        accepted=accepted,
        right_first=bool(repairs & set(kinds)),
        right_accepted=bool(repairs & {a.kind for a in accepted}),
        gain_db=_gain(clean, view, accepted) if name is None or name.startswith(SAMPLE_EXACT) else None,
        before=_pair(history.original),
        after=_pair(history.best_scores),
        rounds=len(history.rounds),
        facts=view.facts(),
        tried=tuple((tuple(a.kind for a in r.plan.actions), _pair(r.scores)) for r in history.rounds),
    )


def _pair(scores: Scores) -> tuple[float | None, float | None]:
    return scores.alignment, scores.synchronization


def _gain(clean: ArrayView, view: ArrayView, accepted: tuple[Action, ...]) -> float | None:
    """Change of the SI-SDR against the clean sound, dB; None where nothing was accepted or lengths differ."""
    edited = view.edited(accepted).audio()
    if not accepted or edited.samples.shape != clean.sound.samples.shape:
        return None
    reference = clean.sound.mono()
    return si_sdr(reference, edited.mono()) - si_sdr(reference, view.sound.mono())


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, limited to 60 dB."""
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    target = reference * (estimate @ reference) / (reference @ reference + 1e-12)
    ratio = (target @ target + 1e-12) / (np.sum((estimate - target) ** 2) + 1e-12)
    return float(min(60.0, 10.0 * np.log10(ratio)))


def table(trials: Iterable[Trial]) -> str:
    """Markdown: one row per fault, and the clean clips."""
    by_fault: dict[str | None, list[Trial]] = {}
    for t in trials:
        by_fault.setdefault(t.fault, []).append(t)
    lines = [
        "| fault | clips | first candidate right | accepted right | of synchronization evaluable | SI-SDR gain (dB) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(name, group) for name, group in by_fault.items() if name is not None]
    clean = by_fault.get(None, [])
    planned, accepted = _share(bool(t.first) for t in clean), _share(bool(t.accepted) for t in clean)
    lines += ["", f"Clean clips: {len(clean)}; planned for {planned}, edited {accepted}."]
    lines += [f"- {t.clip}: first {'+'.join(t.first)}; {[a.kind for a in t.accepted]}" for t in clean if t.first]
    return "\n".join(lines) + "\n"


def _row(name: str, group: Sequence[Trial]) -> str:
    timed = [t for t in group if t.evaluable[1]]
    gains = [t.gain_db for t in group if t.gain_db is not None]
    gain = f"{statistics.median(gains):.1f}" if gains else ""
    first, accepted = _share(t.right_first for t in group), _share(t.right_accepted for t in group)
    evaluable = f"{_share(t.right_accepted for t in timed)} of {len(timed)}"
    return f"| {name} | {len(group)} | {first} | {accepted} | {evaluable} | {gain} |"


def _share(flags: Iterable[bool]) -> str:
    values = list(flags)
    return f"{100 * sum(values) / len(values):.0f}%" if values else "-"


def main() -> None:
    """Run it and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=8, help="use every Nth clip (1: all, an hour)")
    parser.add_argument("--offset", type=int, default=1, help="first clip")
    parser.add_argument("--faults", default=",".join(FAULTS), help="names, separated by commas; `clean`: none")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    scorer = build_scorer("embedded")
    alignment, timing = scorer.margins
    policy = Policy(min_gain_alignment=alignment, min_gain_synchronization=timing)
    names = [n for n in options.faults.split(",") if n != "clean"]
    trials: list[Trial] = []
    for scene in list(scenes())[options.offset :: options.every]:
        clean = load(scene)
        trials += [trial(clean, name, scorer, policy) for name in (None, *names)]
    options.output.mkdir(parents=True, exist_ok=True)
    text = f"{table(trials)}\n{false_alarms()}"
    print(text)
    (options.output / "planner_embedded.md").write_text(text, "utf-8")
    rows = [
        {"clip": t.clip, "fault": t.fault, "first": t.first, "accepted": [action_to_dict(a) for a in t.accepted]}
        for t in trials
    ]
    (options.output / "planner_embedded.json").write_text(json.dumps(rows, indent=0), "utf-8")


if __name__ == "__main__":
    main()
