"""The previous run: what it recorded of itself, which of its shards answers for which, and what of it still holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from avagent import storage
from avagent.core.errors import ParameterError, UsageError
from avagent.core.state import ClipDecision
from avagent.records.decisions import read_decisions
from avagent.records.manifest import decisions_url, manifest_url
from avagent.runs.commit import RUN_FILE, SUCCESS_FILE

POINTER_FILE = "latest.json"
LATEST = "latest"


class Part(StrEnum):
    """Parts of a run's result that hold, or not, each by itself: see `stages` in run.json."""

    CAPTIONS = "captions"
    SCORES = "scores"
    DECISIONS = "decisions"
    REPAIRS = "repairs"
    """The bytes of repaired sound, given clip and actions."""
    SHARDS = "shards"
    """The bytes of whole shards, given their input: all of the above, and the clips' records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What the previous run offers for a shard of this one.

    Attributes:
        output: folder of the previous run.
        shard: name of its shard; None: it has none that answers for this one, but may know the clips from others.
        holds: what of it still holds.
        same_input: whether its input was the same file, unchanged.
    """

    output: str
    shard: str | None
    holds: frozenset[Part]
    same_input: bool = False

    @property
    def whole(self) -> bool:
        """Whether the refined shard may be taken over without being read."""
        return self.same_input and Part.SHARDS in self.holds

    def decisions(self) -> Iterator[ClipDecision]:
        """The shard's decisions, in order; none if there are no readable ones. Raises OSError."""
        if self.shard is None:
            return
        url = decisions_url(self.output, self.shard)
        try:
            yield from list(read_decisions(url))
        except (FileNotFoundError, ParameterError):
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousRun:
    """A complete run.

    Attributes:
        output: its folder.
        inputs: URL and version (None: unknown) of its input shards, by name.
        stages: fingerprint of each part of its results.
        limit: clips at most; None: all.
    """

    output: str
    inputs: Mapping[str, tuple[str, str | None]]
    stages: Mapping[str, str]
    limit: int | None = None

    def offers(self, inputs: Iterable[tuple[str, str | None]], stages: Mapping[str, str]) -> dict[str, Earlier]:
        """What there is for each shard of a run, by URL: of the same name, else of the same version (renamed).

        Args:
            inputs: URL and version of this run's shards.
            stages: fingerprints of this run.
        """
        holds = frozenset(part for part in Part if stages.get(part) == self.stages.get(part, ""))
        by_version = {version: name for name, (_, version) in self.inputs.items() if version is not None}
        found: dict[str, Earlier] = {}
        for url, version in inputs:
            name = storage.basename(url)
            shard = name if name in self.inputs else by_version.get(version) if version is not None else None
            same = shard == name and self.limit is None and self._same_input(name, url, version)
            found[url] = Earlier(output=self.output, shard=shard, holds=holds, same_input=same)
        return found

    def _same_input(self, name: str, url: str, version: str | None) -> bool:
        """A copy elsewhere is known by its ETag, which goes by the content; times and generations do not."""
        before, recorded = self.inputs[name]
        return version is not None and version == recorded and (url == before or ";etag=" in version)


def read_previous(output: str) -> PreviousRun:
    """What a complete run recorded of itself.

    Raises:
        UsageError: there is no run in this folder, it is not complete, or it cannot be read.
    """
    if not storage.exists(storage.join(output, SUCCESS_FILE)):
        raise UsageError(
            f"the previous run {output} is not complete (it has no {SUCCESS_FILE}): finish it by its own command, or"
            " name an earlier one"
        )
    url = manifest_url(output, RUN_FILE)
    try:
        run: Any = json.loads(storage.read_text(url))
        return PreviousRun(
            output=output,
            inputs={storage.basename(s["url"]): (str(s["url"]), s.get("version")) for s in run["inputs"]},
            stages={str(part): str(fingerprint) for part, fingerprint in run.get("stages", {}).items()},
            limit=run.get("limit"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{url} cannot be read as the record of a run: {error!r}") from error


def pointer_url(output: str) -> str:
    """The file beside the versions of a dataset that names the newest complete one."""
    return storage.join(storage.parent(storage.canonical(output)), POINTER_FILE)


def read_pointer(output: str) -> str | None:
    """The newest complete version among the neighbours of an output folder; None: none was published yet.

    Raises:
        UsageError: the pointer is not one.
        OSError: it cannot be read.
    """
    url = pointer_url(output)
    try:
        found: Any = json.loads(storage.read_text(url))
        name = found["version"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f'{url} should hold {{"version": "FOLDER NAME"}}: put it right, or remove it') from error
    if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
        raise UsageError(f"{url} should name a folder beside it, got {name!r}: put it right, or remove it")
    return storage.join(storage.parent(url), name)


def publish(output: str) -> None:
    """Make an output folder the newest version, atomically. Raises OSError."""
    text = json.dumps({"version": storage.basename(storage.canonical(output))}) + "\n"
    url = pointer_url(output)
    # What a publish that was killed left behind.
    for beside in storage.list_folder(storage.parent(url)):
        if storage.is_temporary(beside) and storage.basename(beside).startswith(f".{POINTER_FILE}."):
            storage.remove(beside)
    storage.write_bytes(url, text.encode())
