"""A run on top of an earlier one: what did not change is taken over, and the rest is told apart and counted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console

from avagent import storage
from avagent.core.errors import UsageError
from avagent.pipelines.request import RefineRequest, stage_fingerprints
from avagent.pipelines.run import InputShard, Session
from avagent.records.changes import (
    Change,
)
from avagent.records.manifest import manifest_url
from avagent.runs.commit import RUN_FILE
from avagent.runs.previous import (
    LATEST,
    POINTER_FILE,
    PreviousRun,
    publish,
    read_pointer,
    read_previous,
)
from avagent.runs.run_plan import ShardTask


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


def print_changes(console: Console, record: Mapping[str, Any]) -> None:
    """Say what `run.json` tells under `refresh`."""
    clips = [(str(change).replace("_", " "), record[f"clips_{change}"]) for change in Change]
    shown = ", ".join(f"{count} {name}" for name, count in clips if count) or "none"
    console.print(
        f"since {storage.basename(record['previous'])}: {record['shards_copied']} shards copied unread; clips: {shown}",
        markup=False,
        highlight=False,
    )


def publish_if_pending(request: RefineRequest, console: Console) -> None:
    """Make a run that is complete the newest version, if it was interrupted before it could.

    It is pending if the pointer still names the run that it was made on top of; a later one stays.
    """
    if not is_version(request):
        return
    latest = read_pointer(request.output)
    run = json.loads(storage.read_text(manifest_url(request.output, RUN_FILE)))
    if latest == run.get("refresh", {}).get("previous"):
        publish(request.output)
        print_published(request.output, console)


def is_version(request: RefineRequest) -> bool:
    """Whether the run, once finished, is to be the newest version: a part of a run never is."""
    return request.previous == LATEST and not request.decide_only and request.limit is None


def print_published(output: str, console: Console) -> None:
    """Say which version is the newest."""
    console.print(f"{POINTER_FILE} names {storage.basename(storage.canonical(output))} now", highlight=False)
