"""A run on top of an earlier one: what did not change is taken over, and the rest is told apart and counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from pydantic_core import from_json
from rich.console import Console

from avagent import storage
from avagent.core.errors import UsageError
from avagent.pipelines.phase import phase_progress
from avagent.pipelines.progress import Tally
from avagent.pipelines.request import RefineRequest, stage_fingerprints
from avagent.pipelines.run import InputShard, Session, run_phase
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
from avagent.records.manifest import decisions_url, manifest_url, open_table, shards_decided
from avagent.runs.commit import RUN_FILE
from avagent.runs.previous import (
    LATEST,
    POINTER_FILE,
    Earlier,
    PreviousRun,
    publish,
    read_pointer,
    read_previous,
)
from avagent.runs.shard_reports import shards_reported
from avagent.storage.concurrent import ordered_map
from avagent.transforms.carry import CarryShards
from avagent.transforms.read import ShardTask


@dataclass(slots=True, kw_only=True)
class RefreshCounts:
    """What `run.json` says under `refresh`.

    Attributes:
        shards_carried: taken over whole, unread.
        clips: by what became of them.
        captions_reused, scores_reused: clips decided again with what was known of them.
    """

    shards_carried: int = 0
    clips: Counter[Change] = field(default_factory=Counter)
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


def find_previous(request: RefineRequest) -> PreviousRun | None:
    """The previous run that was asked for; None: none was, or `latest` and none was published yet.

    Raises:
        UsageError: it is not there, not complete, or the output folder itself.
    """
    if request.previous is None:
        return None
    folder = read_pointer(request.output) if request.previous == LATEST else storage.canonical(request.previous)
    if folder is None:
        return None
    if folder == storage.canonical(request.output):
        raise UsageError(
            f"{folder} cannot be output and previous run at once: choose another --output, or an earlier --previous"
        )
    return read_previous(folder)


def with_earlier(
    tasks: Sequence[ShardTask], inputs: Sequence[InputShard], previous: PreviousRun, session: Session
) -> list[ShardTask]:
    """The tasks, each with what the previous run offers for it; a part of a shard is never taken over whole."""
    offers = previous.offers(((s.url, s.version) for s in inputs), stage_fingerprints(session.wired))
    found: list[ShardTask] = []
    for task in tasks:
        earlier = offers[task.url]
        found.append(replace(task, earlier=earlier if task.clips is None else replace(earlier, same_input=False)))
    return found


def carry_phase(session: Session, tasks: Sequence[ShardTask], *, decisions_only: bool) -> None:
    """Take over the shards that did not change and are not here yet."""
    here = shards_decided(session.output) if decisions_only else shards_reported(session.output)
    offered = (task for task in tasks if task.earlier is not None and task.earlier.whole)
    todo = [task for task in offered if storage.basename(task.url) not in here]
    if not todo:
        return
    tally = Tally(unit="shards", total_bytes=0, total=len(todo))
    with phase_progress(session.options, session.console, "carry", tally) as path:
        carry = CarryShards(session.output, decisions_only=decisions_only, progress=path)
        run_phase(session, "carry", todo, carry)


def report_changes(session: Session, tasks: Sequence[ShardTask], previous: PreviousRun) -> dict[str, Any]:
    """Write `changes.parquet`, one row a clip, and print what it comes to; gives the same for `run.json`.

    Raises:
        OSError: storage failed.
    """
    counts = RefreshCounts()
    # Read twice: after a change of the recipe, all clips of all shards would be held at once.
    every = ordered_map(lambda task: set(_changes(session.output, task).moved()), tasks)
    moved = {clip for found in every for clip in found}
    with open_table(manifest_url(session.output, CHANGES_FILE), CHANGES_COLUMNS) as table:
        for name, changes, clips in chain(_compared(session.output, tasks), _gone(tasks, previous)):
            kept = changes.without(moved)
            counts.add(kept)
            for row in change_rows(name, kept, clips):
                table.add(row)
    record = counts.record()
    _print(session.console, previous, record)
    return {"previous": previous.output, **record}


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


def _print(console: Console, previous: PreviousRun, record: Mapping[str, int]) -> None:
    clips = [(str(change).replace("_", " "), record[f"clips_{change}"]) for change in Change]
    shown = ", ".join(f"{count} {name}" for name, count in clips if count) or "none"
    console.print(
        f"since {storage.basename(previous.output)}: {record['shards_copied']} shards copied unread; clips: {shown}",
        markup=False,
        highlight=False,
    )


def publish_version(request: RefineRequest, console: Console) -> None:
    """Make a finished run the newest version, if it was asked to go by `latest`; a part of a run never is."""
    if request.previous != LATEST or request.decide_only or request.limit is not None:
        return
    publish(request.output)
    console.print(f"{POINTER_FILE} names {storage.basename(storage.canonical(request.output))} now", highlight=False)


def publish_if_pending(request: RefineRequest, console: Console) -> None:
    """The same for a run that is complete, but was interrupted before it was published.

    It is pending if the pointer still names the run that it was made on top of; a later one stays.
    """
    if request.previous != LATEST:
        return
    latest = read_pointer(request.output)
    run = json.loads(storage.read_text(manifest_url(request.output, RUN_FILE)))
    if latest == run.get("refresh", {}).get("previous"):
        publish_version(request, console)
