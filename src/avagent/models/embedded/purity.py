"""How free a sound is of faults that have nothing to do with any picture: measured, not judged by a network.

Every factor is 1 for a sound without the fault and falls with its audibility; a fault that was measured with little
confidence counts little. A fault that calls for an action takes its factor to 0.84 or below, so that the score of a
clip that has one stays under the loop's threshold. The product is floored: several faults still leave room for gains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from avagent.core.facts import Estimate, Facts

FLOOR = 0.05
MENDABLE = 0.84
"""Factors at or below it call for an action."""

QUIET_LUFS, QUIET_PEAK_DBTP = -33.0, -20.0
"""A sound is quiet by as much as it lies under both: 10 dB under EBU R 128's target, and its peaks low as well."""


def purity(facts: Facts) -> float:
    """Product of the factors below, in [:data:`FLOOR`, 1]."""
    return max(FLOOR, math.prod(factors(facts).values()))


def factors(facts: Facts) -> dict[str, float]:
    """Each fault's factor, in (0, 1]."""
    return {
        "noise": noise_factor(facts.snr),
        "hum": hum_factor(facts.hum, facts.hum_level),
        "dropouts": dropout_factor(facts.gap_count, facts.gap_seconds, facts.duration),
        "clipping": clipping_factor(facts.clipping),
        "quiet": quiet_factor(facts.loudness, facts.true_peak),
        "loud": loud_factor(facts.loudness, facts.true_peak),
    }


def noise_factor(snr: Estimate | None) -> float:
    """From 0.3 at 0 dB to 1 at 30 dB and above, where noise is masked or inaudible beside the programme."""
    if snr is None:
        return 1.0
    return _trusted(_between(snr.value, (0.0, 15.0, 30.0), (0.3, 0.7, 1.0)), snr.confidence)


def hum_factor(hum: Estimate | None, level: float | None) -> float:
    """From 1 where the hum lies 45 dB under the whole to 0.35 where it is all there is."""
    if hum is None or level is None:
        return 1.0
    return _trusted(_between(level, (-45.0, -30.0, 0.0), (1.0, 0.82, 0.35)), hum.confidence)


def dropout_factor(count: int, seconds: float, duration: float) -> float:
    """By the share of time that is lost and by how often one is heard a second."""
    if count == 0 or duration <= 0.0:
        return 1.0
    return 0.82 * math.exp(-4.0 * min(1.0, seconds / duration)) / (1.0 + 0.2 * math.sqrt(count / duration))


def clipping_factor(share: float) -> float:
    """From 1 without clipped samples to 0.2 where a fifth of them is clipped."""
    return _between(share, (0.0, 0.002, 0.01, 0.05, 0.2), (1.0, 0.84, 0.7, 0.4, 0.2))


def quiet_factor(loudness: float | None, peak: float | None) -> float:
    """0.84 where the sound is 4 dB too quiet, 0.3 at 30 dB; see :data:`QUIET_LUFS`."""
    if loudness is None or peak is None:
        return 1.0
    return _between(min(QUIET_LUFS - loudness, QUIET_PEAK_DBTP - peak), (0.0, 4.0, 30.0), (1.0, 0.84, 0.3))


def loud_factor(loudness: float | None, peak: float | None) -> float:
    """0.84 at -5 LUFS, or with peaks at +3.4 dBTP, which no converter can play."""
    level = 1.0 if loudness is None else _between(loudness, (-8.0, -5.0, 0.0), (1.0, 0.84, 0.5))
    over = 1.0 if peak is None else _between(peak, (1.0, 3.4, 9.0), (1.0, 0.84, 0.5))
    return min(level, over)


def _between(value: float, at: Sequence[float], gives: Sequence[float]) -> float:
    return float(np.interp(value, at, gives))


def _trusted(factor: float, confidence: float) -> float:
    return 1.0 - confidence * (1.0 - factor)
