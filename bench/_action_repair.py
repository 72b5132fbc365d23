"""Dropouts and loudness: what is found, how well it is restored, how near the target."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from statistics import mean, median

import numpy as np
import pyloudnorm
from _action_noise import ours
from _action_signals import RATE, Recordings
from _action_tables import Goal, Table, mean_median, pesq_wb, si_sdr
from scipy.signal import resample_poly

from avagent.core.actions import FillBlanks, Volume
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.declip import declip
from avagent.dsp.faults import Clipping, Dropouts, inject
from avagent.dsp.measures.dropouts import Gap, find_dropouts

Filler = Callable[[FloatArray, tuple[Gap, ...]], FloatArray]

_LENGTHS_MS = (5.0, 20.0, 40.0, 60.0, 100.0, 200.0)
_PER_CLIP = 4
_GOALS = {20.0: 4.1, 40.0: 3.4, 60.0: 3.3, 100.0: 2.75}
_TARGETS = (-30.0, -23.0, -16.0)


def measure(recordings: Recordings) -> tuple[list[Table], list[Goal]]:
    """Tables and goals of fill_blanks and volume."""
    fill, fill_goals = _filling(recordings)
    found, found_goals = _finding(recordings)
    loud, loud_goals = _loudness(recordings)
    return [fill, found, loud, _declipping(recordings)], [*fill_goals, *found_goals, *loud_goals]


def _filling(recordings: Recordings) -> tuple[Table, list[Goal]]:
    ours_fill = ours(FillBlanks())
    fillers: dict[str, Filler] = {
        "untreated": lambda x, _: x,
        "fill_blanks": lambda x, _: ours_fill(x),
        "straight line (numpy.interp)": _straight,
        "repeat what came before": _repeated,
    }
    table = Table(
        "fill_blanks: PESQ-wb",
        f"{_PER_CLIP} dropouts of one length in 8 s of speech; mean (median). Ours finds the gaps,"
        " the others are told them.",
        [f"{length:g} ms" for length in _LENGTHS_MS],
    )
    scores: dict[str, dict[float, list[float]]] = {name: defaultdict(list) for name in fillers}
    for length in _LENGTHS_MS:
        for seed, clean in enumerate(recordings.speech):
            fault = Dropouts(lengths_ms=(length,) * _PER_CLIP)
            spoilt = inject(fault, Waveform(clean[None, :], RATE), seed=seed)
            for name, filler in fillers.items():
                out = filler(spoilt.waveform.samples[0], spoilt.truth.gaps)
                scores[name][length].append(pesq_wb(clean, out))
    for name, values in scores.items():
        table.rows.append((name, [mean_median(values[length]) for length in _LENGTHS_MS]))
    reached = {length: mean(scores["fill_blanks"][length]) for length in _GOALS}
    text = "fill_blanks: PESQ with 20/40/60/100 ms dropouts ≥ 4.1 / 3.4 / 3.3 / 2.75"
    met = all(reached[length] >= wanted for length, wanted in _GOALS.items())
    return table, [Goal(text, " / ".join(f"{v:.2f}" for v in reached.values()), met)]


def _straight(samples: FloatArray, gaps: tuple[Gap, ...]) -> FloatArray:
    out = samples.copy()
    for gap in gaps:
        ends = [gap.start - 1, gap.stop]
        out[gap.start : gap.stop] = np.interp(np.arange(gap.start, gap.stop), ends, samples[ends])
    return out


def _repeated(samples: FloatArray, gaps: tuple[Gap, ...]) -> FloatArray:
    out = samples.copy()
    for gap in gaps:
        out[gap.start : gap.stop] = np.resize(samples[max(0, gap.start - gap.length) : gap.start], gap.length)
    return out


def _finding(recordings: Recordings) -> tuple[Table, list[Goal]]:
    table = Table(
        "Dropouts found",
        "Eight dropouts of 3 to 200 ms a clip; a hit has both ends within 1 ms. False: found in sound without dropouts,"
        " or beside the true ones.",
        ["true", "recall", "precision"],
    )
    total = np.zeros(3)
    for name, clips in (("speech", recordings.speech), ("music", recordings.music), ("content", recordings.content)):
        counts = np.zeros(3)
        for seed, clip in enumerate(clips):
            counts += _count(Waveform(clip[None, :], RATE), seed)
        total += counts
        true, hits, false = counts
        table.rows.append((name, [true, hits / true, hits / max(1.0, hits + false)]))
    recall, precision = total[1] / total[0], total[1] / (total[1] + total[2])
    goal = Goal(
        "dropouts: precision and recall ≥ 0.98", f"{precision:.3f}, {recall:.3f}", min(recall, precision) >= 0.98
    )
    return table, [goal]


def _count(clip: Waveform, seed: int) -> tuple[int, int, int]:
    """True dropouts, hits, false ones."""
    of_clip = find_dropouts(clip)
    spoilt = inject(Dropouts(lengths_ms=(3.0, 5.0, 10.0, 20.0, 40.0, 60.0, 100.0, 200.0)), clip, seed=seed)
    found = find_dropouts(spoilt.waveform)
    near = clip.rate / 1000
    hits = sum(
        any(abs(f.start - t.start) <= near and abs(f.stop - t.stop) <= near for f in found) for t in spoilt.truth.gaps
    )
    beside = sum(not any(f.start < t.stop and t.start < f.stop for t in spoilt.truth.gaps) for f in found)
    return len(spoilt.truth.gaps), hits, len(of_clip) + beside


def _loudness(recordings: Recordings) -> tuple[Table, list[Goal]]:
    meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
    errors: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, list[float]] = defaultdict(list)
    for whole in [*recordings.speech, *recordings.music]:
        # Incomplete blocks do not count by the standard, but do in pyloudnorm: let there be none.
        clip = whole[: whole.size // 1600 * 1600]
        for target in _TARGETS:
            loudness = meter.integrated_loudness(clip.astype(np.float64))
            plain = (clip * 10.0 ** ((target - loudness) / 20.0)).astype(np.float32)
            outs = {
                "volume": ours(Volume(target_lufs=target))(clip),
                "volume, dynamic": ours(Volume(target_lufs=target, mode="dynamic"))(clip),
                "pyloudnorm.normalize.loudness": plain,
            }
            for name, out in outs.items():
                errors[name].append(abs(meter.integrated_loudness(out.astype(np.float64)) - target))
                peaks[name].append(_true_peak(out))
    table = Table(
        "Volume",
        "Speech and music to -30, -23 and -16 LUFS under -1 dBTP; error measured by pyloudnorm 0.2, true peak by a"
        " polyphase filter (scipy), 4 times oversampled.",
        ["median error LU", "worst error LU", "highest peak dBTP"],
    )
    for name, values in errors.items():
        table.rows.append((name, [median(values), max(values), max(peaks[name])]))
    worst, highest = max(errors["volume"]), max(peaks["volume"] + peaks["volume, dynamic"])
    met = worst <= 0.1 and highest <= -1.0
    return table, [Goal("volume: error ≤ 0.1 LU, peak ≤ -1 dBTP", f"{worst:.3f} LU, {highest:.2f} dBTP", met)]


def _true_peak(samples: FloatArray) -> float:
    return 20.0 * math.log10(float(np.max(np.abs(resample_poly(samples.astype(np.float64), 4, 1)))))


def _declipping(recordings: Recordings) -> Table:
    table = Table("Declipping", "SI-SDR in dB of speech clipped by so much; mean (median).", ["3 dB", "6 dB", "12 dB"])
    clipped: list[float | str] = []
    restored: list[float | str] = []
    for drive_db in (3.0, 6.0, 12.0):
        before: list[float] = []
        after: list[float] = []
        for clean in recordings.speech:
            spoilt = inject(Clipping(drive_db=drive_db), Waveform(clean[None, :], RATE), seed=0).waveform
            before.append(si_sdr(clean, spoilt.samples[0]))
            after.append(si_sdr(clean, declip(spoilt)[0].samples[0]))
        clipped.append(mean_median(before))
        restored.append(mean_median(after))
    table.rows.extend([("clipped", clipped), ("volume(declip=True)", restored)])
    return table
