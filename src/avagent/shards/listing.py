"""Which shards are meant: a folder, a pattern, one file, or a list of shards."""

from __future__ import annotations

import itertools
import json
import logging
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from avagent import storage
from avagent.core.clip import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from avagent.core.errors import UsageError
from avagent.shards.formats import FORMATS, is_shard

_MAX_EXPANSION = 1_000_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_PACKED = re.compile(
    r"\.(tar|tfrecords?|tfrec)[^.]*\.(zst|zstd|bz2|xz|lz4|lzma|br|Z)$|\.(tbz2?|txz|tzst|tlz)$", re.IGNORECASE
)
_RECORDINGS = tuple(f".{suffix}" for suffix in (*VIDEO_SUFFIXES, *AUDIO_SUFFIXES))
_SUBFOLDERS = 20
"""Looked into for recordings where a folder holds no files."""
_log = logging.getLogger(__name__)
_LIST_SUFFIXES = (".txt", ".list", ".json")


def list_shards(source: str) -> list[str]:
    """The shards that a user's argument names, sorted, without repetition.

    Args:
        source: a folder (the shards directly inside, by their names), a glob pattern, a brace pattern
            (`train-{000000..000009}.tar`), one shard, or a list: `@FILE`, `FILE.txt`, `FILE.list` with one shard or
            pattern a line, relative to the list's folder (`#` starts a comment), or a wids index (`FILE.json`).

    Raises:
        UsageError: nothing matched, or the list cannot be read.
    """
    if not source.strip():
        raise UsageError("no input given: name a folder of shards, a pattern such as 'data/*.tar', or a shard list")
    if source.startswith("@") or source.endswith(_LIST_SUFFIXES):
        found = _from_list(source.removeprefix("@"))
    else:
        found = _from_pattern(source)
    return sorted(set(found))


def check_names(shards: Iterable[str]) -> None:
    """One input shard gives one output shard of the same name: no two may share a name.

    Raises:
        UsageError: two shards of different folders have the same file name.
    """
    seen: dict[str, str] = {}
    for shard in shards:
        name = storage.basename(shard)
        if name in seen and seen[name] != shard:
            raise UsageError(
                f"two input shards have the same name, and would overwrite each other in the output: {seen[name]} and"
                f" {shard}; refine the folders one by one, or rename the shards"
            )
        seen[name] = shard


def _from_pattern(source: str) -> list[str]:
    if "{" in source:
        return [storage.canonical(url) for url in expand_braces(source)]
    if any(c in source for c in "*?["):
        found = storage.glob(source)
        if not found:
            raise UsageError(f"no shard matches the pattern {source!r}")
        _refuse_recordings(source, found)
        return found
    if storage.is_folder(source):
        return _from_folder(source)
    if storage.exists(source):
        _refuse_recordings(source, [source])
        return [storage.canonical(source)]
    raise UsageError(f"input {source!r} does not exist: expected a folder, a pattern, a shard or a shard list")


def _from_folder(folder: str) -> list[str]:
    files = [url for url in storage.list_folder(storage.canonical(folder)) if not storage.is_temporary(url)]
    shards = [url for url in files if is_shard(url)]
    _tell_of_packed(url for url in files if _PACKED.search(storage.basename(url)))
    if not shards:
        _refuse_recordings(folder, files or _nested(folder))
        kinds = " or ".join(known.files for known in FORMATS)
        raise UsageError(
            f"no {kinds} directly inside the folder {folder!r} ({len(files)} other files);"
            f" for nested folders give a pattern: {storage.join(folder, '**/*.tar')!r}"
        )
    return shards


def _nested(folder: str) -> list[str]:
    """Files of some of its subfolders."""
    subfolders = storage.list_subfolders(storage.canonical(folder))[:_SUBFOLDERS]
    return [url for subfolder in subfolders for url in storage.list_folder(subfolder)]


def _refuse_recordings(source: str, files: Sequence[str]) -> None:
    """Say what makes shards of media files. Raises UsageError: there are some, and no shard among them."""
    recordings = sum(storage.basename(url).lower().endswith(_RECORDINGS) for url in files)
    if not recordings or any(is_shard(url) for url in files):
        return
    command = ["avagent", "ingest", "--input", source, "--output", "shards"]
    raise UsageError(
        f"{source!r} holds no shards, but {recordings} recordings: make shards of them first, by"
        f" `{shlex.join(command)}`, and give the folder `shards`"
    )


def _tell_of_packed(archives: Iterable[str]) -> None:
    """What looks like a shard and is left out is said."""
    found = list(archives)
    if found:
        _log.warning(
            "%d archives of a compression that is not read are left out, such as %s: of compressions only gzip is read,"
            " so decompress them first",
            len(found),
            found[0],
        )


def _from_list(url: str) -> list[str]:
    try:
        text = storage.read_text(url)
    except FileNotFoundError as error:
        raise UsageError(f"the shard list {url!r} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the shard list {url!r} cannot be read: {error}") from error
    lines = _index_lines(url, text) if url.endswith(".json") else _text_lines(text)
    if not lines:
        raise UsageError(f"the shard list {url!r} names no shard")
    folder = storage.parent(storage.canonical(url))
    absolute = [line if "://" in line or line.startswith("/") else storage.join(folder, line) for line in lines]
    return [found for line in absolute for found in _from_line(line)]


def _from_line(line: str) -> list[str]:
    """A plain name is taken as it is: a list of millions must not cost a request each. It is checked when read."""
    if any(c in line for c in "*?[{"):
        return _from_pattern(line)
    return [storage.canonical(line)]


def _text_lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _index_lines(url: str, text: str) -> list[str]:
    try:
        index: Any = json.loads(text)
        return [str(shard["url"]) for shard in index["shardlist"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{url!r} is not a wids index (an object with a 'shardlist' of 'url's)") from error


def expand_braces(pattern: str) -> list[str]:
    """`a-{000..002}.tar` and `{a,b}.tar`, in order; several groups multiply.

    Raises:
        UsageError: a group that is neither a range nor a list, or more than a million names.
    """
    parts = _BRACES.split(pattern)
    choices = [[part] if i % 2 == 0 else _choices(part, pattern) for i, part in enumerate(parts)]
    total = 1
    for choice in choices:
        total *= len(choice)
    if total > _MAX_EXPANSION:
        raise UsageError(f"{pattern!r} names {total} shards; at most {_MAX_EXPANSION} at once")
    return ["".join(parts) for parts in itertools.product(*choices)]


def _choices(group: str, pattern: str) -> list[str]:
    if match := _RANGE.fullmatch(group):
        low, high = match.groups()
        if int(high) < int(low) or int(high) - int(low) >= _MAX_EXPANSION:
            raise UsageError(f"{pattern!r}: the range {{{group}}} must ascend, by less than {_MAX_EXPANSION}")
        return [str(number).zfill(len(low)) for number in range(int(low), int(high) + 1)]
    if "," in group:
        return group.split(",")
    raise UsageError(f"{pattern!r}: {{{group}}} is neither a range {{000..009}} nor a list {{a,b}}")
