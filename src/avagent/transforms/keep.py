"""Decisions on disk as they come, whatever the runner makes of its bundles: one writer a process."""

from __future__ import annotations

import threading

from avagent.core.state import ClipDecision
from avagent.runs.decision_parts import PartWriter
from avagent.transforms.loop import Loop

_writers: dict[tuple[str, str], PartWriter] = {}
_lock = threading.Lock()


def keep_decision(decision: ClipDecision, loop: Loop) -> None:
    """Keep a decision for a run that may have to go on here. What failed by chance is to be tried again then.

    Raises:
        OSError: storage failed.
    """
    if loop.parts is None or not decision.settled:
        return
    with _lock:
        writer = _writers.get((loop.store.run, loop.parts))
        if writer is None:
            writer = _writers[loop.store.run, loop.parts] = PartWriter(loop.parts)
        writer.add(decision)


def keep_all(loop: Loop) -> None:
    """Write what waits, at the end of a bundle. Raises OSError."""
    if loop.parts is None:
        return
    with _lock:
        writer = _writers.pop((loop.store.run, loop.parts), None)
        if writer is not None:
            writer.flush()
