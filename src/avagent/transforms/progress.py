"""How local workers tell the driver how far they are: one line a clip, appended to a file."""

from __future__ import annotations

import os

from avagent.core.state import ClipDecision


def report_progress(decision: ClipDecision, path: str | None) -> None:
    """Append a decided clip's `outcome bytes` to a file.

    Args:
        decision: of one clip.
        path: a file on the machine that all workers share; None: report nothing (remote runners have Beam's metrics).
    """
    if path is None:
        return
    # One short append in O_APPEND mode is atomic between processes.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{decision.outcome} {decision.ref.length}\n".encode())
    finally:
        os.close(handle)
