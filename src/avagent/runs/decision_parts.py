"""Decisions as they come: small files per shard, so that an interrupted run does not decide on the same clips again.

A part is named after what it holds: who decides the same again writes the same file. Parts may overlap; a clip's
decision is taken from the first that has it. Once a shard's own file of decisions stands, its parts are removed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from avagent import storage
from avagent.core.clip import ClipRef
from avagent.core.errors import ParameterError
from avagent.core.state import ClipDecision
from avagent.records.decisions import decisions_digest, read_decisions, write_decisions
from avagent.records.manifest import manifest_url

PARTS_FOLDER = "parts"
_SUFFIX = ".jsonl"
_SHORTEST_S, _LONGEST_S = 0.05, 30.0
_AT_STAKE = 0.01
"""Share of a process's work so far that may be lost: the longer it has worked, the larger, and fewer, its parts."""
_COST = 0.1
"""Share of a process's time, at most, to be spent on writing parts."""


class PartWriter:
    """Writes the decisions of one process; not to be used by two threads at once.

    Args:
        output: the output folder.
        clock: seconds that pass.
    """

    def __init__(self, output: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._waiting: defaultdict[str, list[ClipDecision]] = defaultdict(list)
        self._began = self._written = clock()
        self._cost = 0.0

    def add(self, decision: ClipDecision) -> None:
        """One more; written, with others, soon. Raises OSError."""
        self._waiting[decision.ref.shard].append(decision)
        now = self._clock()
        at_stake = min(_LONGEST_S, _AT_STAKE * (now - self._began))
        if now - self._written >= max(_SHORTEST_S, at_stake, self._cost / _COST):
            self.flush()

    def flush(self) -> None:
        """Write what waits. Raises OSError."""
        started = self._clock()
        for shard, decisions in self._waiting.items():
            name = f"{len(decisions)}-{decisions_digest(decisions)[:32]}{_SUFFIX}"
            write_decisions(storage.join(parts_folder(self._output, shard), name), decisions)
        self._waiting.clear()
        self._written = self._clock()
        self._cost = self._written - started


def parts_folder(output: str, shard: str) -> str:
    """Where the parts of a shard lie: `_manifest/parts/<shard name>/`."""
    return storage.join(manifest_url(output, PARTS_FOLDER), storage.basename(shard))


def read_parts(output: str, shard: str) -> dict[ClipRef, ClipDecision]:
    """What was decided on a shard so far. Raises OSError."""
    found: dict[ClipRef, ClipDecision] = {}
    for url in storage.list_folder(parts_folder(output, shard)):
        if not url.endswith(_SUFFIX) or storage.is_temporary(url):
            continue
        try:
            for decision in read_decisions(url):
                found.setdefault(decision.ref, decision)
        except (ParameterError, FileNotFoundError):
            # Of another version, or removed by who finished the shard: its clips are decided on again.
            continue
    return found


def remove_parts(output: str, shard: str) -> None:
    """Forget what was decided on a shard so far. Raises OSError."""
    storage.remove(parts_folder(output, shard), recursive=True)


def clips_in_parts(output: str) -> int:
    """About how many clips were decided on in shards that have no file of decisions yet. Raises OSError."""
    pattern = storage.join(storage.join(manifest_url(output, PARTS_FOLDER), "*"), f"*{_SUFFIX}")
    counts = (storage.basename(url).partition("-")[0] for url in storage.glob(pattern))
    return sum(int(count) for count in counts if count.isdecimal())
