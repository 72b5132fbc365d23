"""What an edit did to a sound, measured on the samples before and after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter, uniform_filter1d

from avagent.core.actions import Action, Pitch, Shift, Speed
from avagent.core.effect import Removed, TempoEvidence
from avagent.core.media import FloatArray, Motion, Waveform
from avagent.dsp.measures.bs1770 import loudness_steps, power_to_lufs
from avagent.dsp.measures.lag import common_curves, profile
from avagent.dsp.measures.onset import onset_strength
from avagent.dsp.measures.spectrum import spectrogram
from avagent.dsp.products import energy, inner

Array = npt.NDArray[np.float64]

_LIMIT_DB = 60.0
_SMOOTH_FRAMES = 7
_NEIGHBOURS = 21
_LINE = 10.0**0.8
_BANDS = 12
_TINY = 1e-6
_LAG_S = 1.0
"""A sound at the right tempo may still come too early or too late."""
_OTHER_TEMPOS = (0.85, 0.88, 0.91, 0.94, 0.96, 0.98, 1.02, 1.04, 1.06, 1.09, 1.12, 1.15)
_APART = 0.012
"""Tempos that differ by less cannot be told apart on a clip of some seconds."""


def removed_part(before: Waveform, after: Waveform) -> Removed | None:
    """What a filter took away.

    Args:
        before, after: of one rate and shape; a filter delays nothing.

    Returns:
        None where nothing was taken away, or the clip is shorter than a window of 32 ms.
    """
    taken = Waveform(np.ascontiguousarray(before.samples - after.samples), before.rate)
    whole, part, rest = spectrogram(before), spectrogram(taken), spectrogram(after)
    if whole is None or part is None or rest is None:
        return None
    total = float(whole.mean().sum())
    mean = part.mean()
    power = float(mean.sum())
    if power <= 1e-12 * max(total, 1e-18):
        return None
    weights = mean / power
    steps = loudness_steps(taken)
    return Removed(
        share_db=_db(power / total),
        rest_db=_db(float(rest.mean().sum()) / total),
        loudness=power_to_lufs(float(steps.mean())) if steps.size and float(steps.max()) > 0.0 else None,
        noise_like=inner(weights, _flatness(part.power, mean)),
        spread_db=inner(weights, _spread_db(part.power, mean)),
        drift_db=_drift_db(part.power, mean),
        tonality=float(weights[mean > _LINE * median_filter(mean, _NEIGHBOURS, mode="nearest")].sum()),
    )


def _flatness(power: FloatArray, mean: Array) -> Array:
    """Geometric over arithmetic mean over time of every bin, float64 [bins]."""
    tiny = _TINY * float(mean.max())
    return np.exp(np.log(power + np.float32(tiny)).mean(axis=0, dtype=np.float64)) / (mean + tiny)


def _spread_db(power: FloatArray, mean: Array) -> Array:
    tiny = np.float32(_TINY * float(mean.max()))
    smooth = uniform_filter1d(power, min(_SMOOTH_FRAMES, power.shape[0]), axis=0, mode="nearest")
    return 10.0 * np.log10(np.maximum(smooth, np.float32(0.0)) + tiny).std(axis=0, dtype=np.float64)


def _drift_db(power: FloatArray, mean: Array) -> float:
    if power.shape[0] < 4:
        return 0.0
    edges = np.unique(np.geomspace(2, mean.size - 1, _BANDS + 1).astype(int))
    bands = np.stack([power[:, a:b].sum(axis=1, dtype=np.float64) for a, b in pairwise(edges)], axis=1)
    tiny = _TINY * float(bands.mean(axis=0).max()) + 1e-30
    levels = 10.0 * np.log10(np.stack([part.mean(axis=0) for part in np.array_split(bands, 4)]) + tiny)
    shares = bands.mean(axis=0) + tiny
    return inner(shares / shares.sum(), levels.max(axis=0) - levels.min(axis=0))


def _db(ratio: float) -> float:
    return 10.0 * math.log10(max(ratio, 1e-20))


def undone(edited: Waveform, actions: Sequence[Action], length: int) -> Waveform | None:
    """The edited sound moved back to where the original was, cut or padded to its length.

    Args:
        edited: after all the actions.
        actions: since the original.
        length: of the original, in samples.

    Returns:
        None where tempo or pitch were changed: its samples stand for other moments, or other waves, of the original.
    """
    if any(isinstance(action, Speed | Pitch) for action in actions):
        return None
    delay = sum(round(a.milliseconds * edited.rate / 1000.0) for a in actions if isinstance(a, Shift))
    moved = np.zeros((edited.channels, length), np.float32)
    source = edited.samples[:, max(0, delay) : max(0, min(edited.length, length + delay))]
    at = max(0, -delay)
    moved[:, at : at + source.shape[1]] = source[:, : max(0, length - at)]
    return Waveform(moved, edited.rate)


def si_sdr(reference: FloatArray, estimate: FloatArray) -> float | None:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, doi:10.1109/ICASSP.2019.8683855).

    Args:
        reference, estimate: float32 of one shape.

    Returns:
        within ±60 dB; None: one of both is silent.
    """
    first, second = reference.ravel().astype(np.float64), estimate.ravel().astype(np.float64)
    power, other = energy(first), energy(second)
    if power <= 0.0 or other <= 0.0:
        return None
    target = inner(first, second) ** 2 / power
    return float(np.clip(_db(target / max(other - target, 1e-12 * other)), -_LIMIT_DB, _LIMIT_DB))


def tempo_evidence(waveform: Waveform, motion: Motion, factor: float) -> TempoEvidence | None:
    """Does the sound follow the picture better at another tempo, and at that one better than at any other?

    Args:
        waveform: before the change of tempo.
        motion: of the picture.
        factor: of tempo, above 1 plays faster.

    Returns:
        None where it cannot be told: no motion, no onsets, too short.
    """
    onset, rate = onset_strength(waveform)

    def peak(tempo: float) -> float | None:
        curves = common_curves(onset, rate * tempo, motion)
        found = None if curves is None else profile(curves, _LAG_S)
        return None if found is None else float(found.significance.max())

    claimed, unchanged = peak(factor), peak(1.0)
    others = [peak(tempo) for tempo in _OTHER_TEMPOS if abs(math.log(tempo / factor)) > _APART]
    known = [other for other in others if other is not None]
    if claimed is None or unchanged is None or not known:
        return None
    return TempoEvidence(claimed=claimed, unchanged=unchanged, best_other=max(known))


def changed_seconds(before: Waveform, after: Waveform) -> float:
    """Time in which the samples of two sounds of one shape differ by more than -100 dBFS, in s."""
    differs = np.abs(before.samples - after.samples).max(axis=0, initial=0.0) > 1e-5
    return float(np.count_nonzero(differs)) / before.rate
