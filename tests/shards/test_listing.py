"""Which shards an argument means."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from avagent import storage
from avagent.core.errors import UsageError
from avagent.runs.commit import write_index
from avagent.runs.rewrite import ShardReport
from avagent.shards.listing import check_names, expand_braces, list_shards


@pytest.fixture(params=["path", "memory"])
def folder(request, tmp_path):
    root = str(tmp_path / "in") if request.param == "path" else f"memory://{uuid.uuid4().hex}"
    for name in ("b-000001.tar", "b-000000.tar", "notes.md", ".hidden.tar", "sub/c.tar"):
        storage.write_bytes(storage.join(root, name), b"")
    return storage.canonical(root)


def named(folder, *names):
    return [storage.join(folder, name) for name in names]


def test_a_folder_means_the_tars_directly_inside(folder):
    assert list_shards(folder) == named(folder, "b-000000.tar", "b-000001.tar")
    assert list_shards(folder + "/") == named(folder, "b-000000.tar", "b-000001.tar")


@pytest.mark.parametrize("pattern", ["b-*.tar", "b-00000?.tar", "b-{000000..000001}.tar", "b-{000001,000000}.tar"])
def test_patterns(folder, pattern):
    assert list_shards(storage.join(folder, pattern)) == named(folder, "b-000000.tar", "b-000001.tar")


def test_a_pattern_may_go_deep(folder):
    assert storage.join(folder, "sub/c.tar") in list_shards(storage.join(folder, "**/*.tar"))


def test_one_shard(folder):
    assert list_shards(storage.join(folder, "b-000001.tar")) == named(folder, "b-000001.tar")


@pytest.mark.parametrize(("prefix", "suffix"), [("@", ""), ("@", ".lst"), ("", ".txt"), ("", ".list")])
def test_a_list_of_shards_and_patterns_relative_to_it(folder, prefix, suffix):
    url = storage.join(folder, "shards" + suffix)
    storage.write_bytes(url, b"# training\n\nsub/c.tar\r\nb-*1.tar\n  b-000001.tar \n")
    assert list_shards(prefix + url) == named(folder, "b-000001.tar", "sub/c.tar")


def test_a_wids_index_is_a_list(folder):
    report = {"source": "", "outcomes": (), "nsamples": 0, "filesize": 0, "md5": "", "errors": 0}
    names = ("b-000001.tar", "b-000000.tar")
    write_index(folder, [ShardReport(name=n, url=storage.join(folder, n), **report) for n in names])
    assert list_shards(storage.join(folder, "index.json")) == named(folder, "b-000000.tar", "b-000001.tar")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "no input given"),
        ("{folder}/absent", "does not exist"),
        ("{folder}/x-*.tar", "no shard matches"),
        ("@{folder}/absent.txt", "does not exist"),
        ("@{folder}/notes.md", "names no shard"),
        ("{folder}/bad.json", "not a wids index"),
        ("{folder}/x-{{1-2}}.tar", "neither a range"),
        ("{folder}/x-{{9..1}}.tar", "must ascend"),
        ("{folder}/x-{{0..999999999}}.tar", "by less than"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_name(folder, source, message):
    storage.write_bytes(storage.join(folder, "bad.json"), b'{"shards": []}')
    with pytest.raises(UsageError, match=message):
        list_shards(source.format(folder=folder))


def test_a_folder_without_shards_says_what_it_holds(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(
        UsageError,
        match=r"no \*\.tar \(or \*\.tar\.gz, \*\.tgz\) or \*\.tfrecord\* directly inside.*1 other file.*\*\*/\*\.tar",
    ):
        list_shards(str(tmp_path))


@pytest.mark.parametrize("name", ["b.tar.zst", "b.tfrecord-00000-of-00001.bz2", "b.TXZ", "b.tar.xz"])
def test_archives_of_other_compressions_are_not_left_out_in_silence(tmp_path, caplog, name):
    (tmp_path / "a.tar").touch()
    (tmp_path / name).touch()
    assert [Path(url).name for url in list_shards(str(tmp_path))] == ["a.tar"]
    assert name in caplog.text
    assert "decompress" in caplog.text


def test_brace_groups_multiply_and_keep_their_width():
    assert expand_braces("{a,b}-{08..10}.tar") == [f"{x}-{n}.tar" for x in "ab" for n in ("08", "09", "10")]
    assert expand_braces("plain.tar") == ["plain.tar"]
    with pytest.raises(UsageError, match="at most"):
        expand_braces("{0..9999}/{0..9999}.tar")


def test_two_shards_of_one_name_are_refused():
    check_names(["/a/x.tar", "/a/y.tar"])
    with pytest.raises(UsageError, match=r"/a/x.tar and /b/x.tar"):
        check_names(["/a/x.tar", "/b/x.tar"])
