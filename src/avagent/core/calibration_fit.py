"""From scored pairs to calibrations: the curve, how well it tells matched from mismatched, the scores' own noise.

A matched pair is a clip as it is. Mismatched: its picture with another clip's sound, for alignment. Shifted: its own
sound out of time, for synchronization. Changed: its own sound with an edit that the score is not about; by how much the
calibrated score moves is its noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from avagent.core.calibration import Calibration, Calibrations, logistic_knots, roc_auc
from avagent.core.errors import ParameterError
from avagent.core.scores import RawScores, Scores

LEAST_CLIPS = 10
"""Matched clips at least; below it neither the curve nor its interval means anything."""
NOISE_QUANTILE = 0.95
RESAMPLES = 1000
LEVEL = 0.95

Finish = Callable[[RawScores, Calibrations], Scores]


class PairKind(StrEnum):
    """What a scored pair is an example of."""

    MATCHED = "matched"
    MISMATCHED = "mismatched"
    SHIFTED = "shifted"
    HARMLESS = "harmless"
    """Inaudible: neither score should move."""
    SAME_FIT = "same_fit"
    """Alignment should not move."""
    SAME_TIMING = "same_timing"
    """Synchronization should not move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPair:
    """One view of a clip, measured.

    Attributes:
        key: of the clip whose picture it is.
        content_sha256: of that clip.
        kind: what it is an example of.
        detail: whose sound, which lag, which edit.
        raw: what was measured.
    """

    key: str
    content_sha256: str
    kind: PairKind
    detail: str
    raw: RawScores


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Raw values of one score by clip: what should score high, and what low."""

    matched: Mapping[str, float]
    mismatched: Mapping[str, tuple[float, ...]]

    @property
    def high(self) -> list[float]:
        """All matched."""
        return list(self.matched.values())

    @property
    def low(self) -> list[float]:
        """All mismatched."""
        return [v for values in self.mismatched.values() for v in values]


def sides(pairs: Iterable[ScoredPair], score: str) -> Sides:
    """The evaluable values of one score, by clip.

    Args:
        pairs: of all kinds.
        score: `alignment` or `synchronization`.
    """
    against = PairKind.MISMATCHED if score == "alignment" else PairKind.SHIFTED
    matched: dict[str, float] = {}
    mismatched: dict[str, tuple[float, ...]] = {}
    for pair in pairs:
        value: float | None = getattr(pair.raw, score)
        if value is None:
            continue
        if pair.kind is PairKind.MATCHED:
            matched[pair.content_sha256] = value
        elif pair.kind is against:
            mismatched[pair.content_sha256] = (*mismatched.get(pair.content_sha256, ()), value)
    return Sides(matched=matched, mismatched=mismatched)


def fit_calibrations(
    pairs: Sequence[ScoredPair], *, scorer: str, model: str, source: str, finish: Finish
) -> Calibrations:
    """Curves, AUC with its interval, and margins.

    Args:
        pairs: of all kinds.
        scorer: its registered name.
        model: its fingerprint without calibrations.
        source: where the clips come from, in words.
        finish: from measurements to scores under a calibration (:meth:`avagent.core.ports.RawScorer.calibrated`).

    Raises:
        ParameterError: too few clips that the scorer could judge, for both scores.
    """
    digest = data_fingerprint(pairs)
    alignment = _fit(sides(pairs, "alignment"), "alignment", digest, source)
    synchronization = _fit(sides(pairs, "synchronization"), "synchronization", digest, source)
    if alignment is None and synchronization is None:
        raise ParameterError(
            f"too few clips to calibrate on: {LEAST_CLIPS} matched and {LEAST_CLIPS} mismatched or shifted pairs that"
            f" the scorer can judge are needed at least; {_why_not(pairs)}"
        )
    fitted = Calibrations(scorer=scorer, model=model, alignment=alignment, synchronization=synchronization)
    noise = score_noise(pairs, fitted, finish)
    return replace(
        fitted,
        alignment=alignment and replace(alignment, min_gain=noise[0]),
        synchronization=synchronization and replace(synchronization, min_gain=noise[1]),
    )


def data_fingerprint(pairs: Iterable[ScoredPair]) -> str:
    """SHA-256 over which clips were scored and as examples of what."""
    lines = sorted(f"{p.content_sha256} {p.kind} {p.detail}" for p in pairs)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def score_noise(pairs: Sequence[ScoredPair], fitted: Calibrations, finish: Finish) -> tuple[float, float]:
    """95th percentiles of how far changes that a score is not about move it: alignment, synchronization."""
    before = {p.content_sha256: finish(p.raw, fitted) for p in pairs if p.kind is PairKind.MATCHED}
    moved: dict[str, list[float]] = {"alignment": [], "synchronization": []}
    about = {
        PairKind.HARMLESS: ("alignment", "synchronization"),
        PairKind.SAME_FIT: ("alignment",),
        PairKind.SAME_TIMING: ("synchronization",),
    }
    for pair in pairs:
        if pair.kind not in about or pair.content_sha256 not in before:
            continue
        after = finish(pair.raw, fitted)
        for score in about[pair.kind]:
            was: float | None = getattr(before[pair.content_sha256], score)
            now: float | None = getattr(after, score)
            if was is not None and now is not None:
                moved[score].append(abs(now - was))
    return _noise(moved["alignment"]), _noise(moved["synchronization"])


def auc_interval(found: Sides, *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """95% confidence interval of the AUC by the bootstrap percentile (Efron & Tibshirani 1993, chapter 13).

    Clips are drawn, not pairs: the pairs of one clip share its picture and are not independent.
    """
    clips = sorted(set(found.matched) & set(found.mismatched))
    if not clips:
        raise ParameterError("no clip has both a matched and a mismatched pair")
    high = np.array([found.matched[clip] for clip in clips])
    low = np.array([value for clip in clips for value in found.mismatched[clip]])
    owner = np.repeat(np.arange(len(clips)), [len(found.mismatched[clip]) for clip in clips])
    order = np.argsort(low, kind="stable")
    low, owner = low[order], owner[order]
    first, last = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    rng = np.random.default_rng(seed)
    drawn: list[float] = []
    for _ in range(resamples):
        # Drawing a clip k times is the same as counting its pairs k times.
        times = np.bincount(rng.integers(0, len(clips), len(clips)), minlength=len(clips)).astype(np.float64)
        below = np.concatenate([[0.0], np.cumsum(times[owner])])
        wins = float(times @ (below[first] + below[last])) / 2.0
        drawn.append(wins / float(times.sum() * below[-1]))
    low, high = np.quantile(drawn, [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0])
    return float(low), float(high)


def reliability(
    calibration: Calibration, found: Sides, bins: int = 10
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Predicted probability and observed share of matched pairs, by bins of equal counts; both classes weigh the same.

    Returns:
        Two arrays [bins], without the bins that hold nothing.
    """
    high, low = found.high, found.low
    predicted = np.array([calibration(v) for v in (*high, *low)])
    matched = np.r_[np.ones(len(high)), np.zeros(len(low))]
    weight = np.r_[np.full(len(high), 0.5 / len(high)), np.full(len(low), 0.5 / len(low))]
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, bins) if part.size]
    mean = [float(np.average(predicted[part], weights=weight[part])) for part in parts]
    share = [float(np.average(matched[part], weights=weight[part])) for part in parts]
    return np.array(mean), np.array(share)


def _fit(found: Sides, name: str, digest: str, source: str) -> Calibration | None:
    high, low = found.high, found.low
    if len(high) < LEAST_CLIPS or len(low) < LEAST_CLIPS or not set(found.matched) & set(found.mismatched):
        return None
    raw, value = logistic_knots(high, low)
    auc_low, auc_high = auc_interval(found)
    return Calibration(
        name=name,
        raw=raw,
        value=value,
        auc=roc_auc(high, low),
        auc_low=auc_low,
        auc_high=auc_high,
        matched=len(high),
        mismatched=len(low),
        min_gain=0.0,
        data_sha256=digest,
        source=source,
    )


def _noise(changes: Sequence[float]) -> float:
    return min(0.999, round(float(np.quantile(changes, NOISE_QUANTILE)), 4)) if changes else 0.0


def _why_not(pairs: Iterable[ScoredPair]) -> str:
    """How many clips there were, and why they could not be judged."""
    matched = [p.raw for p in pairs if p.kind is PairKind.MATCHED]
    notes = sorted({n for raw in matched for n in (raw.alignment_note, raw.synchronization_note) if n})
    return f"{len(matched)} clips were scored" + (f", with the notes {', '.join(notes)}" if notes else "")
