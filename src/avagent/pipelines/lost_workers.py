"""The ends of a command that Beam's local runner would draw out: a worker process that dies, and Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType

_WORKER_THREAD = "run_worker"
"""Beam's name of the thread that waits for a worker process, and raises if its exit code is not 0."""
_KILLED_BY_INTERRUPT = f"return code {-signal.SIGINT:d}"
"""How Beam tells that Ctrl-C, which reaches all processes of a terminal, ended a worker process."""


def exit_with_lost_workers(code: int, *, interrupted: str) -> None:
    """From now on, end this process at once, with an exit code, when a worker process dies.

    At once: Beam's own way out waits for workers that it cannot reach. They end when this process is gone, and the
    output is as after any interrupted run. For processes that are the command's own.

    Args:
        code: of the process.
        interrupted: what to say when it was Ctrl-C.
    """
    earlier = threading.excepthook

    def end(args: threading.ExceptHookArgs) -> None:
        by_interrupt = str(args.exc_value).endswith(_KILLED_BY_INTERRUPT)
        if _was_interrupted.is_set() and not by_interrupt:
            return
        if args.thread is None or args.thread.name != _WORKER_THREAD:
            earlier(args)
            return
        died = (
            f"a worker process died ({args.exc_value}), perhaps for want of memory; run the same command again to go on"
        )
        sys.stderr.write(f"avagent: {interrupted if by_interrupt else died}\n")
        sys.stderr.flush()
        os._exit(code)

    threading.excepthook = end


_was_interrupted = threading.Event()


def hush_when_interrupted() -> None:
    """From now on, Ctrl-C ends the command as ever, and what threads say while they are stopped is not shown."""

    def stop(number: int, frame: FrameType | None) -> None:
        _was_interrupted.set()
        logging.disable(logging.CRITICAL)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, stop)


def was_interrupted() -> bool:
    """Whether it was Ctrl-C that ended the command."""
    return _was_interrupted.is_set()
