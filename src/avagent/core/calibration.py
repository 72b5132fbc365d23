"""Calibration: a scorer's raw value to the probability that sound and picture belong together."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from avagent.core.errors import ParameterError

_NEWTON_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A monotone, piecewise linear map from raw scores to [0, 1], and the data that it was made from.

    Attributes:
        name: of the score.
        raw: knots, ascending, at least two.
        value: probability of "matched" at each knot, not descending, in [0, 1]; constant beyond the ends.
        auc: area under the ROC curve, matched against mismatched, in [0, 1].
        matched, mismatched: numbers of pairs.
        min_gain: the score's own noise after calibration: smaller gains mean nothing, [0, 1).
        data_sha256: over the pairs' content.
        source: where the pairs come from, in words.
    """

    name: str
    raw: tuple[float, ...]
    value: tuple[float, ...]
    auc: float
    matched: int
    mismatched: int
    min_gain: float
    data_sha256: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if len(self.raw) < 2 or len(self.raw) != len(self.value):
            raise ParameterError(f"calibration {self.name!r} needs two knots or more, as many raw as value")
        if not all(math.isfinite(v) for v in (*self.raw, *self.value)):
            raise ParameterError(f"calibration {self.name!r} has a knot that is not finite")
        if any(b <= a for a, b in zip(self.raw, self.raw[1:], strict=False)):
            raise ParameterError(f"calibration {self.name!r}: raw knots must ascend")
        if any(b < a for a, b in zip(self.value, self.value[1:], strict=False)):
            raise ParameterError(f"calibration {self.name!r}: values must not descend")
        if not 0.0 <= self.value[0] <= self.value[-1] <= 1.0:
            raise ParameterError(f"calibration {self.name!r}: values must lie in [0, 1]")
        if not 0.0 <= self.min_gain < 1.0:
            raise ParameterError(f"calibration {self.name!r}: min_gain must lie in [0, 1), got {self.min_gain}")

    def __call__(self, raw: float) -> float:
        """The calibrated score.

        Raises:
            ParameterError: NaN.
        """
        if math.isnan(raw):
            raise ParameterError(f"calibration {self.name!r} was given NaN")
        return float(np.interp(raw, self.raw, self.value))

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits over everything above."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "raw": list(self.raw), "value": list(self.value)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """The inverse of :meth:`to_dict`.

        Raises:
            ParameterError: unknown or missing keys, or values that are no numbers.
        """
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(data) - names):
            raise ParameterError(
                f"calibration has unknown keys: {', '.join(unknown)}; known: {', '.join(sorted(names))}"
            )
        try:
            values: dict[str, Any] = dict(data)
            for knots in ("raw", "value"):
                values[knots] = tuple(float(v) for v in data[knots])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(f"calibration cannot be read: {error!r}") from error


def roc_auc(matched: Sequence[float], mismatched: Sequence[float]) -> float:
    """Probability that a matched pair scores above a mismatched one, ties counted half (Mann & Whitney 1947)."""
    _refuse_empty(matched, mismatched)
    high, low = np.asarray(matched, np.float64), np.sort(np.asarray(mismatched, np.float64))
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.sum() / (2.0 * high.size * low.size))


def logistic_knots(
    matched: Sequence[float], mismatched: Sequence[float], count: int = 33
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots of a logistic curve fitted with equal weight to both classes (Platt 1999, with his smoothed targets).

    A logistic curve, not isotonic regression: it has no plateaus, so that a small gain in the raw score stays a gain.

    Returns:
        raw and value, `count` knots over the range of the data; the curve never descends.
    """
    _refuse_empty(matched, mismatched)
    raw = np.concatenate([matched, mismatched]).astype(np.float64)
    positive, negative = len(matched), len(mismatched)
    target = np.r_[np.full(positive, (positive + 1.0) / (positive + 2.0)), np.full(negative, 1.0 / (negative + 2.0))]
    weight = np.r_[np.full(positive, 0.5 / positive), np.full(negative, 0.5 / negative)]
    slope, intercept = _fit_logistic(raw, target, weight)
    grid: npt.NDArray[np.float64] = np.linspace(float(raw.min()), float(raw.max()) + 1e-9, count)
    value = 1.0 / (1.0 + np.exp(-np.clip(max(slope, 0.0) * grid + intercept, -50.0, 50.0)))
    return tuple(grid.tolist()), tuple(value.tolist())


def _fit_logistic(
    raw: npt.NDArray[np.float64], target: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Slope and intercept by damped Newton steps on the weighted cross-entropy."""
    scale = float(raw.std()) or 1.0
    design = np.stack([raw / scale, np.ones_like(raw)], axis=1)
    theta = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ theta, -50.0, 50.0)))
        gradient = design.T @ (weight * (p - target))
        hessian = (design * (weight * p * (1.0 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        theta -= np.clip(step, -1.0, 1.0)
        if float(np.abs(step).max()) < 1e-10:
            break
    return float(theta[0] / scale), float(theta[1])


def _refuse_empty(matched: Sequence[float], mismatched: Sequence[float]) -> None:
    if len(matched) == 0 or len(mismatched) == 0:
        raise ParameterError(f"need matched and mismatched pairs, got {len(matched)} and {len(mismatched)}")
