"""What changed from one run to the next, clip by clip: per shard as it is read, and as a table at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avagent import storage
from avagent.core.clip import ClipRef
from avagent.core.errors import ParameterError
from avagent.core.state import ClipDecision
from avagent.records.manifest import MANIFEST_FOLDER, SHARDS_FOLDER

CHANGES_SUFFIX = ".changes.json"


class Change(StrEnum):
    """What became of a clip since the previous run."""

    REUSED = "reused"
    """The same clip, with its recorded decision."""
    DECIDED_AGAIN = "decided_again"
    """The same clip, but the recipe or a model changed, or it failed by chance."""
    CHANGED = "changed"
    """The same key, other content."""
    NEW = "new"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipChange:
    """A clip that is not as it was.

    Attributes:
        key: of the clip.
        change: what became of it.
        before, after: content hash in the previous run and in this one; None: not there, or never readable.
        moved_from: the shard of the previous run that had it, if it was not the one compared with.
    """

    key: str
    change: Change
    before: str | None
    after: str | None
    moved_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardChanges:
    """What changed in a shard; the rest of its clips are the same, with their recorded decisions.

    Attributes:
        previous: name of the shard of the previous run that it was compared with; None: there was none.
        carried: whether it was taken over whole, without being read.
        reused: clips with their recorded decision, less those that came from other shards.
        captions_reused, scores_reused: clips decided again with the captions, the scores of their originals, known.
        clips: the others, in the order of the shard; deleted ones last.
    """

    previous: str | None
    carried: bool = False
    reused: int = 0
    captions_reused: int = 0
    scores_reused: int = 0
    clips: tuple[ClipChange, ...] = ()

    def count(self, change: Change) -> int:
        """Clips of which this became."""
        return self.reused * (change is Change.REUSED) + sum(clip.change is change for clip in self.clips)

    def without(self, moved: Container[tuple[str | None, str, str | None]]) -> ShardChanges:
        """Less the deleted clips that are in other shards now: (shard before, key, content hash)."""
        kept = (
            c for c in self.clips if c.change is not Change.DELETED or (self.previous, c.key, c.before) not in moved
        )
        return replace(self, clips=tuple(kept))

    def moved(self) -> Iterator[tuple[str, str, str | None]]:
        """Clips that came from other shards: (shard before, key, content hash)."""
        return ((c.moved_from, c.key, c.before) for c in self.clips if c.moved_from is not None)


_CHANGES: TypeAdapter[tuple[ShardChanges]] = TypeAdapter(tuple[ShardChanges], config=ConfigDict(extra="forbid"))


class EarlierClips:
    """The decisions of a shard of the previous run, matched with the clips of this one as they come.

    A clip is the same if its key and its content are; a key that occurs several times is told apart by its turn.
    """

    def __init__(self, decisions: Iterable[ClipDecision]) -> None:
        turns: Counter[str] = Counter()
        self._left: dict[tuple[str, int], ClipDecision] = {}
        for decision in sorted(decisions, key=lambda d: d.ref.index):
            key = decision.ref.key
            self._left[key, turns[key]] = decision
            turns[key] += 1
        self._turns: Counter[str] = Counter()

    def match(self, ref: ClipRef) -> ClipDecision | None:
        """The earlier decision on a clip of this key, whatever its content was. Every clip is asked for once."""
        turn = self._turns[ref.key]
        self._turns[ref.key] += 1
        return self._left.pop((ref.key, turn), None)

    def put_back(self, decision: ClipDecision) -> None:
        """What was matched last was another clip after all: no clip answers for this decision."""
        key = decision.ref.key
        self._left[key, self._turns[key] - 1] = decision

    def left(self) -> list[ClipDecision]:
        """Those that no clip was asked for."""
        return list(self._left.values())


def clip_change(ref: ClipRef, known: ClipDecision | None) -> ClipChange:
    """What became of a clip that has no recorded decision to go by."""
    after = ref.content_sha256 or None
    if known is None:
        return ClipChange(key=ref.key, change=Change.NEW, before=None, after=after)
    before = known.ref.content_sha256 or None
    change = Change.DECIDED_AGAIN if before == after else Change.CHANGED
    return ClipChange(key=ref.key, change=change, before=before, after=after)


def deleted(decision: ClipDecision) -> ClipChange:
    """A clip of the previous run that is gone."""
    before = decision.ref.content_sha256 or None
    return ClipChange(key=decision.ref.key, change=Change.DELETED, before=before, after=None)


def changes_url(output: str, shard: str) -> str:
    """Where a shard's changes lie: `_manifest/shards/<shard name>.changes.json`."""
    return storage.join(output, MANIFEST_FOLDER, SHARDS_FOLDER, f"{storage.basename(shard)}{CHANGES_SUFFIX}")


def write_changes(output: str, shard: str, changes: ShardChanges) -> None:
    """Write a shard's changes, atomically. Raises OSError."""
    storage.write_bytes(changes_url(output, shard), _CHANGES.dump_json((changes,))[1:-1] + b"\n")


def read_changes(output: str, shard: str) -> ShardChanges | None:
    """A shard's changes; None: it was not compared.

    Raises:
        OSError: they cannot be read.
        ParameterError: they are none.
    """
    url = changes_url(output, shard)
    try:
        text = storage.read_bytes(url)
    except FileNotFoundError:
        return None
    try:
        return _CHANGES.validate_json(b"[" + text + b"]")[0]
    except ValidationError as error:
        raise ParameterError(f"{url} does not tell the changes of a shard: {error}") from error


def compare(previous: str | None, before: Iterable[ClipDecision], after: Iterable[ClipDecision]) -> ShardChanges:
    """Changes of a shard that was decided on without the previous run at hand: no decision was reused."""
    earlier = EarlierClips(before)
    clips = [clip_change(decision.ref, earlier.match(decision.ref)) for decision in after]
    return ShardChanges(previous=previous, clips=(*clips, *map(deleted, earlier.left())))


CHANGES_FILE = "changes.parquet"
CHANGES_COLUMNS = (
    ("key", "string", False),
    ("shard", "string", False),
    ("change", "string", False),
    ("content_sha256", "string", True),
    ("previous_shard", "string", True),
    ("previous_sha256", "string", True),
)


def change_rows(shard: str, changes: ShardChanges, clips: Iterable[tuple[str, str]]) -> Iterator[dict[str, str | None]]:
    """Rows of changes.parquet for one shard: its clips in order, then those that were deleted from it.

    Args:
        shard: its name.
        changes: of it.
        clips: (key, content hash) of its decisions, in order.
    """
    pending: dict[str, list[ClipChange]] = {}
    for clip in changes.clips:
        if clip.change is not Change.DELETED:
            pending.setdefault(clip.key, []).append(clip)
    for key, sha256 in clips:
        same = ClipChange(key=key, change=Change.REUSED, before=sha256 or None, after=sha256 or None)
        found = pending.get(key, [])
        hit = next((clip for clip in found if clip.after == same.after), None)
        if hit is not None:
            found.remove(hit)
        yield _row(shard, changes.previous, hit or same)
    yield from (_row(shard, changes.previous, clip) for clip in changes.clips if clip.change is Change.DELETED)


def _row(shard: str, previous: str | None, clip: ClipChange) -> dict[str, str | None]:
    return {
        "key": clip.key,
        "shard": shard,
        "change": str(clip.change),
        "content_sha256": clip.after,
        "previous_shard": None if clip.change is Change.NEW else clip.moved_from or previous,
        "previous_sha256": clip.before,
    }
