"""What all runs share in the driver: inputs, a phase's time and metrics, the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from avagent import storage
from avagent.pipelines.phase import run_pipeline
from avagent.pipelines.throughput import stage_throughput
from avagent.pipelines.wiring import Wired
from avagent.records.decisions import read_decisions
from avagent.records.manifest import ManifestCounts, decisions_url, write_manifest
from avagent.runs.commit import finalize, write_run
from avagent.runs.rewrite import ShardReport
from avagent.shards.formats import count_clips
from avagent.storage.concurrent import ordered_map
from avagent.transforms.read import ShardTask

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
    session.clock.metrics[phase] = _metrics(result)


def _metrics(result: Any) -> dict[str, Any]:
    """Our counters and distributions, by name, summed over steps."""
    found: dict[str, Any] = {}
    query = result.metrics().query(MetricsFilter().with_namespace("avagent"))
    for counter in query["counters"]:
        found[counter.key.metric.name] = found.get(counter.key.metric.name, 0) + (_value(counter) or 0)
    for item in query["distributions"]:
        value = _value(item)
        if value is None:
            continue
        old = found.get(item.key.metric.name, {"count": 0, "sum": 0, "min": value.min, "max": value.max})
        found[item.key.metric.name] = {
            "count": old["count"] + value.count,
            "sum": old["sum"] + value.sum,
            "min": min(old["min"], value.min),
            "max": max(old["max"], value.max),
        }
    return found


def _value(metric: Any) -> Any:
    """Portable runners tell what was attempted, the local one what was committed."""
    return metric.attempted if metric.committed is None else metric.committed


def commit_run(session: Session, reports: Sequence[ShardReport], record: Mapping[str, Any]) -> ManifestCounts:
    """Write manifest, index and `_SUCCESS`."""
    fingerprint = session.wired.provenance.fingerprint
    run = {**record, **_timings(session)}
    return finalize(session.output, reports, fingerprint=fingerprint, run=run, evaluated=_evaluated(session))


def commit_decisions(session: Session, tasks: Sequence[ShardTask], record: Mapping[str, Any]) -> ManifestCounts:
    """Write the manifest of a run that only decides, for a person to look at; no shards, no `_SUCCESS`."""
    rows = ((storage.basename(t.url), read_decisions(decisions_url(session.output, t.url))) for t in tasks)
    counts = write_manifest(
        session.output, rows, fingerprint=session.wired.provenance.fingerprint, evaluated=_evaluated(session)
    )
    outcomes = {str(outcome): count for outcome, count in counts.outcomes}
    write_run(
        session.output,
        {
            **record,
            **_timings(session),
            "counts": {"clips": counts.clips, "outcomes": outcomes, "rounds": counts.rounds},
            "changes_made": counts.changes_made,
        },
    )
    return counts


def _evaluated(session: Session) -> bool:
    return session.wired.recipe.evaluation_scorer is not None


def _timings(session: Session) -> dict[str, Any]:
    throughput = {phase: rates for phase, found in session.clock.metrics.items() if (rates := stage_throughput(found))}
    return {"seconds": session.clock.seconds, "metrics": session.clock.metrics, "throughput": throughput}
