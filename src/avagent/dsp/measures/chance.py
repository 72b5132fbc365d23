"""What unrelated curves reach by chance: the density that a fit is weighed against.

Few events, and syllables no less, coincide far more often than Gaussian noise of the same deviation would: with 190
voices under other people's lips the best of all lags exceeded 4.2 deviations in 1 of 100, where noise does in 1 of
1000. Exceedances over a threshold are exponential for most distributions (Pickands 1975, Ann. Statist. 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_TAIL = 0.95
_LEAST_DEVIATION = 1e-3


@dataclass(frozen=True, slots=True)
class Chance:
    """Gaussian up to a threshold, exponential beyond it.

    Attributes:
        deviation: about 0.
        threshold: where the tail begins.
        decay: mean of what exceeds it.
    """

    deviation: float
    threshold: float
    decay: float

    def log_density(self, height: Array) -> Array:
        """Natural logarithm, for each height."""
        body = np.minimum(height, self.threshold)
        return (
            -0.5 * (body / self.deviation) ** 2
            - np.log(self.deviation * np.sqrt(2.0 * np.pi))
            - np.maximum(height - self.threshold, 0.0) / self.decay
        )


def fit_chance(surrogates: Array, others: Array | None = None) -> Chance | None:
    """The chance of surrogates, float64 [n], and of `others` of another kind, one half of the weight each.

    None where there is nothing to fit.
    """
    heights = surrogates
    if others is not None and others.size:
        heights = np.concatenate([surrogates, np.repeat(others, surrogates.size // others.size)])
    deviation = float(np.sqrt(np.mean(np.square(heights)))) if heights.size else 0.0
    if deviation < _LEAST_DEVIATION:
        return None
    threshold = max(float(np.quantile(heights, _TAIL)), 0.5 * deviation)
    beyond = heights[heights > threshold]
    # Never lighter than the Gaussian's own tail.
    decay = max(float(np.mean(beyond - threshold)) if beyond.size else 0.0, deviation**2 / (threshold + deviation))
    return Chance(deviation, threshold, decay)
