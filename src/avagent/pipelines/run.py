"""What all runs share in the driver: inputs, a phase's time and metrics, the end."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from avagent import storage
from avagent.pipelines.phase import run_pipeline
from avagent.pipelines.wiring import Wired
from avagent.runs.run_plan import ShardTask
from avagent.shards.formats import count_clips
from avagent.storage.concurrent import ordered_map
from avagent.transforms.metrics import NAMESPACE

_LISTED_FROM = 16
"""Shards of one folder from which on listing the folder is cheaper than asking for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputShard:
    """A listed shard, its size in bytes (None: it cannot be read) and its version (None: not to be told)."""

    url: str
    nbytes: int | None
    version: str | None = None


@dataclass(slots=True, kw_only=True)
class Clock:
    """Seconds per phase and Beam's metrics, for `run.json`."""

    seconds: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Session:
    """What all phases share.

    Attributes:
        output: the output folder.
        wired: recipe, models, loop.
        options: Beam's.
        console: for progress.
        clock: filled on the way.
    """

    output: str
    wired: Wired
    options: PipelineOptions
    console: Console
    clock: Clock = field(default_factory=Clock)


def list_inputs(shards: Sequence[str]) -> tuple[InputShard, ...]:
    """The shards with size and version; what cannot be read is listed too: it becomes a dead letter, not a crash."""
    folders = Counter(storage.parent(url) for url in shards)
    listed = {folder: _listing(folder) for folder, count in folders.items() if count >= _LISTED_FROM}
    return tuple(ordered_map(lambda url: _input(url, listed.get(storage.parent(url), {})), shards))


def _listing(folder: str) -> dict[str, tuple[int, str]]:
    """Size and version of a folder's files by two listings; none where listing is refused, or versions are unknown."""
    try:
        sizes, versions = storage.folder_sizes(folder), storage.folder_versions(folder)
    except OSError:
        return {}
    return {name: (sizes[name], version) for name, version in versions.items() if name in sizes}


def _input(url: str, listed: Mapping[str, tuple[int, str]]) -> InputShard:
    if found := listed.get(storage.basename(url)):
        return InputShard(url=url, nbytes=found[0], version=found[1])
    try:
        nbytes = storage.size(url)
    except OSError:
        return InputShard(url=url, nbytes=None)
    try:
        return InputShard(url=url, nbytes=nbytes, version=storage.version(url))
    except OSError:
        return InputShard(url=url, nbytes=nbytes)


def limit_tasks(inputs: Sequence[InputShard], limit: int | None) -> list[ShardTask]:
    """The shards to work on; with a limit, only the first clips over all shards, in order."""
    if limit is None:
        return [ShardTask(url=shard.url) for shard in inputs]
    tasks: list[ShardTask] = []
    left = limit
    for shard in inputs:
        if left <= 0:
            break
        found = count_clips(shard.url, left)
        tasks.append(ShardTask(url=shard.url, clips=found))
        left -= found
    return tasks


def run_phase(session: Session, phase: str, elements: Sequence[Any], transform: beam.PTransform[Any, Any]) -> None:
    """Run one phase's pipeline to its end; time and metrics go to the session's clock."""
    started = time.perf_counter()
    result = run_pipeline(session.options, phase, elements, transform)
    session.clock.seconds[phase] = time.perf_counter() - started
    session.clock.metrics[phase] = metrics_by_part(result).get(phase, {})


def metrics_by_part(result: Any) -> dict[str, dict[str, Any]]:
    """Our counters and distributions, by part of the graph and name, summed over the steps of a part."""
    parts: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    query = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    for counter in query["counters"]:
        found = parts[_part(counter.key.step)]
        found[counter.key.metric.name] = found.get(counter.key.metric.name, 0) + (_value(counter) or 0)
    for item in query["distributions"]:
        value = _value(item)
        if value is None or value.count == 0:
            continue
        found = parts[_part(item.key.step)]
        old = found.get(item.key.metric.name, {"count": 0, "sum": 0, "min": value.min, "max": value.max})
        found[item.key.metric.name] = {
            "count": old["count"] + value.count,
            "sum": old["sum"] + value.sum,
            "min": min(old["min"], value.min),
            "max": max(old["max"], value.max),
        }
    return dict(parts)


def _part(step: str) -> str:
    """The first label of a step's name within the run: some runners tell the name as it is, others an identifier."""
    found = re.match(r"(?:ref_AppliedPTransform_)?(?:RefineShards[/-])?(\w+?)[/-]", step)
    return found.group(1).lower() if found else step.lower()


def _value(metric: Any) -> Any:
    """Portable runners tell what was attempted, the local one what was committed."""
    return metric.attempted if metric.committed is None else metric.committed
