"""What changed from the previous run to this one: counted and written down at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from pydantic_core import from_json

from avagent import storage
from avagent.records.changes import (
    CHANGES_COLUMNS,
    CHANGES_FILE,
    Change,
    ShardChanges,
    change_rows,
    compare,
    deleted,
    read_changes,
)
from avagent.records.decisions import read_decisions
from avagent.records.manifest import decisions_url, manifest_url, open_table
from avagent.runs.previous import Earlier, PreviousRun
from avagent.runs.run_plan import ShardTask
from avagent.storage.concurrent import ordered_map


@dataclass(slots=True, kw_only=True)
class RefreshCounts:
    """What `run.json` says under `refresh`.

    Attributes:
        shards_carried: taken over whole, unread.
        clips: by what became of them.
        captions_reused, scores_reused: clips decided again with what was known of them.
    """

    shards_carried: int = 0
    clips: Counter[Change] = field(default_factory=Counter[Change])
    captions_reused: int = 0
    scores_reused: int = 0

    def add(self, changes: ShardChanges) -> None:
        """One more shard."""
        self.shards_carried += changes.carried
        self.clips.update({change: changes.count(change) for change in Change})
        self.captions_reused += changes.captions_reused
        self.scores_reused += changes.scores_reused

    def record(self) -> dict[str, int]:
        """As JSON."""
        clips = {f"clips_{change}": self.clips[change] for change in Change}
        reused = {"captions_reused": self.captions_reused, "scores_reused": self.scores_reused}
        return {"shards_copied": self.shards_carried, **clips, **reused}


def write_changes_table(output: str, tasks: Sequence[ShardTask], previous: PreviousRun) -> dict[str, str | int]:
    """Write `changes.parquet`, one row a clip; gives what it comes to, for `run.json`.

    Raises:
        OSError: storage failed.
    """
    counts = RefreshCounts()
    # Read twice: after a change of the recipe, all clips of all shards would be held at once.
    every = ordered_map(lambda task: set(_changes(output, task).moved()), tasks)
    moved = {clip for found in every for clip in found}
    with open_table(manifest_url(output, CHANGES_FILE), CHANGES_COLUMNS) as table:
        for name, changes, clips in chain(_compared(output, tasks), _gone(tasks, previous)):
            kept = changes.without(moved)
            counts.add(kept)
            for row in change_rows(name, kept, clips):
                table.add(row)
    return {"previous": previous.output, **counts.record()}


_Compared = tuple[str, ShardChanges, list[tuple[str, str]]]
"""Name of a shard, what changed in it, and (key, content hash) of its clips."""


def _compared(output: str, tasks: Sequence[ShardTask]) -> Iterator[_Compared]:
    def one(task: ShardTask) -> _Compared:
        return storage.basename(task.url), _changes(output, task), list(_clips(output, task.url))

    return ordered_map(one, tasks)


def _gone(tasks: Sequence[ShardTask], previous: PreviousRun) -> Iterator[_Compared]:
    """Shards of the previous run that none of this one answers for; with a limit, what is not read is not gone."""
    if any(task.clips is not None for task in tasks):
        return
    for shard in sorted(set(previous.inputs) - {task.earlier.shard for task in tasks if task.earlier is not None}):
        earlier = Earlier(output=previous.output, shard=shard, holds=frozenset())
        yield shard, ShardChanges(previous=shard, clips=tuple(map(deleted, earlier.decisions()))), []


def _changes(output: str, task: ShardTask) -> ShardChanges:
    """As they were written where the shard was read; by the decisions, if an interrupted run did not compare it."""
    found = read_changes(output, task.url)
    if found is not None:
        return found
    after = read_decisions(decisions_url(output, task.url))
    if task.earlier is None:
        return compare(None, (), after)
    return compare(task.earlier.shard, task.earlier.decisions(), after)


def _clips(output: str, shard: str) -> Iterator[tuple[str, str]]:
    """(key, content hash) of a shard's decisions; no more of them is parsed."""
    for line in storage.read_bytes(decisions_url(output, shard)).splitlines():
        ref = from_json(line)["ref"]
        yield ref["key"], ref["content_sha256"]
