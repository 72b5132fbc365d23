"""What a run's manifest comes to, read in bounded memory: two million rows need no more than two thousand."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.compute as pc  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]
from pydantic_core import from_json

from avagent import storage
from avagent.core.actions import ACTIONS
from avagent.core.errors import UsageError
from avagent.core.reflection import Objection
from avagent.records.manifest import CLIPS_FILE, ROUNDS_FILE, manifest_url

# pyarrow carries no types
_pa: Any = pa
_pc: Any = pc
_pq: Any = pq

Values = npt.NDArray[np.float64]

SCORES = ("alignment", "synchronization")
BINS = 40
"""Of a histogram over [0, 1]."""
NO_GAIN = "no_gain"
"""An edit that nothing was said against, and whose scores did not rise by more than their margins."""
_BATCH = 65_536
_PARSED = 4_096
"""Rows a batch whose parameters are read; of more, every so many-th: a quantile needs no more."""
_DIGITS = 3
_DROPPED = re.compile(r"; (\w+) dropped: (\w+)")


@dataclass(slots=True)
class ScoreFacts:
    """One score of all clips, or of the improved ones.

    Attributes:
        before, after: clips in each of :data:`BINS` equal parts of [0, 1].
        sums: of the values before and after, where both are known.
        both: number of such clips.
        unknown: clips that could not be scored before, and after.
    """

    before: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    after: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    sums: tuple[float, float] = (0.0, 0.0)
    both: int = 0
    unknown: tuple[int, int] = (0, 0)

    def add(self, before: Values, after: Values) -> None:
        """More clips; NaN: not evaluable."""
        self.before += histogram(before)
        self.after += histogram(after)
        known = ~np.isnan(before) & ~np.isnan(after)
        self.sums = self.sums[0] + float(before[known].sum()), self.sums[1] + float(after[known].sum())
        self.both += int(known.sum())
        self.unknown = self.unknown[0] + int(np.isnan(before).sum()), self.unknown[1] + int(np.isnan(after).sum())

    @property
    def means(self) -> tuple[float, float] | None:
        """Before and after, of the clips where both are known; None: there are none."""
        return (self.sums[0] / self.both, self.sums[1] / self.both) if self.both else None


@dataclass(slots=True)
class ActionFacts:
    """What became of the plans with an action of one kind.

    Attributes:
        tried, kept: rounds.
        dropped: why it was not kept, by objection or :data:`NO_GAIN`.
        parameters: of the rounds that were kept, by name: numbers to three digits, and words.
    """

    tried: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter[str])
    parameters: dict[str, Counter[float | str]] = field(default_factory=dict[str, "Counter[float | str]"])

    def parameter(self, values: Mapping[str, Any], count: int) -> None:
        """Note the parameters of rounds that were kept."""
        for name, value in values.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            shown = _rounded(float(value)) if number else str(value)
            self.parameters.setdefault(name, Counter())[shown] += count


@dataclass(slots=True)
class RoundFacts:
    """Rounds of one number: how many were tried and kept, and their times in s, to three digits."""

    tried: int = 0
    kept: int = 0
    seconds: Counter[float] = field(default_factory=Counter[float])


@dataclass(slots=True)
class RunFacts:
    """All that a run's two tables come to.

    Attributes:
        clips: rows of clips.parquet.
        outcomes: clips by outcome.
        reasons: clips by outcome and reason.
        scores, improved: by score; of all clips, and of the improved ones.
        held_out: the same of the improved clips by the scorer that took no part; empty: the recipe names none.
        rounds_a_clip: clips by their number of rounds.
        actions: by kind.
        rounds: by number, from 1.
    """

    clips: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    scores: dict[str, ScoreFacts] = field(default_factory=lambda: {name: ScoreFacts() for name in SCORES})
    improved: dict[str, ScoreFacts] = field(default_factory=lambda: {name: ScoreFacts() for name in SCORES})
    held_out: dict[str, ScoreFacts] = field(default_factory=dict[str, ScoreFacts])
    rounds_a_clip: Counter[int] = field(default_factory=Counter[int])
    actions: dict[str, ActionFacts] = field(default_factory=dict[str, ActionFacts])
    rounds: dict[int, RoundFacts] = field(default_factory=dict[int, RoundFacts])

    def add_clips(self, batch: Any) -> None:
        """Rows of clips.parquet."""
        self.clips += batch.num_rows
        outcomes = batch.column("outcome")
        for value in _pc.value_counts(outcomes).to_pylist():
            self.outcomes[value["values"]] += value["counts"]
        for row in _grouped(batch, ("outcome", "reason")):
            self.reasons[row["outcome"], row["reason"]] += row["count"]
        for value in _pc.value_counts(batch.column("rounds")).to_pylist():
            self.rounds_a_clip[value["values"]] += value["counts"]
        improved = _pc.equal(outcomes, "improved").to_numpy(zero_copy_only=False)
        for name in SCORES:
            before, after = numbers(batch, f"{name}_before"), numbers(batch, f"{name}_after")
            self.scores[name].add(before, after)
            self.improved[name].add(before[improved], after[improved])
            if f"evaluation_{name}_before" in batch.schema.names:
                pair = (numbers(batch, f"evaluation_{name}_{when}")[improved] for when in ("before", "after"))
                self.held_out.setdefault(name, ScoreFacts()).add(*pair)

    def add_rounds(self, batch: Any) -> None:
        """Rows of rounds.parquet."""
        for row in _grouped(batch, ("noise", "coordination", "accepted", "objection")):
            for kind in (row["noise"], row["coordination"]):
                if kind is not None:
                    self._add_tried(kind, row)
        for row in _grouped(batch, ("round", "accepted")):
            found = self.rounds.setdefault(row["round"], RoundFacts())
            found.tried += row["count"]
            found.kept += row["count"] * row["accepted"]
        self._add_dropped(batch)
        self._add_sample(batch)

    def _add_tried(self, kind: str, row: Mapping[str, Any]) -> None:
        action = self.actions.setdefault(kind, ActionFacts())
        action.tried += row["count"]
        if row["accepted"]:
            action.kept += row["count"]
        else:
            action.dropped[row["objection"] or NO_GAIN] += row["count"]

    def _add_dropped(self, batch: Any) -> None:
        """Half of a plan that was dropped before the rest was scored stands in the rationale."""
        rationale = batch.column("rationale")
        for text in rationale.filter(_pc.match_substring(rationale, " dropped: ")).to_pylist():
            for kind, objection in _DROPPED.findall(text):
                if kind in ACTIONS and objection in list(Objection):
                    action = self.actions.setdefault(kind, ActionFacts())
                    action.tried += 1
                    action.dropped[objection] += 1

    def _add_sample(self, batch: Any) -> None:
        step = -(-batch.num_rows // _PARSED)
        rows = batch.take(_pa.array(range(0, batch.num_rows, step))) if step > 1 else batch
        for row in rows.select(["round", "accepted", "noise", "coordination", "parameters", "seconds"]).to_pylist():
            self.rounds[row["round"]].seconds[_rounded(row["seconds"])] += 1
            if row["accepted"]:
                parameters = from_json(row["parameters"])
                for part in ("noise", "coordination"):
                    if row[part] is not None:
                        self.actions[row[part]].parameter(parameters.get(part, {}), 1)


def read_facts(output: str) -> RunFacts:
    """What the tables of a run come to.

    Raises:
        UsageError: there are none, or they cannot be read.
    """
    facts = RunFacts()
    for batch in batches(output, CLIPS_FILE):
        facts.add_clips(batch)
    for batch in batches(output, ROUNDS_FILE):
        facts.add_rounds(batch)
    return facts


def batches(output: str, name: str, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """A table of the manifest, some rows at a time; columns that it lacks are left out.

    Raises:
        UsageError: it cannot be read.
    """
    url = manifest_url(output, name)
    try:
        with storage.open_read(url) as file:
            table = _pq.ParquetFile(file)
            known = table.schema_arrow.names
            chosen = None if columns is None else [column for column in columns if column in known]
            yield from table.iter_batches(_BATCH, columns=chosen)
    except FileNotFoundError as error:
        raise UsageError(
            f"{output} holds no finished run: {url} is missing; `avagent status {output}` tells how far it is"
        ) from error
    except (OSError, _pa.ArrowException) as error:
        raise UsageError(f"{url} cannot be read: {error}") from error


def numbers(batch: Any, column: str) -> Values:
    """A column as float64 [rows]; NaN for null, and where there is no such column."""
    if column not in batch.schema.names:
        return np.full(int(batch.num_rows), np.nan)
    values = batch.column(column).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64)


def histogram(values: Values) -> npt.NDArray[np.int64]:
    """int64 [BINS]: values in each equal part of [0, 1]; NaN counts nowhere."""
    known = values[~np.isnan(values)]
    counts: Any = np.bincount(np.clip((known * BINS).astype(np.int64), 0, BINS - 1), minlength=BINS)
    return np.asarray(counts, np.int64)


def quantile(counts: Mapping[float, int], share: float) -> float:
    """The smallest value that so large a share of all does not exceed; NaN: there are none."""
    wanted, seen = share * sum(counts.values()), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted and seen:
            return value
    return math.nan


def _rounded(value: float) -> float:
    """To three digits: so many classes, and no more, however many clips."""
    return float(f"{value:.{_DIGITS}g}")


def _grouped(batch: Any, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Distinct values of the columns, and in `count` how many rows have them."""
    table = _pa.Table.from_batches([batch]).select(list(columns))
    grouped = table.group_by(list(columns)).aggregate([([], "count_all")])
    return [{**row, "count": row["count_all"]} for row in grouped.to_pylist()]
