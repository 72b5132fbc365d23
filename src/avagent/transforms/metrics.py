"""Beam metrics of our own: outcomes, rounds, stage latencies, cache hits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from apache_beam.metrics.metric import Metrics

from avagent.core.state import ClipDecision
from avagent.media.store import MediaStore
from avagent.storage.retries import retry_counts

NAMESPACE = "avagent"
SPAN_SUFFIX = "_at_ms"


def count_decision(decision: ClipDecision) -> None:
    """Count a clip by outcome, its rounds, and its failure's reason."""
    Metrics.counter(NAMESPACE, f"clips_{decision.outcome}").inc()
    Metrics.distribution(NAMESPACE, "rounds").update(len(decision.history.rounds) if decision.history else 0)
    if decision.failure is not None:
        Metrics.counter(NAMESPACE, f"failures_{decision.failure.reason}").inc()


@contextmanager
def count_cache(store: MediaStore) -> Iterator[None]:
    """Count the store's hits and misses while the block runs."""
    before = store.stats
    yield
    after = store.stats
    Metrics.counter(NAMESPACE, "cache_hits").inc(after.hits - before.hits)
    Metrics.counter(NAMESPACE, "cache_misses").inc(after.misses - before.misses)


@contextmanager
def count_retries() -> Iterator[None]:
    """Count the operations on storage that were tried again while the block ran, by operation."""
    before = retry_counts()
    yield
    for operation, count in retry_counts().items():
        Metrics.counter(NAMESPACE, f"storage_retries_{operation}").inc(count - before.get(operation, 0))


def count_served(stage: str, clips: int, counts: Mapping[str, int]) -> None:
    """Count a batch's clips and what the port consumed, by stage; cache hits and misses over all stages."""
    Metrics.counter(NAMESPACE, f"{stage}_clips").inc(clips)
    for name, count in counts.items():
        Metrics.counter(NAMESPACE, name if name.startswith("cache_") else f"{stage}_{name}").inc(count)


@contextmanager
def phase_span(phase: str) -> Iterator[None]:
    """Note when the block began and ended, as `PHASE_at_ms`: milliseconds since the epoch.

    The first beginning and the last end over all workers tell how long a part of a run took, whoever waits for it.
    """
    note_moment(phase)
    yield
    note_moment(phase)


def note_moment(phase: str) -> None:
    """Note that a part of a run was under way; see :func:`phase_span`."""
    Metrics.distribution(NAMESPACE, f"{phase}{SPAN_SUFFIX}").update(int(time.time() * 1000))


@contextmanager
def stage_latency(stage: str) -> Iterator[None]:
    """Record the block's wall time as a distribution in ms."""
    started = time.perf_counter()
    yield
    Metrics.distribution(NAMESPACE, f"{stage}_ms").update(int((time.perf_counter() - started) * 1000))
