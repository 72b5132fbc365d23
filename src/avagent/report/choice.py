"""Which clips are shown: the best, the doubtful, the failed, some at random, and those that were asked for."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.compute as pc  # pyright: ignore[reportMissingTypeStubs]

from avagent.report.facts import SCORES, Values, numbers

# pyarrow carries no types
_pa: Any = pa
_pc: Any = pc

SEED = 0x9E3779B97F4A7C15
_FAILURES_A_REASON = 3
_RETIMED = 100.0


class Group(StrEnum):
    """Why a clip is shown."""

    ASKED = "asked"
    BEST = "best"
    SMALL_MARGIN = "small_margin"
    LARGE_EDIT = "large_edit"
    LITTLE_EVIDENCE = "little_evidence"
    FAILED = "failed"
    RANDOM = "random"
    EDITED = "edited"


SHARES: Mapping[Group, float] = {
    Group.BEST: 0.2,
    Group.SMALL_MARGIN: 0.15,
    Group.LARGE_EDIT: 0.15,
    Group.LITTLE_EVIDENCE: 0.15,
    Group.FAILED: 0.15,
    Group.RANDOM: 0.2,
}
"""Of all clips that are shown; what a group cannot fill goes to random ones."""

EVERY_EDIT: Mapping[Group, float] = {Group.EDITED: 1.0}
"""For a review: the clips that were edited, those with the smallest margins first."""


@dataclass(slots=True)
class Chosen:
    """A clip that is shown: its row of clips.parquet, and why."""

    row: dict[str, Any]
    groups: list[Group] = field(default_factory=list[Group])

    @property
    def place(self) -> tuple[str, str, str]:
        """What tells it from the others."""
        return place_of(self.row)


def place_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Shard, key and content hash."""
    return row["shard"], row["key"], row["content_sha256"]


class Choice:
    """Filled with the rows of clips.parquet, batch by batch; holds a few rows a group, however many come.

    Args:
        count: clips to choose, besides those asked for.
        keys: asked for, whatever becomes of the others.
        margins: of alignment and synchronization, as the run has them.
        seed: of the random ones.
        shares: of the groups.
    """

    def __init__(
        self,
        count: int,
        keys: Collection[str] = (),
        *,
        margins: tuple[float, float] = (0.0, 0.0),
        seed: int = SEED,
        shares: Mapping[Group, float] = SHARES,
    ) -> None:
        self._count = count
        self._keys = list(keys)
        self._margins = margins
        self._seed = np.uint64(seed)
        self._asked: list[dict[str, Any]] = []
        self._failed: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._best: dict[Group, list[tuple[float, int, dict[str, Any]]]] = {group: [] for group in shares}
        self._shares = shares
        self._seen = 0

    def add(self, batch: Any) -> None:
        """More rows of clips.parquet."""
        outcome = batch.column("outcome")
        improved = _pc.equal(outcome, "improved").to_numpy(zero_copy_only=False)
        failed = _pc.equal(outcome, "failed").to_numpy(zero_copy_only=False)
        gains = np.stack([numbers(batch, f"{s}_after") - numbers(batch, f"{s}_before") for s in SCORES])
        self._offer(Group.BEST, batch, np.where(improved, np.nansum(gains, axis=0), np.nan))
        over = gains - np.array(self._margins)[:, np.newaxis]
        # What could be scored only before, or only after, has no margin to be small.
        known = ~np.isnan(over)
        largest = np.where(known, over, -np.inf).max(axis=0)
        self._offer(Group.EDITED, batch, np.where(improved, -np.where(known.any(axis=0), largest, 0.0), np.nan))
        self._offer(Group.SMALL_MARGIN, batch, np.where(improved & known.any(axis=0), -largest, np.nan))
        self._offer(Group.LARGE_EDIT, batch, np.where(improved, _edit_size(batch), np.nan))
        self._offer(Group.LITTLE_EVIDENCE, batch, np.where(improved, _little_evidence(batch), np.nan))
        self._offer(Group.RANDOM, batch, np.where(failed, np.nan, _lots(batch, self._seed)))
        self._add_failed(batch, failed)
        if self._keys:
            mask = _pc.is_in(batch.column("key"), value_set=_pa.array(self._keys))
            self._asked += batch.filter(mask).to_pylist()
        self._seen += batch.num_rows

    def chosen(self) -> list[Chosen]:
        """The clips, group by group; one that belongs to several stands once."""
        found: dict[tuple[str, str, str], Chosen] = {}
        for row in self._asked:
            _put(found, row, Group.ASKED)
        most = self._count + len(found)
        for group, share in self._shares.items():
            rows = self._failures() if group is Group.FAILED else self._ranked(group)
            quota = max(1, round(share * self._count)) if group is not Group.RANDOM else most
            for row in rows[: quota if group is not Group.RANDOM else len(rows)]:
                if place_of(row) in found or len(found) < most:
                    _put(found, row, group)
        return list(found.values())

    def missing(self) -> list[str]:
        """Keys that were asked for and do not occur."""
        return sorted(set(self._keys) - {row["key"] for row in self._asked})

    def _offer(self, group: Group, batch: Any, values: Values) -> None:
        """The rows with the largest values; NaN: does not belong to the group."""
        kept = self._best.get(group)
        if kept is None or not self._count:
            return
        fit = np.flatnonzero(~np.isnan(values))
        if len(kept) >= self._count:
            fit = fit[values[fit] > kept[0][0]]
        # The largest first, the earlier of equals first: what is chosen does not depend on how rows come in batches.
        for index in fit[np.argsort(-values[fit], kind="stable")][: self._count].tolist():
            entry = float(values[index]), -(self._seen + index)
            if len(kept) < self._count:
                heapq.heappush(kept, (*entry, batch.slice(index, 1).to_pylist()[0]))
            elif entry > kept[0][:2]:
                heapq.heapreplace(kept, (*entry, batch.slice(index, 1).to_pylist()[0]))

    def _ranked(self, group: Group) -> list[dict[str, Any]]:
        return [row for _, _, row in sorted(self._best[group], key=lambda entry: entry[:2], reverse=True)]

    def _add_failed(self, batch: Any, failed: npt.NDArray[np.bool_]) -> None:
        """The first ones of each reason."""
        if not failed.any():
            return
        rows = batch.filter(_pa.array(failed))
        for reason in _pc.unique(rows.column("reason")).to_pylist():
            known = self._failed[reason]
            if len(known) < _FAILURES_A_REASON:
                same = rows.filter(_pc.equal(rows.column("reason"), reason))
                known += same.slice(0, _FAILURES_A_REASON - len(known)).to_pylist()

    def _failures(self) -> list[dict[str, Any]]:
        """One of each reason, then a second, then a third."""
        turns = range(_FAILURES_A_REASON)
        return [rows[turn] for turn in turns for _, rows in sorted(self._failed.items()) if turn < len(rows)]


def _put(found: dict[tuple[str, str, str], Chosen], row: dict[str, Any], group: Group) -> None:
    chosen = found.setdefault(place_of(row), Chosen(row))
    if group not in chosen.groups:
        chosen.groups.append(group)


def _edit_size(batch: Any) -> Values:
    """What sounds least like the original first: another tempo or pitch, then a low SI-SDR."""
    retimed = np.abs(numbers(batch, "tempo_change")) + np.abs(numbers(batch, "transposed"))
    return np.where(retimed > 0.0, _RETIMED + retimed, -numbers(batch, "si_sdr"))


def _little_evidence(batch: Any) -> Values:
    """Of clips that were moved or changed in tempo: how little the score speaks for it, before and after; else NaN.

    A sound that is out of time scores low before the repair and high after it; the weaker of the two counts.
    """
    moved = (np.abs(numbers(batch, "moved_ms")) > 0.0) | (np.abs(numbers(batch, "tempo_change")) > 0.0)
    before, after = numbers(batch, "synchronization_before"), numbers(batch, "synchronization_after")
    evidence = np.minimum(np.nan_to_num(1.0 - before), np.nan_to_num(after))
    return np.where(moved, 1.0 - evidence, np.nan)


def _lots(batch: Any, seed: np.uint64) -> Values:
    """A number in [0, 1) for each clip by its content: the same ones are drawn in whatever order they come."""
    heads = [int(text[:16] or "0", 16) for text in batch.column("content_sha256").to_pylist()]
    mixed = np.array(heads, np.uint64) ^ seed
    mixed ^= mixed >> np.uint64(33)
    with np.errstate(over="ignore"):
        mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)
