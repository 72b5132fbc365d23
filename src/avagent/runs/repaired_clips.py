"""Where the repaired clips of a refined shard lie, so that a later run takes them instead of repairing again.

`_manifest/shards/NAME.repairs.jsonl`, one line a repaired clip, written with the shard. A repair depends on the clip's
bytes, its actions, and how sound is written: the first two are checked here for every clip, the last is for the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avagent import storage
from avagent.core.actions import Action
from avagent.core.clip import ClipRef, Member
from avagent.core.errors import ParameterError, ShardError
from avagent.media.provenance_tag import retagged
from avagent.records.manifest import MANIFEST_FOLDER, SHARDS_FOLDER
from avagent.shards.formats import DEFAULT_OPTIONS, ShardOptions, read_clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A repaired clip in a refined shard.

    Attributes:
        key: of the clip.
        source_sha256: content hash of the clip before.
        actions: that were applied, in order.
        members: names of the members that were replaced.
        offset, length: of the refined sample in the refined shard, in bytes.
        content_sha256: of the refined sample.
        tag: what its container says of the repair.
    """

    key: str
    source_sha256: str
    actions: tuple[Action, ...]
    members: tuple[str, ...]
    offset: int
    length: int
    content_sha256: str
    tag: str = ""


_REPAIR: TypeAdapter[tuple[Repair]] = TypeAdapter(tuple[Repair], config=ConfigDict(extra="forbid", strict=True))


def repairs_url(output: str, shard: str) -> str:
    """Where the places of a shard's repaired clips lie: `_manifest/shards/<shard name>.repairs.jsonl`."""
    return storage.join(output, MANIFEST_FOLDER, SHARDS_FOLDER, f"{storage.basename(shard)}.repairs.jsonl")


def write_repairs(output: str, shard: str, repairs: Iterable[Repair]) -> None:
    """Write them, atomically; no file where there are none. Raises OSError."""
    lines = [_REPAIR.dump_json((repair,))[1:-1] + b"\n" for repair in repairs]
    if lines:
        storage.write_bytes(repairs_url(output, shard), b"".join(lines))


def read_repairs(output: str, shard: str) -> tuple[Repair, ...]:
    """Those of a shard; none if there is no such file.

    Raises:
        OSError: it cannot be read.
        ParameterError: a line is not a repair.
    """
    url = repairs_url(output, shard)
    try:
        lines = storage.read_bytes(url).splitlines()
    except FileNotFoundError:
        return ()
    try:
        return tuple(_REPAIR.validate_json(b"[" + line + b"]")[0] for line in lines)
    except ValidationError as error:
        raise ParameterError(f"{url} does not list repaired clips: {error}") from error


class EarlierShard:
    """A refined shard of an earlier run, or of this folder before it is written anew: gives its repaired members.

    To rewrite a shard taking what was repaired already: `RewriteOptions(..., earlier=EarlierShard.of(folder, shard))`.
    Only a clip with the same key, content and actions is taken, by its byte range, and only if the sample found there
    has the hash that was recorded; all others are repaired.

    Args:
        options: how shards are read.
    """

    def __init__(self, options: ShardOptions = DEFAULT_OPTIONS) -> None:
        self._options = options
        self._known: dict[tuple[str, str], tuple[str, Repair]] = {}

    @classmethod
    def of(cls, output: str, shard: str, options: ShardOptions = DEFAULT_OPTIONS) -> EarlierShard:
        """The refined shard of this name in an output folder; knows nothing if the folder tells of no repairs.

        The caller makes sure that repaired sound was written there in the same way (codec, version of AVAgent).

        Raises:
            OSError: storage failed.
            ParameterError: the list of repairs is not one.
        """
        earlier = cls(options)
        earlier.add(output, shard)
        return earlier

    def add(self, output: str, shard: str) -> None:
        """One more shard to take clips from; of a clip that is in several, the first one's is taken. Raises as `of`."""
        name = storage.basename(shard)
        for repair in read_repairs(output, name):
            self._known.setdefault((repair.key, repair.source_sha256), (storage.join(output, name), repair))

    def members(self, ref: ClipRef, actions: tuple[Action, ...], tag: str | None = None) -> tuple[Member, ...] | None:
        """The members that the actions changed; None: repair the clip (again).

        Args:
            ref: of the clip, before.
            actions: that are to be applied.
            tag: what its container is to say of the repair now; None: whatever it says.
        """
        url, known = self._known.get((ref.key, ref.content_sha256), ("", None))
        if known is None or known.actions != actions:
            return None
        place = ClipRef(
            key=known.key,
            shard=url,
            offset=known.offset,
            length=known.length,
            content_sha256=known.content_sha256,
        )
        try:
            clip = read_clip(place, self._options)
        except ShardError:
            return None
        found = [member for member in clip.members if member.name in known.members]
        if len(found) != len(known.members) or tag in (None, known.tag):
            return tuple(found) if len(found) == len(known.members) else None
        renewed = [retagged(member.data, known.tag, tag) for member in found]
        pairs = zip(found, renewed, strict=True)
        members = tuple(replace(member, data=data) for member, data in pairs if data is not None)
        return members if len(members) == len(found) else None
