"""Sampling-rate conversion (soxr) behind a typed signature."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr  # pyright: ignore[reportMissingTypeStubs]

from avagent.core.media import FloatArray

Array = npt.NDArray[np.float64]
Quality = Literal["QQ", "LQ", "MQ", "HQ", "VHQ"]


def resample(samples: npt.NDArray[np.floating], rate: float, target: float, quality: Quality = "HQ") -> Array:
    """Band-limited resampling of one channel, float64 [samples]; length round(samples * target / rate)."""
    if rate == target or samples.size == 0:
        return np.asarray(samples, dtype=np.float64)
    source = np.ascontiguousarray(samples, dtype=np.float64)
    return np.asarray(soxr.resample(source, rate, target, quality=quality), dtype=np.float64)  # pyright: ignore[reportUnknownMemberType]


def resample_single(samples: FloatArray, rate: float, target: float) -> FloatArray:
    """The same in single precision (20 bits, three times as quick), float32 [samples]."""
    if rate == target or samples.size == 0:
        return samples
    return np.asarray(soxr.resample(np.ascontiguousarray(samples), rate, target, quality="HQ"), np.float32)  # pyright: ignore[reportUnknownMemberType]
