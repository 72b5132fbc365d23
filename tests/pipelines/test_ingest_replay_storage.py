"""`ingest` and `replay` on S3 and GCS servers: the same as on disk, also when they are run again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from media_samples import Recipe, build, tone_bursts
from runs import contents, run
from scripted_runs import scripted_ports, write_corpus, write_recipe
from storage_servers import SERVERS
from test_refresh_storage import fetched
from test_replay import without_replays

import scripted_ports as ports  # isort: skip  (scripted_runs tells where it lies)

from avagent import storage

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
QUICK = ("--set", "limits.decode_seconds=null")


@pytest.fixture(scope="module", params=SERVERS)
def bucket(request: pytest.FixtureRequest) -> Iterator[str]:
    server, client, url = SERVERS[request.param]
    with server() as address, client(f"http://{address[0]}:{address[1]}"):
        yield url


@pytest.fixture
def folder(bucket: str) -> str:
    return f"{bucket}/{uuid.uuid4().hex}"


def upload(source: Path, target: str) -> None:
    for path in sorted(source.iterdir()):
        storage.write_bytes(storage.join(target, path.name), path.read_bytes())


def test_ingest_gives_the_same_shards_as_on_disk(folder: str, tmp_path: Path):
    source = tmp_path / "in"
    source.mkdir()
    for seed in range(3):
        data = build(Recipe(frames=30, sound=tone_bursts(1.2, seed=seed)))
        (source / f"clip{seed}.mp4").write_bytes(data)
    (source / "broken.mp4").write_bytes(b"no media")
    upload(source, f"{folder}/in")
    more = ("--shard-clips", 2)
    assert run("ingest", "--input", source, "--output", tmp_path / "out", *more) == 0
    for _ in range(2):
        assert run("ingest", "--input", f"{folder}/in", "--output", f"{folder}/out", *more) == 0
        found = contents(fetched(f"{folder}/out", tmp_path / uuid.uuid4().hex))
        wanted = contents(tmp_path / "out")
        assert set(found) == set(wanted)
        assert {n: h for n, h in found.items() if n.endswith(".tar")} == {
            n: h for n, h in wanted.items() if n.endswith(".tar")
        }
    storage.write_bytes(f"{folder}/in/late.mp4", build(Recipe(frames=30, sound=tone_bursts(1.2, seed=7))))
    assert run("ingest", "--input", f"{folder}/in", "--output", f"{folder}/out", *more) == 0
    index = storage.read_text(f"{folder}/out/index.json")
    assert index.count('"nsamples": 2') == 2


def test_replay_gives_what_a_run_after_the_fix_gives(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = write_recipe(tmp_path)
    write_corpus(tmp_path / "in", tars=1, records_files=1)
    upload(tmp_path / "in", f"{folder}/in")

    def refine(output: str) -> None:
        assert run("refine", "--input", f"{folder}/in", "--output", output, "--recipe", recipe, *QUICK) == 0

    with scripted_ports():
        refine(f"{folder}/out")
        monkeypatch.setenv(ports.MENDED, "1")
        assert run("replay", "--output", f"{folder}/out") == 0
        refine(f"{folder}/fresh")
        assert run("replay", "--output", f"{folder}/fresh") == 0
    assert not storage.exists(f"{folder}/out/_replay/publish.json")
    found, wanted = (fetched(f"{folder}/{name}", tmp_path / name) for name in ("out", "fresh"))
    assert without_replays(found) == without_replays(wanted)
