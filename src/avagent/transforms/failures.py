"""Giving up a run that goes wrong: every worker process counts what it decides itself, and needs no other to tell."""

from __future__ import annotations

import threading

from avagent.core.failure_rate import FailureCount
from avagent.core.state import ClipDecision
from avagent.transforms.loop import Loop

_counts: dict[str, FailureCount] = {}
_lock = threading.Lock()


def count_failure(decision: ClipDecision, loop: Loop) -> None:
    """Count a decision of this process. Raises TooManyFailuresError."""
    if loop.failures is None:
        return
    with _lock:
        count = _counts.get(loop.store.run)
        if count is None:
            _counts.clear()
            count = _counts[loop.store.run] = FailureCount(loop.failures)
        count.add(decision)
