"""How local workers tell the driver how far they are: one line for everything done, appended to a file."""

from __future__ import annotations

import os


def report_progress(path: str | None, label: str, nbytes: int) -> None:
    """Append `label bytes`.

    Args:
        path: a file on the machine that all workers share; None: report nothing (remote runners have Beam's metrics).
        label: what is counted: a clip's outcome, `written`.
        nbytes: size of what was done.
    """
    if path is None:
        return
    # One short append in O_APPEND mode is atomic between processes.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{label} {nbytes}\n".encode())
    finally:
        os.close(handle)
