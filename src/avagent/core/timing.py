"""What one cue says of when the sound comes and how fast it runs: evidence over lag and tempo.

Cues (lips against a voice, touches and movement against onsets) are combined by adding their log-likelihood ratios.
Each is taken against "this sound has nothing to do with this picture": a cue that knows nothing adds 0 everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from avagent.core.errors import ParameterError
from avagent.core.media import FloatArray, TimeArray

MOST_LAG_MS, LAG_STEP_MS = 2000, 10
LEAST_TEMPO, MOST_TEMPO, TEMPO_STEPS = 0.8, 1.25, 45


@cache
def lag_grid() -> TimeArray:
    """All lags that cues speak of, float64 [401], ascending, in ms."""
    return _fixed(np.arange(-MOST_LAG_MS, MOST_LAG_MS + 1, LAG_STEP_MS, dtype=np.float64))


@cache
def tempo_grid() -> TimeArray:
    """All tempos that cues speak of, float64 [45], ascending in equal ratios of 1.02%; the middle one is exactly 1."""
    return _fixed(np.geomspace(LEAST_TEMPO, MOST_TEMPO, TEMPO_STEPS))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TimeCue:
    """Evidence of one cue. What the picture shows at time t is heard at `lag + t / tempo`, both in s from the start.

    Attributes:
        name: of the cue (`lips`, `touches`, `motion`).
        reason: why it is silent (`no_face`, `uncorrelated`, ...); None: it spoke.
        log_ratio: float32 [tempos, lags] over :func:`tempo_grid` and :func:`lag_grid`: natural logarithm of how much
            likelier the observation is at this lag and tempo than if sound and picture were unrelated. float32
            [1, lags] where the cue speaks of tempo 1 alone. None: silent.
        surrogates: of those mismatched sounds that were tried, the share that fits no worse than this one, in [0, 1];
            1 where it is silent.

    Raises:
        ParameterError: another dtype or shape, values that are not finite, a reason beside evidence or neither.
    """

    name: str
    reason: str | None = None
    log_ratio: FloatArray | None = None
    surrogates: float = 1.0

    def __post_init__(self) -> None:
        if (self.reason is None) == (self.log_ratio is None):
            raise ParameterError(f"a cue either speaks or says why not, got {self.reason!r} beside evidence or neither")
        if not 0.0 <= self.surrogates <= 1.0:
            raise ParameterError(f"surrogates must lie in [0, 1], got {self.surrogates}")
        if self.log_ratio is None:
            return
        shapes = {(rows, lag_grid().size) for rows in (1, TEMPO_STEPS)}
        if self.log_ratio.dtype != np.float32 or self.log_ratio.shape not in shapes:
            raise ParameterError(
                f"log_ratio must be float32 of one of the shapes {sorted(shapes)}, got {self.log_ratio.dtype} of shape"
                f" {self.log_ratio.shape}"
            )
        if not np.isfinite(self.log_ratio).all():
            raise ParameterError("log_ratio must be finite")

    @property
    def spoke(self) -> bool:
        """Whether there is evidence."""
        return self.log_ratio is not None

    @property
    def at_tempo_one(self) -> FloatArray:
        """The evidence for each lag at tempo 1, float32 [lags]; zeros where the cue is silent."""
        if self.log_ratio is None:
            return np.zeros(lag_grid().size, np.float32)
        return self.log_ratio[self.log_ratio.shape[0] // 2]


def _fixed(values: TimeArray) -> TimeArray:
    values.flags.writeable = False
    return values
