"""Declipping: how much is regained, beside other methods; what is seen, what is taken for clipped; what the loop keeps.

    python bench/declip.py [--recordings FOLDER] [--per-package N] [--parts methods,gain,alarms,loop] [--out FOLDER]

Recordings: Debian packages that no limit was set on (`_declip_methods.PACKAGES`), fetched where the folder lacks them;
the loop runs on stamps that none was set on. SDR as in the survey (Záviška et al. 2021,
doi:10.1109/JSTSP.2020.3042071): against the sound before it was clipped, codec and all. The survey's PEMO-Q has no free
implementation; PESQ (wide band) stands in, for speech. Needs requirements/bench.txt; set OMP_NUM_THREADS=1 yourself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from _action_signals import RATE, decode
from _action_tables import pesq_wb
from _array_clips import load, scenes
from _declip_methods import METHODS, Recording, aac, recordings, told
from planner_embedded import refine, si_sdr

from avagent.core.actions import Volume
from avagent.core.decide import Accept, Policy, decide
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.declip import MOST_CLIPPED, declip
from avagent.dsp.actions.edit import apply
from avagent.dsp.faults import Clipping, inject
from avagent.dsp.measures.clipping import clipping_ratio
from avagent.models.registry import build_scorer

ROOT = Path(__file__).resolve().parent.parent
DRIVES_DB = (6.0, 9.0, 12.0, 15.0)
CALLED_CLIPPED = 0.002
"""Share from which the planner acts (`clipping_factor`)."""
LOUD_PEAK = 0.95
AAC_RATES = (16_000, 22_050, 32_000, 44_100, 48_000)
Rows = list[dict[str, object]]
STAMPS_USED_FOR_LIMITS = 12
"""Every twelfth stamp."""


def sdr(clean: FloatArray, other: FloatArray) -> float:
    """Signal-to-distortion ratio in dB."""
    rest = float(np.square(clean - other, dtype=np.float64).sum())
    return 10.0 * float(np.log10(float(np.square(clean, dtype=np.float64).sum()) / max(rest, 1e-20)))


def clipped(sound: Waveform, drive_db: float) -> tuple[Waveform, Waveform]:
    """The sound clipped at `LOUD_PEAK`, and the same before it was."""
    made = inject(Clipping(drive_db=drive_db), sound, seed=0).waveform
    scale = np.float32(LOUD_PEAK / float(np.abs(made.samples).max()))
    gain = scale * np.float32(10.0 ** (drive_db / 20.0))
    return Waveform(made.samples * scale, sound.rate), Waveform(sound.samples * gain, sound.rate)


def coded(sound: Waveform) -> Waveform:
    """AAC at 160 kbit/s; 64 kbit/s for 16 kHz, where the encoder takes no more."""
    return aac(sound, 160_000 if sound.rate >= 32_000 else 64_000)


def methods(found: Sequence[Recording]) -> Rows:
    """Gain, PESQ and speed of every method on two seconds, mono."""
    rows: Rows = []
    chosen = [r for r in found if r.sound.duration >= 2.0][::3]
    for drive_db in (6.0, 12.0):
        for name, method in METHODS.items():
            gains, quality, seconds, used = [], [], 0.0, 0.0
            for recording in chosen:
                part = Waveform(recording.sound.samples[:1, : 2 * recording.sound.rate].copy(), recording.sound.rate)
                spoilt, clean = clipped(part, drive_db)
                where = told(spoilt.samples[0])
                start = time.process_time()
                out = method(spoilt.samples[0], where, part.rate)
                used += time.process_time() - start
                seconds += part.duration
                gains.append(sdr(clean.samples[0], out) - sdr(clean.samples[0], spoilt.samples[0]))
                if part.rate == RATE:
                    quality.append(pesq_wb(clean.samples[0], out) - pesq_wb(clean.samples[0], spoilt.samples[0]))
            rows.append(
                {
                    "drive dB": drive_db,
                    "method": name,
                    "clips": len(chosen),
                    "gain of SDR dB": statistics.mean(gains),
                    "least": min(gains),
                    "gain of PESQ (speech)": statistics.mean(quality),
                    "x realtime": seconds / used,
                }
            )
            print(rows[-1], flush=True)
    return rows


def gain(found: Sequence[Recording]) -> Rows:
    """Our gain and what is seen, in PCM and behind AAC, whole excerpts, all channels."""
    rows: Rows = []
    for name, codec in (("PCM", lambda w: w), ("AAC 160k", coded)):
        for group in ("speech", "music"):
            for drive_db in DRIVES_DB:
                rows.append(_gain_row(name, codec, group, drive_db, [r for r in found if r.group == group]))
                print(rows[-1], flush=True)
    return rows


def _gain_row(
    name: str, codec: Callable[[Waveform], Waveform], group: str, drive_db: float, found: Sequence[Recording]
) -> dict[str, object]:
    gains, all_gains, quality, too_much = [], [], [], 0
    for recording in found:
        spoilt, clean = clipped(recording.sound, drive_db)
        heard = codec(spoilt)
        out, count = declip(heard)
        better = sdr(clean.samples, out.samples) - sdr(clean.samples, heard.samples)
        all_gains.append(better)
        too_much += clipping_ratio(heard) > MOST_CLIPPED
        if count:
            gains.append(better)
        if heard.rate == RATE and heard.channels == 1:
            quality.append(pesq_wb(clean.samples[0], out.samples[0]) - pesq_wb(clean.samples[0], heard.samples[0]))
    return {
        "codec": name,
        "group": group,
        "drive dB": drive_db,
        "clips": len(found),
        "restored": len(gains),
        "too much clipped": too_much,
        "gain of SDR dB, all": statistics.mean(all_gains),
        "where restored": statistics.mean(gains) if gains else None,
        "least": min(all_gains),
        "gain of PESQ": statistics.mean(quality) if quality else None,
    }


def alarms(found: Sequence[Recording]) -> Rows:
    """Clean programmes that are taken for clipped: as they are, loud by our limiter, behind AAC; and synthesizers."""
    made = {
        "as they come": lambda w: w,
        "at full scale": lambda w: Waveform(w.samples / np.float32(np.abs(w.samples).max()), w.rate),
        "limited, -8 LUFS, 0 dBTP": lambda w: apply(Volume(target_lufs=-8.0, peak_dbtp=0.0), w).waveform,
        "behind AAC": coded,
    }
    rows: Rows = []
    for name, change in made.items():
        shares = [(r.name, clipping_ratio(change(r.sound))) for r in found]
        rows.append(_alarm_row(name, shares))
        print(rows[-1], flush=True)
    synthesizers = [(n, clipping_ratio(w)) for n, w in _synthesizers().items()]
    synthesizers += [(f"{n}, AAC", clipping_ratio(coded(w))) for n, w in _synthesizers().items()]
    rows.append(_alarm_row("synthesizers: square, pulse, saw, soft clipping", synthesizers))
    return rows


def _alarm_row(name: str, shares: Sequence[tuple[str, float]]) -> dict[str, object]:
    called = [n for n, share in shares if share >= CALLED_CLIPPED]
    return {"programmes": name, "clips": len(shares), "taken for clipped": len(called), "which": called}


def _synthesizers() -> dict[str, Waveform]:
    rate = 44_100
    at = np.arange(3 * rate) / rate
    fade = np.exp(-np.mod(at, 0.5) * 3.0)
    shapes = {
        "square": np.where(np.mod(220.0 * at, 1.0) < 0.5, 0.6, -0.6),
        "pulse": np.where(np.mod(330.0 * at, 1.0) < 0.125, 0.6, -0.6),
        "square, fading": fade * np.where(np.mod(220.0 * at, 1.0) < 0.5, 0.9, -0.9),
        "saw": 0.9 * (2.0 * np.mod(110.0 * at, 1.0) - 1.0),
        "chord of saws": 0.3 * sum(2.0 * np.mod(f * at, 1.0) - 1.0 for f in (110.0, 138.6, 164.8)),
        "soft clipping": np.tanh(3.0 * np.sin(2.0 * np.pi * 110.0 * at)),
        "organ": 0.2 * sum(np.sin(2.0 * np.pi * 220.0 * k * at) for k in (1, 2, 3, 4)),
    }
    return {name: Waveform(shape.astype(np.float32)[None], rate) for name, shape in shapes.items()}


def loop(every: int) -> Rows:
    """What the loop keeps, with the planner and the scorer of recipe `embedded`."""
    scorer = build_scorer("embedded")
    alignment, timing = scorer.margins
    policy = Policy(min_gain_alignment=alignment, min_gain_synchronization=timing)
    known = [s for s in scenes() if s.kind == "object"]
    kept = [s for i, s in enumerate(known) if i % STAMPS_USED_FOR_LIMITS][::every]
    answers: dict[tuple[str, float], list[tuple[bool, bool, float | None]]] = defaultdict(list)
    for scene in kept:
        view = load(scene)
        if view.sound.rate not in AAC_RATES:
            continue
        for name, codec in (("PCM", lambda w: w), ("AAC 160k", coded)):
            for drive_db in DRIVES_DB:
                spoilt, clean = clipped(view.sound, drive_db)
                heard = codec(spoilt)
                given = replace(view, sound=heard, made={})
                decision = decide(refine(given, scorer, policy)[0], policy)
                actions = decision.actions if isinstance(decision, Accept) else ()
                right = any(isinstance(a, Volume) and a.declip for a in actions)
                better = None
                if right:
                    edited = given.edited(actions).audio()
                    better = si_sdr(clean.mono(), edited.mono()) - si_sdr(clean.mono(), heard.mono())
                answers[name, drive_db].append((clipping_ratio(heard) >= CALLED_CLIPPED, right, better))
        print(scene.key, [(k, v[-1]) for k, v in answers.items()], flush=True)
    return [
        {
            "codec": name,
            "drive dB": drive_db,
            "clips": len(values),
            "seen": sum(seen for seen, _, _ in values),
            "declipping kept": sum(right for _, right, _ in values),
            "gain of SI-SDR dB where kept": statistics.mean([b for *_, b in values if b is not None] or [0.0]),
        }
        for (name, drive_db), values in answers.items()
    ]


def speed() -> Rows:
    """Times realtime, one thread, stereo, clipped from end to end (speech of the media folder, samples repeated)."""
    rows: Rows = []
    speech = decode(min((ROOT / ".cache" / "media" / "speech").glob("*.g722")))
    for rate in (16_000, 48_000):
        part = np.repeat(speech.samples[:, : 8 * RATE], rate // RATE, axis=1)
        spoilt, _ = clipped(Waveform(np.concatenate([part, part[:, ::-1]]).astype(np.float32), rate), 12.0)
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            declip(spoilt)
            best = min(best, time.process_time() - start)
        rows.append({"rate Hz": rate, "channels": 2, "x realtime": spoilt.duration / best})
    return rows


def main() -> None:
    """Measure the parts asked for and write what is known of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, default=ROOT / ".cache" / "declip")
    parser.add_argument("--per-package", type=int, default=6)
    parser.add_argument("--every", type=int, default=8, help="of the stamps in the loop, use every Nth")
    parser.add_argument("--parts", default="methods,gain,alarms,speed,loop")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    options.recordings.mkdir(parents=True, exist_ok=True)
    found = list(recordings(options.recordings, options.per_package, 5.0))
    parts: dict[str, Callable[[], Rows]] = {
        "methods": lambda: methods(found),
        "gain": lambda: gain(found),
        "alarms": lambda: alarms(list(recordings(options.recordings, 30, 5.0))),
        "speed": speed,
        "loop": lambda: loop(options.every),
    }
    path = options.out / "declip.json"
    data: dict[str, Rows] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    for name in options.parts.split(","):
        data[name] = parts[name]()
    path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    (options.out / "declip.md").write_text(_markdown(data), "utf-8")


def _markdown(data: dict[str, Rows]) -> str:
    lines = [
        "# Declipping",
        "",
        "Made by `make bench BENCHES=bench/declip.py`, whose docstring tells what is what.",
    ]
    for name, rows in data.items():
        columns = list(rows[0])
        lines += ["", f"## {name}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [f"| {' | '.join(_cell(row[c]) for c in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return (
        "-" if value is None or value == [] else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    )


if __name__ == "__main__":
    main()
