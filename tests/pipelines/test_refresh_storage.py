"""Nightly runs on an S3 server: what did not change is copied there, and no byte of it comes here."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from changing_corpus import Shards, shard_bytes
from counting_ports import asked, counting_ports
from runs import contents, run
from storage_servers import s3_client, s3_server
from test_refresh import changes, same_as_afresh

from avagent import storage

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
SHARDS: Shards = {
    "a.tar": [("a0", 0), ("a1", 1), ("bad", -1)],
    "b.tfrecord": [("b0", 2), ("b1", 3)],
    "c.tar": [("c0", 4), ("c1", 5), ("c2", 6)],
}
CHANGED: Shards = SHARDS | {"c.tar": [("c0", 4), ("c1", 7), ("c2", 6)]}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as address, s3_client(f"http://{address[0]}:{address[1]}"):
        yield "s3://clips"


@pytest.fixture
def got(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the objects whose bytes were asked for."""
    s3fs = pytest.importorskip("s3fs")
    found: list[str] = []
    call = s3fs.S3FileSystem._call_s3

    async def noted(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        if method == "get_object":
            found.append(options.get("Key") or arguments[0]["Key"])
        return await call(self, method, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", noted)
    return found


def put(folder: str, shards: Shards) -> None:
    for name, clips in shards.items():
        storage.write_bytes(storage.join(folder, name), shard_bytes(name, clips))


def fetched(folder: str, to: Path) -> Path:
    """A local copy, its places told as `PLACE`."""
    fs, path = storage.filesystem(folder)
    for name in fs.find(path):
        target = to / name.removeprefix(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        data: bytes = fs.cat_file(name)
        target.write_bytes(data if target.suffix in (".parquet", ".tar") else data.replace(folder.encode(), b"PLACE"))
    return to


def shards_in(keys: list[str]) -> set[str]:
    return {key.rsplit("/", 1)[-1] for key in keys} & set(SHARDS)


def test_a_night_on_object_storage(bucket: str, got: list[str], tmp_path: Path):
    root = f"{bucket}/{uuid.uuid4().hex}"
    source, refined = f"{root}/in", f"{root}/refined"
    with counting_ports(tmp_path) as recipe:

        def refine(output: str, *more: str) -> None:
            arguments = ("refine", "--recipe", recipe, "--input", source, "--output", output, *more)
            assert run(*arguments) == 0

        put(source, SHARDS)
        refine(f"{refined}/1", "--previous", "latest")
        got.clear()
        with asked() as questions:
            refine(f"{refined}/2", "--previous", "latest")
        assert not questions
        assert not shards_in(got)
        put(source, {"c.tar": CHANGED["c.tar"]})
        got.clear()
        with asked() as questions:
            refine(f"{refined}/3", "--previous", "latest")
            # The output elsewhere than the previous run: what did not change passes through.
            refine(str(tmp_path / "local"), "--previous", f"{refined}/2")
        assert {key for _, key in questions} == {"c1"}
        assert not [key for key in got if "/in/" in key and not key.endswith("/c.tar")]
        refine(f"{refined}/afresh")
    assert storage.read_text(f"{refined}/latest.json") == '{"version": "3"}\n'
    third, afresh = (fetched(f"{refined}/{name}", tmp_path / name) for name in ("3", "afresh"))
    assert same_as_afresh(third) == same_as_afresh(afresh)
    assert same_as_afresh(tmp_path / "local") == same_as_afresh(afresh)
    assert [key for key, change in changes(third) if change == "changed"] == ["c1"]
    assert contents(fetched(f"{refined}/2", tmp_path / "2")).keys() >= {"a.tar", "_errors/a.tar", "_SUCCESS"}
