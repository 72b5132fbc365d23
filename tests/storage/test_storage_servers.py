"""The same run on a real S3 and a real GCS server as on local files.

Needs the extras `s3` and `gcs`, and the servers `moto[server]` and `gcp-storage-emulator`; each test is skipped
without its own.
"""

from __future__ import annotations

import uuid

import pytest
from shard_tools import tar_bytes
from storage_servers import gcs_client, gcs_server, s3_client, s3_server
from test_commit import EXPECTED, refine

from avagent import storage
from avagent.core.errors import UsageError
from avagent.runs.commit import claim_output, finalize, is_complete
from avagent.shards.listing import list_shards
from avagent.shards.samples import LoadedClip
from avagent.shards.webdataset.samples import read_clip, read_shard
from avagent.storage import atomic

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def s3():
    with s3_server() as (host, port), s3_client(f"http://{host}:{port}"):
        yield "s3://clips"


@pytest.fixture(scope="module")
def gcs():
    with gcs_server() as (host, port), gcs_client(f"http://{host}:{port}"):
        yield "gs://clips"


@pytest.fixture(params=["s3", "gcs"])
def root(request):
    return storage.join(request.getfixturevalue(request.param), uuid.uuid4().hex)


def test_files(root):
    url = storage.join(root, "a.bin")
    assert not storage.exists(url)
    assert storage.list_folder(root) == []
    data = bytes(range(256)) * 50_000
    storage.write_bytes(url, data)
    assert storage.exists(url)
    assert storage.size(url) == len(data)
    assert storage.list_folder(root) == [url]
    assert storage.read_range(url, 255, 3) == b"\xff\x00\x01"
    assert b"".join(storage.iter_range(url, 9_000_000, 3_000_000)) == data[9_000_000:12_000_000]
    storage.write_bytes(url, b"new")
    assert (storage.size(url), storage.read_bytes(url)) == (3, b"new")
    storage.remove(url)
    assert not storage.exists(url)
    storage.remove(url)


def test_a_write_that_fails_leaves_nothing(root):
    url = storage.join(root, "a.bin")

    def write():
        with storage.atomic_write(url) as file:
            file.write(bytes(10 << 20))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write()
    assert storage.list_folder(root) == []


def test_a_change_by_another_worker_is_seen(root):
    url = storage.join(root, "a.bin")
    assert storage.list_folder(root) == []
    fs, path = storage.filesystem(url)
    other = type(fs)(**{**fs.storage_options, "skip_instance_cache": True})
    other.pipe_file(path, b"by another")
    assert storage.exists(url)
    assert storage.list_folder(root) == [url]
    other.pipe_file(path, b"longer than before")
    assert storage.size(url) == 18


def test_a_copy_is_made_by_the_server(root, tmp_path, monkeypatch):
    source, target = storage.join(root, "a.bin"), storage.join(root, "out", "b.bin")
    storage.write_bytes(source, b"bytes" * 1000)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "open_read", None)
        assert storage.copy(source, target) == 5000
    assert storage.read_bytes(target) == b"bytes" * 1000
    assert storage.copy(source, str(tmp_path / "c.bin")) == 5000
    assert (tmp_path / "c.bin").read_bytes() == b"bytes" * 1000
    with pytest.raises(FileNotFoundError):
        storage.copy(storage.join(root, "absent"), target)


def test_the_version_changes_with_the_object(root):
    url = storage.join(root, "a.bin")
    storage.write_bytes(url, b"one")
    first = storage.version(url)
    assert storage.version(url) == first
    assert storage.folder_versions(root) == {"a.bin": first}
    storage.write_bytes(url, b"two")
    assert storage.version(url) != first
    with pytest.raises(FileNotFoundError):
        storage.version(storage.join(root, "absent"))


def test_shards_are_listed_and_read_by_range(root):
    for name in ("b.tar", "a.tar", "notes.md", "deep/c.tar"):
        storage.write_bytes(storage.join(root, name), tar_bytes([("x.mp4", b"1" * 5000), ("y.mp4", b"2")]))
    shards = [storage.join(root, name) for name in ("a.tar", "b.tar")]
    assert list_shards(root) == list_shards(storage.join(root, "*.tar")) == shards
    assert len(list_shards(storage.join(root, "**/*.tar"))) == 3
    listed = storage.join(root, "night.txt")
    storage.write_bytes(listed, f"# tonight\nb.tar\n{shards[0]}\ndeep/*.tar\n".encode())
    assert list_shards(listed) == list_shards(f"@{listed}") == [*shards, storage.join(root, "deep", "c.tar")]
    assert list_shards(storage.join(root, "{a,b}.tar")) == shards
    assert list_shards(shards[0]) == shards[:1]
    with pytest.raises(UsageError, match="does not exist"):
        list_shards(storage.join(root, "absent"))
    items = list(read_shard(shards[0]))
    assert [(type(i), i.ref.key) for i in items] == [(LoadedClip, "x"), (LoadedClip, "y")]
    assert [read_clip(i.ref) for i in items] == [i.clip for i in items]
    (absent,) = read_shard(storage.join(root, "absent.tar"))
    assert absent.failure.reason == "unreadable_shard"


def test_a_run_is_the_same_as_on_local_files(root, tmp_path):
    outputs = [storage.join(place, "out") for place in (root, str(tmp_path))]
    for place, output in zip((root, str(tmp_path)), outputs, strict=True):
        claim_output(output, "f")
        finalize(output, refine(place, output), expected=EXPECTED, fingerprint="f", run={"recipe": "embedded"})
        assert is_complete(output, "f")
    names = ["a.tar", "b.tar", "c.tar", "index.json", "_SUCCESS", "_manifest/clips.parquet", "_manifest/run.json"]
    for name in names:
        remote, local = (storage.read_bytes(storage.join(output, name)) for output in outputs)
        assert remote == local, name
    claim_output(outputs[0], "g", overwrite=True)
    assert storage.list_folder(outputs[0]) == []
    assert storage.list_folder(storage.join(outputs[0], "_errors")) == []


def test_a_file_is_created_once(root):
    """The GCS emulator enforces no precondition (its real counterpart does): there, the last one has it."""
    url = storage.join(root, "claim.json")
    assert storage.create(url, b"first")
    second = storage.create(url, b"second")
    assert storage.read_bytes(url) == (b"second" if second else b"first")
    assert not (second and root.startswith("s3://"))
