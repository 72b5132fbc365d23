"""Worker processes of Beam's local runner that die: the command ends, instead of waiting for them for ever."""

from __future__ import annotations

import os
import sys
import threading

_WORKER_THREAD = "run_worker"
"""Beam's name of the thread that waits for a worker process, and raises if its exit code is not 0."""


def exit_with_lost_workers(code: int) -> None:
    """From now on, end this process at once, with an exit code, when a worker process dies.

    At once: Beam's own way out waits for workers that it cannot reach. They end when this process is gone, and the
    output is as after any interrupted run. For processes that are the command's own.
    """
    earlier = threading.excepthook

    def end(args: threading.ExceptHookArgs) -> None:
        if args.thread is None or args.thread.name != _WORKER_THREAD:
            earlier(args)
            return
        message = f"a worker process died ({args.exc_value}), perhaps for want of memory"
        sys.stderr.write(f"avagent: {message}; run the same command again to go on\n")
        sys.stderr.flush()
        os._exit(code)

    threading.excepthook = end
