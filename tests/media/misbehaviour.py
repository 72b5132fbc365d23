"""What hostile media do to a decoder, as functions to be run in one. Real ones that do so would be bugs to report."""

from __future__ import annotations

import ctypes
import os
import time

import numpy as np

from avagent.core.errors import EditError, FailureReason


def hang(_data: bytes) -> None:
    while True:
        time.sleep(60)


def spin_with_the_lock(_data: bytes) -> None:
    """In C, holding the interpreter's lock: no Python thread or handler of the child would ever run."""
    ctypes.PyDLL(None).sleep(3600)


def crash(_data: bytes) -> None:
    ctypes.string_at(0)


def leave(_data: bytes) -> None:
    os._exit(7)


def crash_once(marker: str) -> str:
    """As if somebody else had killed the child."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "survived"
    return str(ctypes.string_at(0))


def eat(nbytes: int) -> int:
    return int(np.ones(nbytes, np.uint8)[-1])


def fail(_data: bytes) -> None:
    raise EditError("too silent", reason=FailureReason.EDIT_FAILED)


def stumble(_data: bytes) -> None:
    raise ZeroDivisionError("a rate of 0")


def chat(data: bytes) -> bytes:
    """Libraries print at times: that must not get among the answers."""
    os.write(1, b"warning: something\n")
    return data


def process_id() -> int:
    return os.getpid()


def echo(*values: object, **named: object) -> object:
    return (values, named)
