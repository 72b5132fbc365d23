"""The clip lists of AudioSet and VGGSound, and the files that hold their clips.

- AudioSet (Gemmeke et al., ICASSP 2017): three comment lines, then `YTID, start_seconds, end_seconds, "mid,mid,..."`.
- VGGSound (Chen et al., ICASSP 2020): `youtube_id,start_second,label,split`; a clip lasts 10 s.

A file belongs to a clip by its name. One that is named by YTID and segment, in one of the forms that downloaders use
(:func:`segment_names`), holds the segment and nothing else. One that is named by the YTID alone is a whole video,
unless it is no longer than the segment: that is seen when it is looked at.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from avagent import storage
from avagent.core.errors import ParameterError, UsageError
from avagent.core.ingest import Candidate, Segment, SourceFile, Unusable
from avagent.ingest.recordings import checked_key

LAYOUTS = ("audioset", "vggsound")
VGGSOUND_SECONDS = 10.0

_AUDIOSET_FIELDS = 4
_VGGSOUND_FIELDS = (3, 4)
Row = Segment | Candidate


def read_clip_list(url: str, layout: str) -> list[Row]:
    """The rows of a list: segments, and candidates with a problem for what cannot be understood.

    Raises:
        UsageError: the file cannot be read, has no rows, or none that can be understood.
    """
    try:
        text = storage.read_text(url)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the clip list {url!r} cannot be read: {error}") from error
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip() and line[0] != "#"]
    # `"a, b"` after a comma and a space is one field: RFC 4180 knows no space there, AudioSet's files have it.
    fields = csv.reader(io.StringIO("\n".join(line for _, line in lines)), skipinitialspace=True)
    parse = _audioset if layout == "audioset" else _vggsound
    rows = [_row(parse, found, number) for (number, _), found in zip(lines, fields, strict=False)]
    if not any(isinstance(row, Segment) for row in rows):
        raise UsageError(f"{url!r} has no row of a {layout} list: is --layout right?")
    return _numbered(rows) if layout == "vggsound" else rows


def _row(parse: Callable[[list[str]], Segment], found: list[str], number: int) -> Row:
    try:
        return parse([field.strip() for field in found])
    except (ValueError, ParameterError) as error:
        message = f"line {number} of the list cannot be understood: {error}"
        return Candidate(key=(found[0] if found else "") or f"line-{number}", problem=Unusable.BAD_ROW, message=message)


def _audioset(fields: list[str]) -> Segment:
    if len(fields) != _AUDIOSET_FIELDS:
        raise ValueError(f"{_AUDIOSET_FIELDS} fields are expected, found {len(fields)}")
    labels = tuple(mid.strip() for mid in fields[3].split(",") if mid.strip())
    return Segment(video_id=fields[0], start=float(fields[1]), end=float(fields[2]), labels=labels)


def _vggsound(fields: list[str]) -> Segment:
    if len(fields) not in _VGGSOUND_FIELDS:
        raise ValueError(f"{_VGGSOUND_FIELDS[-1]} fields are expected, found {len(fields)}")
    start = float(fields[1])
    split = fields[3] if len(fields) > _VGGSOUND_FIELDS[0] else None
    return Segment(
        video_id=fields[0], start=start, end=start + VGGSOUND_SECONDS, labels=(fields[2],), split=split or None
    )


def class_names(rows: Iterable[Row]) -> list[str]:
    """All labels of a list, sorted: the number of a class is its place here."""
    return sorted({label for row in rows if isinstance(row, Segment) for label in row.labels})


def _numbered(rows: list[Row]) -> list[Row]:
    numbers = {label: number for number, label in enumerate(class_names(rows))}
    return [replace(row, index=numbers[row.labels[0]]) if isinstance(row, Segment) else row for row in rows]


def segment_key(segment: Segment) -> str:
    """The key of a segment's clip: `YTID_000030`, as VGGSound names its files; `YTID_000030-500` for 30.5 s."""
    whole, milliseconds = divmod(round(segment.start * 1000), 1000)
    return f"{segment.video_id}_{whole:06d}" + (f"-{milliseconds:03d}" if milliseconds else "")


def segment_names(segment: Segment) -> Iterator[str]:
    """Names without suffix of files that hold a segment alone.

    `YTID_30.000_40.000`, `YTID_30.0_40.0`, `YTID_30000_40000` (ms), `YTID_30_40`, `YTID_000030_000040`, `YTID_000030`,
    `YTID_30`; with `-` in the place of `_` as well; and the clip's key.
    """
    start, end = segment.start, segment.end
    pairs = [(f"{start:.3f}", f"{end:.3f}"), (f"{start}", f"{end}"), (f"{start * 1000:.0f}", f"{end * 1000:.0f}")]
    if start.is_integer() and end.is_integer():
        pairs += [(f"{start:.0f}", f"{end:.0f}"), (f"{start:06.0f}", f"{end:06.0f}")]
    for joint in "_-":
        for first, last in pairs:
            yield joint.join((segment.video_id, first, last))
        if start.is_integer():
            yield joint.join((segment.video_id, f"{start:06.0f}"))
            yield joint.join((segment.video_id, f"{start:.0f}"))
    yield segment_key(segment)


def list_candidates(rows: Iterable[Row], files: Mapping[str, SourceFile]) -> Iterator[Candidate]:
    """One candidate a row.

    Args:
        rows: from :func:`read_clip_list`.
        files: by name without suffix; see :func:`avagent.ingest.recordings.by_stem`.
    """
    taken: set[str] = set()
    for row in rows:
        if isinstance(row, Candidate):
            yield row
            continue
        key = segment_key(row)
        if key in taken:
            message = f"the list names the clip {key!r} twice"
            yield Candidate(key=key, segment=row, problem=Unusable.DUPLICATE_KEY, message=message)
            continue
        taken.add(key)
        yield _candidate(row, key, files)


def _candidate(row: Segment, key: str, files: Mapping[str, SourceFile]) -> Candidate:
    own = next((files[name] for name in segment_names(row) if name in files), None)
    file = own or files.get(row.video_id)
    if file is None:
        message = f"no file is named {row.video_id} or {key}, or in another form that is known for this segment"
        return Candidate(key=key, segment=row, problem=Unusable.MISSING, message=message)
    return checked_key(Candidate(key=key, files=(file,), segment=row, already_cut=own is not None))
