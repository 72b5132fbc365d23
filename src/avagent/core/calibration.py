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

FORMAT = "avagent-calibration-v1"
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
        auc_low, auc_high: 95% confidence interval of `auc`; None: not known.
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
    auc_low: float | None = None
    auc_high: float | None = None

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
        """As plain JSON values; what is None is left out."""
        values = {**asdict(self), "raw": list(self.raw), "value": list(self.value)}
        return {name: value for name, value in values.items() if value is not None}

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrations:
    """Both calibrations of a scorer: what a calibration file holds.

    Attributes:
        scorer: the scorer's registered name.
        model: fingerprint of the model that the raw scores came from; scores of another are never mapped by it.
        alignment, synchronization: None: the data held too few pairs that the scorer could judge.

    Raises:
        ParameterError: neither is given.
    """

    scorer: str
    model: str
    alignment: Calibration | None = None
    synchronization: Calibration | None = None

    def __post_init__(self) -> None:
        if self.alignment is None and self.synchronization is None:
            raise ParameterError(f"the calibrations of scorer {self.scorer!r} are empty")

    @property
    def margins(self) -> tuple[float, float]:
        """The calibrated scores' own noise (alignment, synchronization)."""
        return (
            self.alignment.min_gain if self.alignment else 0.0,
            self.synchronization.min_gain if self.synchronization else 0.0,
        )

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits over everything above."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "format": FORMAT,
            "scorer": self.scorer,
            "model": self.model,
            "alignment": self.alignment.to_dict() if self.alignment else None,
            "synchronization": self.synchronization.to_dict() if self.synchronization else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibrations:
        """The inverse of :meth:`to_dict`.

        Raises:
            ParameterError: not such a mapping.
        """
        names = {"format", *(f.name for f in fields(cls))}
        if data.get("format") != FORMAT or set(data) - names:
            raise ParameterError(f"not a calibration file: expected the keys {', '.join(sorted(names))}")
        parts = {n: data.get(n) for n in ("alignment", "synchronization")}
        if not all(p is None or isinstance(p, Mapping) for p in parts.values()):
            raise ParameterError("not a calibration file: alignment and synchronization must be objects or null")
        return cls(
            scorer=str(data.get("scorer")),
            model=str(data.get("model")),
            **{n: None if p is None else Calibration.from_dict(p) for n, p in parts.items()},
        )


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
