"""Recordings by folder, pattern and list, and the clips that they become."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from avagent import storage
from avagent.core.errors import UsageError
from avagent.core.ingest import Unusable
from avagent.ingest.recordings import folder_candidates, list_media


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def candidates(source: object):
    folder, files = list_media(str(source))
    return list(folder_candidates(files, folder))


def made(source: object) -> dict[str, list[str]]:
    return {c.key: [f.suffix for f in c.files] for c in candidates(source) if c.problem is None}


def refused(source: object) -> list[tuple[str, Unusable]]:
    return [(storage.basename(c.files[0].url), c.problem) for c in candidates(source) if c.problem is not None]


def test_files_of_one_name_make_one_clip(tmp_path: Path):
    fill(tmp_path, "a.mp4", "a.txt", "a.JSON", "dir/b.ogg", "dir/b.png", "c.mkv", "c.wav", "c.jpg", ".hidden.mp4")
    assert made(tmp_path) == {"a": ["mp4", "json", "txt"], "dir/b": ["ogg", "png"], "c": ["mkv", "wav"]}
    assert refused(tmp_path) == []


def test_what_is_no_recording_and_what_has_the_key_of_another(tmp_path: Path):
    fill(tmp_path, "a.mp4", "a.mkv", "notes.md", "alone.txt", "x.y.mp4", "x_y.mp4", "new\nline.mp4")
    assert made(tmp_path) == {"a": ["mkv"], "x_y": ["mp4"]}
    assert sorted(refused(tmp_path)) == [
        ("a.mp4", Unusable.DUPLICATE_KEY),
        ("alone.txt", Unusable.NOT_MEDIA),
        ("new\nline.mp4", Unusable.UNSAFE_NAME),
        ("notes.md", Unusable.NOT_MEDIA),
        ("x_y.mp4", Unusable.DUPLICATE_KEY),
    ]


def test_a_name_that_is_not_utf8_is_refused_not_a_crash(tmp_path: Path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")).write_bytes(b"x")
    (found,) = candidates(tmp_path)
    assert found.problem is Unusable.UNSAFE_NAME
    found.key.encode()


def test_patterns_lists_and_single_files(tmp_path: Path):
    fill(tmp_path, "in/a.mp4", "in/deep/b.mp4", "other.mp4")
    (tmp_path / "some.list").write_text("# comment\nin/a.mp4\nmissing.mp4\n", "utf-8")
    assert made(tmp_path / "in/*.mp4") == {"a": ["mp4"]}
    assert made(tmp_path / "other.mp4") == {"other": ["mp4"]}
    assert made(tmp_path / "some.list") == {"in/a": ["mp4"]}
    assert refused(tmp_path / "some.list") == [("missing.mp4", Unusable.MISSING)]


def test_other_storage():
    folder = f"memory://media-{uuid.uuid4().hex}"
    storage.write_bytes(f"{folder}/x/a.mp4", b"1")
    assert made(folder) == {"x/a": ["mp4"]}


def test_nothing_there(tmp_path: Path):
    with pytest.raises(UsageError, match="does not exist"):
        list_media(str(tmp_path / "none"))
    with pytest.raises(UsageError, match="no files"):
        list_media(str(tmp_path))
