"""The decoder process: works on media of unknown origin, and may crash, hang or run out of memory while it does.

Started by :mod:`avagent.media.decoder_process` as `python -m avagent.media.decoder_child`; nobody else needs it.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from avagent.core.errors import ClipError, ParameterError
from avagent.media.decoder_wire import WireError, receive, send

OWN_PACKAGE = "avagent.media."
_ORPHAN_SECONDS = 10.0
"""How much longer than the worker's patience a step may take: who is still at it then has lost its worker."""


def main(arguments: list[str]) -> int:
    """Serve one worker until it closes the connection.

    Args:
        arguments: file descriptor of the connection, MiB of memory, and modules besides our own that may be called.
    """
    # Ctrl-C reaches the whole group of processes: the worker decides, and closes the connection.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor, memory_mib, *modules = arguments
    connection = socket.socket(fileno=int(descriptor))
    import_module(OWN_PACKAGE + "container")  # What is loaded is not counted.
    _bound_memory(int(memory_mib))
    send(connection, "ready")
    while True:
        try:
            request = receive(connection, sys.maxsize)
            answer = _answer(request, modules)
            send(connection, answer)
        except (WireError, OSError):
            return 0
        if answer.get("error") == MemoryError.__name__:
            return 0  # What is left of it after that is not to be relied upon.


def _bound_memory(mib: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return  # Not Linux: other systems do not hold processes to it anyway; `avagent doctor` says so.
    most = pages * resource.getpagesize() + (mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _answer(request: dict[str, Any], modules: list[str]) -> dict[str, Any]:
    seconds = float(request["seconds"])
    # The kernel ends an orphan that hangs, whoever holds the interpreter's lock.
    signal.setitimer(signal.ITIMER_REAL, seconds + _ORPHAN_SECONDS)
    try:
        function = _resolve(request["function"], modules)
        return {"value": function(*request["args"], **request["kwargs"])}
    except ClipError as error:
        return {
            "error": type(error).__name__,
            "message": str(error),
            "reason": str(error.reason),
            "stage": str(error.stage),
        }
    except MemoryError:
        return {"error": MemoryError.__name__, "message": ""}
    except ParameterError as error:
        return {"error": ParameterError.__name__, "message": str(error)}
    except Exception as error:  # noqa: BLE001  (whatever hostile media provoke must not take other clips along)
        return {"error": "unexpected", "message": f"{type(error).__name__}: {error}{_place(error)}"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _place(error: BaseException) -> str:
    """Where it was raised."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"


def _resolve(name: str, modules: list[str]) -> Callable[..., Any]:
    """A function by `module:name`, of modules that are known; names never come from data."""
    module, _, function = name.partition(":")
    if not module.startswith(OWN_PACKAGE) and module not in modules:
        raise ParameterError(f"{name} is not to be called here")
    return cast("Callable[..., Any]", getattr(import_module(module), function))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
