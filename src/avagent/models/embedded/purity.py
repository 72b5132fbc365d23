"""How free a sound is of faults that have nothing to do with any picture: measured, not judged by a network.

Every factor is 1 for a sound without the fault and falls with its audibility; a fault that was measured with little
confidence counts little. The product is floored, so that several faults still leave room for gains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from avagent.core.facts import Estimate, Facts

FLOOR = 0.05
FULL_SCORE_SNR_DB = 30.0
"""Above it noise is masked or inaudible beside the programme."""


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
        "level": level_factor(facts.loudness),
    }


def noise_factor(snr: Estimate | None) -> float:
    """From 0.3 at 0 dB to 1 at 30 dB and above."""
    if snr is None:
        return 1.0
    return _trusted(_between(snr.value, (0.0, FULL_SCORE_SNR_DB), (0.3, 1.0)), snr.confidence)


def hum_factor(hum: Estimate | None, level: float | None) -> float:
    """From 1 where the hum lies 40 dB under the whole to 0.4 where it is all there is."""
    if hum is None or level is None:
        return 1.0
    return _trusted(_between(level, (-40.0, 0.0), (1.0, 0.4)), hum.confidence)


def dropout_factor(count: int, seconds: float, duration: float) -> float:
    """By the share of time that is lost and by how often one is heard a second."""
    if count == 0 or duration <= 0.0:
        return 1.0
    return math.exp(-4.0 * min(1.0, seconds / duration)) / (1.0 + 0.3 * math.sqrt(count / duration))


def clipping_factor(share: float) -> float:
    """From 1 without clipped samples to 0.3 where a tenth of them is clipped."""
    return _between(share, (0.0, 0.002, 0.02, 0.1), (1.0, 0.9, 0.6, 0.3))


def level_factor(loudness: float | None) -> float:
    """1 between -33 and -12 LUFS; a level beyond makes the listener reach for the control."""
    if loudness is None:
        return 1.0
    return _between(loudness, (-60.0, -33.0, -12.0, 0.0), (0.3, 1.0, 1.0, 0.5))


def _between(value: float, at: Sequence[float], gives: Sequence[float]) -> float:
    return float(np.interp(value, at, gives))


def _trusted(factor: float, confidence: float) -> float:
    return 1.0 - confidence * (1.0 - factor)
