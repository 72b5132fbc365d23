"""What an ingest has to do: which files to look at, which clips go where, which shards to write."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from avagent import storage
from avagent.core.ingest import Candidate, Checked, IngestSettings, Unusable
from avagent.core.placement import Item, place
from avagent.ingest.shard_making import plan_hash, read_shard_report, shard_name, write_plan
from avagent.ingest.tables import Placed, ingest_url, read_checked, write_checked

_GROUPS = 64
_MAX_GROUP = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where everything goes.

    Attributes:
        shards: clips by the number of their shard, in order.
        unusable: what is in no shard.
    """

    shards: Mapping[int, Sequence[Checked]]
    unusable: Sequence[Checked]

    def placed(self) -> Iterable[Placed]:
        """The same, one by one."""
        for number, clips in self.shards.items():
            for clip in clips:
                yield Placed(shard=number, clip=clip)
        for clip in self.unusable:
            yield Placed(shard=None, clip=clip)


def split_known(candidates: Iterable[Candidate], known: Mapping[str, Placed]) -> tuple[list[Checked], list[Candidate]]:
    """What need not be looked at (known from before, or nothing to look at), and what must be."""
    done: list[Checked] = []
    todo: list[Candidate] = []
    for candidate in candidates:
        before = known.get(candidate.key)
        if candidate.problem is not None:
            done.append(Checked(candidate=candidate, problem=candidate.problem, message=candidate.message))
        elif before is not None and before.clip.candidate == candidate:
            done.append(_own_merit(before.clip))
        else:
            todo.append(candidate)
    return done, todo


def _own_merit(clip: Checked) -> Checked:
    """Without what depends on the other clips."""
    return replace(clip, problem=None, message="") if clip.problem is Unusable.DUPLICATE_CONTENT else clip


def write_check_lists(output: str, todo: Sequence[Candidate]) -> list[str]:
    """Split what must be looked at into lists, one a task; gives their URLs. The name of a list tells its content."""
    size = max(1, min(_MAX_GROUP, -(-len(todo) // _GROUPS)))
    urls: list[str] = []
    for start in range(0, len(todo), size):
        group = [Checked(candidate=candidate) for candidate in todo[start : start + size]]
        digest = hashlib.sha256(repr(group).encode("utf-8", "backslashreplace")).hexdigest()[:16]
        url = ingest_url(output, "work", f"check-{start:09d}-{digest}.jsonl")
        write_checked(url, group)
        urls.append(url)
    return urls


def checked_url(url: str) -> str:
    """Where the answers to a list are."""
    return storage.join(storage.parent(url), storage.basename(url).replace("check-", "checked-", 1))


def read_answers(urls: Iterable[str]) -> list[Checked]:
    """All answers. Raises OSError, ParameterError."""
    return [checked for url in urls for checked in read_checked(checked_url(url))]


def make_plan(checked: Iterable[Checked], known: Mapping[str, Placed], settings: IngestSettings) -> Plan:
    """Find duplicates of content and give every clip its shard. Of equal clips the one placed first stays."""
    before = {key: item.shard for key, item in known.items() if item.shard is not None}
    good = {clip.key: clip for clip in checked if clip.problem is None}
    unusable = [clip for clip in checked if clip.problem is not None]
    first: dict[str, str] = {}
    order = [key for key in before if key in good]
    for key in (*order, *sorted(key for key in good if key not in before)):
        twin = first.setdefault(good[key].media_sha256, key)
        if twin != key:
            message = f"the same recording as {twin!r}, byte for byte"
            unusable.append(replace(good.pop(key), problem=Unusable.DUPLICATE_CONTENT, message=message))
    items = (Item(key=key, nbytes=clip.nbytes) for key, clip in good.items())
    shards = place(items, before, max_bytes=settings.shard_bytes, max_clips=settings.shard_clips)
    unusable.sort(key=lambda clip: (clip.key, clip.candidate.files[0].url if clip.candidate.files else ""))
    return Plan(shards={n: [good[key] for key in keys] for n, keys in shards.items()}, unusable=unusable)


def write_plans(output: str, plan: Plan, settings: IngestSettings) -> list[str]:
    """Write the plans of the shards that are not there as planned; gives their names."""
    sizes = storage.folder_sizes(output)
    todo: list[str] = []
    for number, clips in plan.shards.items():
        name = shard_name(number, settings)
        report = read_shard_report(output, name)
        if report is None or report.plan_sha256 != plan_hash(clips) or sizes.get(name) != report.filesize:
            write_plan(output, name, clips)
            todo.append(name)
    return todo


def without_changed(plan: Plan, changed: Mapping[int, Sequence[str]]) -> Plan:
    """The plan as it was carried out: clips whose files changed after they were looked at are in no shard."""
    shards: dict[int, Sequence[Checked]] = {}
    unusable = list(plan.unusable)
    message = "its files changed while they were taken in: run ingest again"
    for number, clips in plan.shards.items():
        left_out = set(changed.get(number, ()))
        shards[number] = [clip for clip in clips if clip.key not in left_out]
        unusable += [replace(c, problem=Unusable.CHANGED, message=message) for c in clips if c.key in left_out]
    return Plan(shards=shards, unusable=unusable)
