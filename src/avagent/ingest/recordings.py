"""Recordings in a folder, by a pattern or by a list; and the clips that they can become."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import IntEnum
from typing import Any

from avagent import storage
from avagent.core.clip import AUDIO_SUFFIXES, IMAGE_SUFFIXES, VIDEO_SUFFIXES
from avagent.core.errors import UsageError
from avagent.core.ingest import Candidate, SourceFile, Unusable
from avagent.shards.names import unsafe_name
from avagent.shards.samples import split_member

LABEL_SUFFIXES = ("json", "txt", "cls")
"""Files beside a recording, of the same name, that become members as they are."""

_LIST_SUFFIXES = (".txt", ".list")


def list_media(source: str) -> tuple[str, list[SourceFile]]:
    """The files that an argument names, sorted, and the folder that names are relative to.

    Args:
        source: a folder (with all below it), a glob pattern, one file, or a list: `@FILE`, `FILE.txt`, `FILE.list` with
            one file a line, relative to the list's folder (`#` starts a comment). Names that begin with a dot are left
            out.

    Raises:
        UsageError: nothing is there, or the list cannot be read.
        OSError: storage failed.
    """
    if source.startswith("@") or source.endswith(_LIST_SUFFIXES):
        url = storage.canonical(source.removeprefix("@"))
        return storage.parent(url), _from_list(url)
    fs, path = storage.filesystem(source)
    if any(c in source for c in "*?["):
        root = source[: min(source.find(c) for c in "*?[" if c in source)].rpartition("/")[0] or "."
        found: dict[str, Any] = fs.glob(path, detail=True)
    else:
        root = source if fs.isdir(path) else storage.parent(source)
        if not fs.exists(path):
            raise UsageError(f"input {source!r} does not exist: expected a folder, pattern, file or list of files")
        found = fs.find(path, detail=True)
    files = [_source(fs, entry, local=storage.is_local(source)) for entry in found.values() if entry["type"] == "file"]
    files = sorted((f for f in files if not _hidden(f.url)), key=lambda f: f.url)
    if not files:
        raise UsageError(f"input {source!r} holds no files")
    return storage.canonical(root), files


def _source(fs: Any, entry: dict[str, Any], *, local: bool) -> SourceFile:
    name = str(entry["name"])
    url = name if local else str(fs.unstrip_protocol(name))
    return SourceFile(url=url, suffix=_suffix(url), nbytes=int(entry["size"]), version=storage.entry_version(entry))


def _from_list(url: str) -> list[SourceFile]:
    try:
        lines = storage.read_text(url).splitlines()
    except FileNotFoundError as error:
        raise UsageError(f"the list {url!r} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the list {url!r} cannot be read: {error}") from error
    names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not names:
        raise UsageError(f"the list {url!r} names no file")
    folder = storage.parent(url)
    absolute = (n if "://" in n or n.startswith("/") else storage.join(folder, n) for n in names)
    return [_listed(storage.canonical(name)) for name in dict.fromkeys(absolute)]


def _listed(url: str) -> SourceFile:
    """A file that is not there has no version; it becomes a row of the table of what could not be used."""
    try:
        return SourceFile(url=url, suffix=_suffix(url), nbytes=storage.size(url), version=storage.version(url))
    except OSError:
        return SourceFile(url=url, suffix=_suffix(url), nbytes=0, version="")


def _hidden(url: str) -> bool:
    return storage.basename(url).startswith(".")


def _suffix(url: str) -> str:
    return storage.basename(url).rpartition(".")[2].lower() if "." in storage.basename(url) else ""


def stem(url: str) -> str:
    """A file's name without its last suffix."""
    name = storage.basename(url)
    return name.rpartition(".")[0] or name


def key_of(url: str, folder: str) -> str:
    """The key of a recording: its path below the folder without its last suffix; dots become underscores.

    In a WebDataset the first dot of a name ends the key.
    """
    inside = url.removeprefix(folder.rstrip("/") + "/") if url.startswith(folder.rstrip("/") + "/") else url
    head, slash, _ = inside.rpartition("/")
    return (head + slash).lstrip("/").replace("://", "/") + stem(url).replace(".", "_")


def bad_key(key: str) -> str | None:
    """Why a key cannot be used in a shard, or None."""
    if reason := unsafe_name(key):
        return reason
    if split_member(f"{key}.x") != (key, "x"):
        return "the form of a name that WebDataset keeps for itself"
    if not key.isprintable():
        return "characters that cannot be printed"
    return None


def folder_candidates(files: Iterable[SourceFile], folder: str) -> Iterator[Candidate]:
    """One clip for all files of one path less suffix: a container, or sound (with pictures), and its labels."""
    groups: dict[str, list[SourceFile]] = defaultdict(list)
    for file in files:
        groups[file.url.removesuffix(storage.basename(file.url)) + stem(file.url)].append(file)
    taken: set[str] = set()
    for name in sorted(groups):
        group = sorted(groups[name], key=lambda f: (_kind(f.suffix), f.suffix, f.url))
        yield from _group_candidates(group, key_of(group[0].url, folder), taken)


class _Kind(IntEnum):
    """What a suffix stands for; a clip's members come in this order."""

    VIDEO = 0
    AUDIO = 1
    IMAGE = 2
    LABELS = 3
    OTHER = 4


_KINDS = ((VIDEO_SUFFIXES, _Kind.VIDEO), (AUDIO_SUFFIXES, _Kind.AUDIO), (IMAGE_SUFFIXES, _Kind.IMAGE))


def _kind(suffix: str) -> _Kind:
    known = next((kind for suffixes, kind in _KINDS if suffix in suffixes), None)
    return known if known is not None else _Kind.LABELS if suffix in LABEL_SUFFIXES else _Kind.OTHER


def _no_media(file: SourceFile, kind: _Kind, key: str) -> str:
    if kind is _Kind.OTHER:
        known = ", ".join((*VIDEO_SUFFIXES, *AUDIO_SUFFIXES))
        return (
            f"the suffix {file.suffix!r} is not that of a recording ({known}), nor of labels beside one: rename"
            " the file by what it holds, or leave it out"
        )
    return (
        f"no recording is called {key!r}, beside which a {file.suffix} could lie: give it the recording's name up to"
        " the first dot of the suffix, or leave it out"
    )


def _group_candidates(group: list[SourceFile], key: str, taken: set[str]) -> Iterator[Candidate]:
    """The clip that files of one path make, and those of them that cannot be part of it."""
    kinds = [_kind(file.suffix) for file in group]
    media = kinds[0] <= _Kind.AUDIO
    used: list[SourceFile] = []
    for file, kind in zip(group, kinds, strict=True):
        if not media or kind is _Kind.OTHER:
            yield _refused(key, file, Unusable.NOT_MEDIA, _no_media(file, kind, key))
        elif key in taken or _second(file, kind, used):
            message = f"another file has the key {key!r} already: rename one"
            yield _refused(key, file, Unusable.DUPLICATE_KEY, message)
        elif kind is not _Kind.IMAGE or kinds[0] is not _Kind.VIDEO:  # a thumbnail says nothing that a video does not
            used.append(file)
    if used:
        taken.add(key)
        yield checked_key(Candidate(key=key, files=tuple(used)))


def _refused(key: str, file: SourceFile, problem: Unusable, message: str) -> Candidate:
    named = checked_key(Candidate(key=key, files=(file,)))
    return named if named.problem is not None else replace(named, problem=problem, message=message)


def _second(file: SourceFile, kind: _Kind, used: list[SourceFile]) -> bool:
    """Whether the clip has such a member: there is one container, one sound, and one file of each suffix."""
    return any(f.suffix == file.suffix or (kind <= _Kind.AUDIO and _kind(f.suffix) is kind) for f in used)


def checked_key(candidate: Candidate) -> Candidate:
    """The candidate, or what is wrong with its key or its first file."""
    if reason := bad_key(candidate.key):
        shown = candidate.key.encode("utf-8", "backslashreplace").decode()
        message = f"the key {shown!r} has {reason}: rename the file"
        # Names that are not UTF-8 cannot be written down anywhere else.
        files = candidate.files if shown == candidate.key else ()
        return Candidate(
            key=shown, files=files, segment=candidate.segment, problem=Unusable.UNSAFE_NAME, message=message
        )
    if absent := next((file for file in candidate.files if not file.version), None):
        return replace(candidate, problem=Unusable.MISSING, message=f"{absent.url} does not exist")
    return candidate


def by_stem(files: Iterable[SourceFile]) -> dict[str, SourceFile]:
    """Containers and sound by their names without suffix; of one name, the container, then the first suffix."""
    found: dict[str, SourceFile] = {}
    media = (file for file in files if _kind(file.suffix) <= _Kind.AUDIO)
    for file in sorted(media, key=lambda f: (_kind(f.suffix), f.suffix, f.url)):
        found.setdefault(stem(file.url), file)
    return found
