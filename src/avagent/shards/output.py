"""Where the clips of a shard go: the refined shard, and the dead letters beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Generic, TypeVar

from avagent import storage
from avagent.core.clip import ClipRef
from avagent.core.errors import Failure
from avagent.shards.samples import BadSample, Loose
from avagent.storage import AtomicFile, Written

ERRORS_FOLDER = "_errors"
SampleT = TypeVar("SampleT")


class ShardOutput(ABC, Generic[SampleT]):
    """What a format writes: each clip once, in the order of the input.

    Files appear, whole, when the stack that they were opened on unwinds without an error.
    """

    @abstractmethod
    def begin(self) -> None:
        """There is a refined shard, be it empty."""

    @abstractmethod
    def keep(self, sample: SampleT, replaced: Mapping[str, bytes], record: bytes) -> None:
        """A clip for the refined shard: all as it is but the replaced members, by name, and its record (JSON)."""

    @abstractmethod
    def reject(self, sample: SampleT, ref: ClipRef, failure: Failure) -> None:
        """A dead letter: the sample untouched, where it was, and why."""

    @abstractmethod
    def reject_bad(self, bad: BadSample, failure: Failure) -> None:
        """A dead letter that could not be parsed."""

    @abstractmethod
    def reject_missing(self, ref: ClipRef, failure: Failure, *, unique: bool) -> None:
        """A dead letter of which nothing is left but the reason; `unique`: its key is no other clip's."""

    @abstractmethod
    def end(self) -> Written | None:
        """Finish all files; gives size and hash of the refined shard, None if there is none."""

    @abstractmethod
    def position(self) -> int | None:
        """Bytes of the refined shard so far; None: places in it cannot be read by range (it is compressed)."""

    @abstractmethod
    def remove_letters(self) -> None:
        """Remove the dead letters of an earlier, interrupted run."""

    def pass_on(self, loose: Loose) -> None:
        """What lies between samples; a format that has nothing there is never asked."""
        raise TypeError(f"this format has nothing between samples, got {loose.entry.name!r}")


class LazyFile:
    """A file that is begun when there is something to write."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.url = url
        self._stack = stack
        self._file: AtomicFile | None = None

    def open(self) -> AtomicFile:
        """The file; begun at the first call."""
        if self._file is None:
            self._file = self._stack.enter_context(storage.atomic_write(self.url))
        return self._file

    @property
    def written(self) -> Written | None:
        """Size and hash so far; None: there is no file."""
        return self._file.written if self._file is not None else None
