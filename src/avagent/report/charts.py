"""Charts as outlines for SVG: they take the page's colours, light or dark, and stay sharp on a phone.

A plotting library's pictures would have one set of colours, and it would bring a tenth of a GB of packages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from avagent.report.facts import BINS, RunFacts, ScoreFacts

WIDTH, HEIGHT = 400, 150


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCurve:
    """How a scorer's calibrated scores of pairs are distributed that belong together, and of pairs that do not.

    Attributes:
        matched, mismatched: pairs in each of :data:`BINS` equal parts of [0, 1].
        source: where the pairs come from, in words.
    """

    matched: tuple[int, ...]
    mismatched: tuple[int, ...]
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreChart:
    """One score over a run.

    Attributes:
        name: of the score.
        before, after: outlines of the histograms, in a view box of WIDTH times HEIGHT.
        matched, mismatched: outlines of the calibration's pairs, each as high as the histograms; empty: not known.
        threshold: where it stands, in units of the width.
        facts, improved, held_out: figures beside the picture.
        curve: of the calibration; None: it is not known.
    """

    name: str
    before: str
    after: str
    matched: str
    mismatched: str
    threshold: float
    facts: ScoreFacts
    improved: ScoreFacts
    held_out: ScoreFacts | None
    curve: ScoreCurve | None


def score_charts(facts: RunFacts, curves: Mapping[str, ScoreCurve], threshold: float) -> list[ScoreChart]:
    """A chart for each score that any clip has."""
    return [
        _score_chart(name, facts, curves.get(name), threshold)
        for name, found in facts.scores.items()
        if found.before.any() or found.after.any()
    ]


def _score_chart(name: str, facts: RunFacts, curve: ScoreCurve | None, threshold: float) -> ScoreChart:
    found = facts.scores[name]
    top = max(int(found.before.max()), int(found.after.max()), 1)
    return ScoreChart(
        name=name,
        before=steps(found.before.tolist(), top),
        after=steps(found.after.tolist(), top),
        matched=line(curve.matched) if curve else "",
        mismatched=line(curve.mismatched) if curve else "",
        threshold=round(threshold * WIDTH, 1),
        facts=found,
        improved=facts.improved[name],
        held_out=facts.held_out.get(name),
        curve=curve,
    )


def steps(counts: Sequence[int], top: int) -> str:
    """A histogram's outline, closed along the bottom."""
    width = WIDTH / len(counts)
    parts = [f"M0 {HEIGHT}"]
    for index, count in enumerate(counts):
        y = round(HEIGHT * (1.0 - count / top), 1)
        parts.append(f"V{y}H{round((index + 1) * width, 1)}")
    return "".join([*parts, f"V{HEIGHT}Z"])


def line(counts: Sequence[int]) -> str:
    """A distribution as a line through the middles of its parts, smoothed over three, its peak at the top."""
    padded = [0, *counts, 0]
    smooth = [sum(padded[i : i + 3]) / 3 for i in range(len(counts))]
    top = max(smooth) or 1.0
    points = [
        f"{round((i + 0.5) * WIDTH / BINS, 1)} {round(HEIGHT * (1.0 - 0.95 * value / top), 1)}"
        for i, value in enumerate(smooth)
    ]
    return "M" + "L".join(points)
