"""Storage: the same behaviour on every file system, and writes that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import signal
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from avagent import storage
from avagent.core.errors import UsageError


@pytest.fixture(params=["path", "file", "memory"])
def root(request, tmp_path):
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    return str(tmp_path) if request.param == "path" else f"file://{tmp_path}"


def test_writes_are_read_back_whole_and_by_range(root):
    url = storage.join(root, "deep", "folder", "a.bin")
    data = bytes(range(256)) * 100
    written = storage.write_bytes(url, data)
    assert written == storage.Written(nbytes=25_600, md5=hashlib.md5(data, usedforsecurity=False).hexdigest())
    assert storage.exists(url)
    assert storage.size(url) == 25_600
    assert storage.read_bytes(url) == data
    assert storage.read_range(url, 255, 3) == b"\xff\x00\x01"
    assert storage.read_range(url, 25_599, 10) == b"\xff"
    assert storage.read_range(url, 5, 0) == b""
    assert b"".join(storage.iter_range(url, 100, 20_000)) == data[100:20_100]
    with storage.open_read(url) as source:
        assert source.read(2) == b"\x00\x01"
        source.seek(10)
        assert source.read() == data[10:]


def test_a_write_replaces_the_file_at_once(root):
    url = storage.join(root, "a.txt")
    storage.write_bytes(url, b"old")
    with storage.atomic_write(url) as file:
        file.write(b"ne")
        file.write(b"w")
        assert storage.read_bytes(url) == b"old"
    assert storage.read_text(url) == "new"
    assert storage.list_folder(root) == [url]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(root):
    url = storage.join(root, "a.txt")
    storage.write_bytes(url, b"old")

    def blocks():
        yield b"half"
        raise RuntimeError("in the middle")

    def write():
        with storage.atomic_write(url) as file:
            for block in blocks():
                file.write(block)

    with pytest.raises(RuntimeError, match="in the middle"):
        write()
    assert storage.read_bytes(url) == b"old"
    assert storage.list_folder(root) == [url]


def test_a_file_of_another_size_than_written_is_refused(tmp_path, monkeypatch):
    url = str(tmp_path / "a.txt")
    monkeypatch.setattr(fsspec.implementations.local.LocalFileSystem, "size", lambda self, path: 3)
    with pytest.raises(OSError, match="wrote 4 bytes, found 3"):
        storage.write_bytes(url, b"four")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_no_file_of_that_name(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from avagent import storage\n"
        "with storage.atomic_write(sys.argv[1]) as file:\n"
        "    file.write(bytes(1 << 20))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    url = str(tmp_path / "a.tar")
    done = subprocess.run([sys.executable, "-c", code, url], check=False)
    assert done.returncode == -signal.SIGKILL
    left = storage.list_folder(str(tmp_path))
    assert not storage.exists(url)
    assert len(left) == 1
    assert storage.is_temporary(left[0])


def test_two_writers_of_one_file_do_not_mix(root):
    url = storage.join(root, "a.txt")
    with storage.atomic_write(url) as first, storage.atomic_write(url) as second:
        first.write(b"first")
        second.write(b"the second")
    assert storage.read_bytes(url) == b"first"
    assert storage.list_folder(root) == [url]


def test_a_copy_has_the_bytes_and_replaces_at_once(root):
    source, target = storage.join(root, "in", "a.tar"), storage.join(root, "out", "deep", "b.tar")
    storage.write_bytes(source, b"twelve bytes")
    storage.write_bytes(target, b"older")
    for _ in range(2):
        assert storage.copy(source, target) == 12
    assert storage.read_bytes(target) == storage.read_bytes(source) == b"twelve bytes"
    assert storage.list_folder(storage.parent(target)) == [target]
    storage.write_bytes(target, b"replaced")
    assert storage.read_bytes(source) == b"twelve bytes"
    with pytest.raises(FileNotFoundError):
        storage.copy(storage.join(root, "absent"), target)
    assert storage.list_folder(storage.parent(target)) == [target]


def test_a_local_copy_is_a_link_where_links_are_allowed(tmp_path, monkeypatch):
    source, linked, copied = tmp_path / "a.tar", tmp_path / "b.tar", tmp_path / "c.tar"
    source.write_bytes(b"bytes")
    storage.copy(str(source), str(linked))
    assert linked.stat().st_ino == source.stat().st_ino

    def refuse(self, target):
        raise OSError(errno.EXDEV, "another device")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    storage.copy(str(source), str(copied))
    assert copied.stat().st_ino != source.stat().st_ino
    assert copied.read_bytes() == b"bytes"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_copy_between_file_systems_passes_through(tmp_path):
    source = f"memory://{uuid.uuid4().hex}/a.tar"
    data = bytes(3 << 20)
    storage.write_bytes(source, data)
    assert storage.copy(source, str(tmp_path / "a.tar")) == 3 << 20
    assert storage.read_bytes(str(tmp_path / "a.tar")) == data


def test_the_version_changes_with_the_file(root):
    url = storage.join(root, "a.tar")
    with pytest.raises(FileNotFoundError):
        storage.version(url)
    seen = set()
    for data in (b"1", b"12", b"21"):
        storage.write_bytes(url, data)
        assert storage.version(url) == storage.version(url)
        assert storage.folder_versions(root) == {"a.tar": storage.version(url)}
        seen.add(storage.version(url))
    assert len(seen) == 3
    assert storage.folder_versions(storage.join(root, "absent")) == {}


def test_list_folder_gives_files_directly_inside_in_order(root):
    for name in ("b", "a", "sub/c"):
        storage.write_bytes(storage.join(root, name), b"")
    assert storage.list_folder(root) == [storage.join(root, "a"), storage.join(root, "b")]
    assert storage.list_folder(storage.join(root, "absent")) == []


def test_remove_is_content_with_what_is_not_there(root):
    url = storage.join(root, "sub", "a")
    storage.remove(url)
    storage.write_bytes(url, b"")
    storage.remove(url)
    assert not storage.exists(url)
    storage.write_bytes(url, b"")
    storage.remove(storage.join(root, "sub"), recursive=True)
    assert not storage.exists(url)


def test_makedirs_may_be_repeated(root):
    storage.makedirs(storage.join(root, "a", "b"))
    storage.makedirs(storage.join(root, "a", "b"))
    assert storage.exists(storage.join(root, "a", "b"))


def test_canonical_urls_do_not_depend_on_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage.canonical("a/b.tar") == str(tmp_path / "a" / "b.tar")
    assert storage.canonical(f"file://{tmp_path}/b.tar") == str(tmp_path / "b.tar")
    assert storage.canonical("memory://x/b.tar") == storage.canonical("memory:///x/b.tar")


@pytest.mark.parametrize(
    ("url", "folder", "name"),
    [
        ("/a/b.tar", "/a", "b.tar"),
        ("/b.tar", "/", "b.tar"),
        ("b.tar", ".", "b.tar"),
        ("gs://bucket/a/b.tar", "gs://bucket/a", "b.tar"),
        ("gs://bucket/b.tar", "gs://bucket", "b.tar"),
        ("memory://b.tar", "memory://", "b.tar"),
    ],
)
def test_parent_and_basename(url, folder, name):
    assert (storage.parent(url), storage.basename(url)) == (folder, name)
    if folder != ".":
        assert storage.join(folder, name) == url


def test_an_unknown_scheme_says_so():
    with pytest.raises(UsageError, match="unknown storage 'nowhere'"):
        storage.exists("nowhere://bucket/a.tar")


@pytest.mark.parametrize(("url", "extra"), [("gs://b/a.tar", "gcs"), ("s3://b/a.tar", "s3")])
def test_a_missing_package_names_the_extra(url, extra, monkeypatch):
    def refuse(*args, **kwargs):
        raise ImportError("no such package")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    with pytest.raises(UsageError, match=rf"avagent\[{extra}\]"):
        storage.exists(url)


def test_a_file_is_created_once(root):
    url = storage.join(root, "deep", "a.txt")
    assert storage.create(url, b"first")
    assert not storage.create(url, b"second")
    assert storage.read_bytes(url) == b"first"
    assert len(storage.list_folder(storage.join(root, "deep"))) == 1


def test_of_many_writers_one_creates(tmp_path):
    url = str(tmp_path / "a.txt")
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda n: storage.create(url, f"{n}".encode()), range(64)))
    assert sum(won) == 1
    assert storage.read_bytes(url) == f"{won.index(True)}".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
