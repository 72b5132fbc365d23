"""Decoding in a process that can be killed: media that hang, crash or bloat a decoder cost one clip, not the worker.

A worker process has a small pool of such children, started when they are first needed by `exec`, so that no thread and
no lock of the worker is inherited, and reused for all clips. Bytes go in and arrays come out through a socket.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar

from avagent.core.errors import AVAgentError, ClipError, FailureReason, MediaError, ParameterError, Stage
from avagent.media.decoder_wire import WireError, receive, send
from avagent.media.limits import SECTION, DecodeLimits, over_limit

P = ParamSpec("P")
T = TypeVar("T")

_START_SECONDS = 120.0
_STOP_SECONDS = 2.0
_CRASHES = 2
"""A clip is given up when its decoder has crashed so often: once may be somebody else's doing."""


class Decoder(Protocol):
    """Runs functions of :mod:`avagent.media` that touch media of unknown origin."""

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function gives, or the :class:`ClipError` that it raises."""
        ...

    def for_clip(self) -> Decoder:
        """The same for all that one clip needs: its steps together have the limit of time."""
        ...


class DirectDecoder:
    """Runs them in this process, without limits of time and memory."""

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """See :class:`Decoder`."""
        return function(*args, **kwargs)

    def for_clip(self) -> Decoder:
        """See :class:`Decoder`; there is no limit."""
        return self


@dataclass(slots=True)
class Allowance:
    """Wall time in s that is left; waiting for a decoder that is free does not count."""

    left: float


@dataclass(frozen=True, slots=True)
class ClipDecoder:
    """A pool for one clip: what a step took is not left for the next."""

    pool: DecoderPool
    allowance: Allowance

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """See :class:`Decoder`."""
        return self.pool.run_within(self.allowance, function, args, kwargs)

    def for_clip(self) -> Decoder:
        """See :class:`Decoder`: it is that already."""
        return self


class DecoderCrashedError(Exception):
    """The child is gone; the message says how."""


class _Child:
    """One decoder process."""

    def __init__(self, limits: DecodeLimits, modules: tuple[str, ...]) -> None:
        self._most = limits.decode_memory_mib << 20
        self._connection, theirs = socket.socketpair()
        with theirs:
            path = os.pathsep.join(entry for entry in sys.path if entry)
            command = [sys.executable, "-P", "-m", "avagent.media.decoder_child", str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
                [*command, str(limits.decode_memory_mib), *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path},
            )
        try:
            receive(self._connection, self._most, time.monotonic() + _START_SECONDS)
        except (WireError, OSError) as error:
            self.kill()
            raise AVAgentError(
                f"the decoder process does not start ({self._ending()}): look for its message above, or decode without"
                f" limits: --set {SECTION}.decode_seconds=null"
            ) from error

    def call(self, request: dict[str, object], seconds: float) -> dict[str, Any]:
        """The child's answer. Raises TimeoutError, DecoderCrashedError: the child is dead then."""
        deadline = time.monotonic() + seconds
        try:
            send(self._connection, {**request, "seconds": seconds}, deadline)
            return receive(self._connection, self._most, deadline)
        except TimeoutError:
            self.kill()
            raise
        except (WireError, OSError) as error:
            self.close()
            raise DecoderCrashedError(f"{self._ending()}; {error}") from error

    def kill(self) -> None:
        """End it, whatever it is at."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """Let it end, and wait for that, so that no zombie is left."""
        self._connection.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def abandon(self) -> None:
        """Forget another process's child: after a fork it is not ours to use or to wait for."""
        self._connection.close()
        self._process.returncode = 0

    def _ending(self) -> str:
        code = self._process.returncode
        return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"


class DecoderPool:
    """Children of this process, as many as are used at once, up to a bound.

    Args:
        limits: of one call; `decode_seconds` must be set.
        size: children at most; as many as there are CPUs unless given.
        modules: modules besides those of `avagent.media` whose functions may be run: for tests.
    """

    def __init__(self, limits: DecodeLimits, *, size: int | None = None, modules: tuple[str, ...] = ()) -> None:
        if limits.decode_seconds is None:
            raise ParameterError("a decoder process needs a limit of time")
        self._seconds = limits.decode_seconds
        self._limits = limits
        self._modules = modules
        self._slots = threading.BoundedSemaphore(size or os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._closed = False
        self._owner = os.getpid()

    @property
    def limits(self) -> DecodeLimits:
        """What a call may cost."""
        return self._limits

    @property
    def forked(self) -> bool:
        """Whether this is a copy in a forked process, whose children are not its own."""
        return os.getpid() != self._owner

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function gives, run in a child.

        Raises:
            ClipError: as the function; MediaError: it took too long, crashed the child, or needed too much memory.
            ParameterError: as the function.
            AVAgentError: the child does not start.
        """
        return self.run_within(Allowance(self._seconds), function, args, kwargs)

    def for_clip(self) -> Decoder:
        """See :class:`Decoder`."""
        return ClipDecoder(self, Allowance(self._seconds))

    def run_within(
        self, allowance: Allowance, function: Callable[..., T], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> T:
        """As :meth:`run`, in what is left of a time, and less is left after it."""
        name = f"{function.__module__}:{function.__qualname__}"
        request: dict[str, object] = {"function": name, "args": args, "kwargs": kwargs}
        stage = Stage.WRITE if function.__module__.endswith(".remux") else Stage.DECODE
        with self._slots:
            return _result(self._answer(request, stage, allowance), stage, self._limits)

    def close(self) -> None:
        """End all children; those at work end when they are done."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for child in idle:
            child.abandon() if self.forked else child.close()

    def _answer(self, request: dict[str, object], stage: Stage, allowance: Allowance) -> dict[str, Any]:
        for attempt in range(_CRASHES):
            if allowance.left <= 0:
                raise _timed_out(self._seconds, stage)
            child, begin = self._take(), time.monotonic()
            try:
                answer = child.call(request, allowance.left)
            except TimeoutError as error:
                raise _timed_out(self._seconds, stage) from error
            except DecoderCrashedError as error:
                if attempt == _CRASHES - 1:
                    raise _crashed(str(error), stage) from error
                continue
            except BaseException:
                child.kill()
                raise
            finally:
                allowance.left -= time.monotonic() - begin
            self._give_back(child, usable=answer.get("error") != MemoryError.__name__)
            return answer
        raise AVAgentError("a decoder is tried at least once")

    def _take(self) -> _Child:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Child(self._limits, self._modules)

    def _give_back(self, child: _Child, *, usable: bool) -> None:
        with self._lock:
            keep = usable and not self._closed
            if keep:
                self._idle.append(child)
        if not keep:
            child.close()


def _timed_out(seconds: float, stage: Stage) -> MediaError:
    return MediaError(
        f"the media were not worked through within {seconds:g} s, and the decoder was killed; raise"
        f" {SECTION}.decode_seconds in the recipe if they are large, else drop the clip",
        reason=FailureReason.DECODER_TIMED_OUT,
        stage=stage,
    )


def _crashed(how: str, stage: Stage) -> MediaError:
    return MediaError(
        f"the media crash the decoder ({how}); replace the member or drop the clip",
        reason=FailureReason.DECODER_CRASHED,
        stage=stage,
    )


_ERRORS: dict[str, type[ClipError]] = {kind.__name__: kind for kind in ClipError.__subclasses__()}


def _result(answer: dict[str, Any], stage: Stage, limits: DecodeLimits) -> Any:
    """The value, or the error raised again."""
    kind = answer.get("error")
    if kind is None:
        return answer["value"]
    if kind in _ERRORS:
        raise _ERRORS[kind](answer["message"], reason=FailureReason(answer["reason"]), stage=Stage(answer["stage"]))
    if kind == MemoryError.__name__:
        message = f"the media need more than {limits.decode_memory_mib} MiB to be decoded"
        raise over_limit(message, "decode_memory_mib")
    if kind == ParameterError.__name__:
        raise ParameterError(answer["message"])
    raise _crashed(answer["message"], stage)


_pool: DecoderPool | None = None
_pool_lock = threading.Lock()


def process_decoder(limits: DecodeLimits) -> Decoder:
    """The decoder of this process, made at the first call: a pool, or none where no time limit is set."""
    global _pool  # noqa: PLW0603  (one pool a process is the point)
    if limits.decode_seconds is None:
        return DirectDecoder()
    with _pool_lock:
        if _pool is None:
            atexit.register(close_decoders)
        elif _pool.limits == limits and not _pool.forked:
            return _pool
        else:
            _pool.close()
        _pool = DecoderPool(limits)
        return _pool


def close_decoders() -> None:
    """End the decoder processes of this process."""
    global _pool  # noqa: PLW0603
    with _pool_lock:
        if _pool is not None:
            _pool.close()
            _pool = None
