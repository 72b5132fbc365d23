"""`avagent refine` on S3 and GCS servers that fail requests and cut transfers short: the same as on local files."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy, every
from runs import clips, contents, refined
from scripted_runs import scripted_ports, write_corpus, write_recipe
from storage_servers import SERVERS, without_waits

from avagent import storage
from avagent.storage.retries import RetryPolicy

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
QUICK = RetryPolicy(first_wait_s=0, longest_wait_s=0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tar and two TFRecord shards."""
    folder = tmp_path_factory.mktemp("corpus") / "in"
    write_corpus(folder, tars=3, records_files=2)
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, recipe: Path) -> Path:
    """The output of a run on local files."""
    with scripted_ports():
        return refined(corpus, corpus.parent / "out", "--recipe", recipe)


def fetch(root: str, folder: Path) -> Path:
    """A local copy of all that lies below a URL."""
    fs, path = storage.filesystem(root)
    for name in fs.find(path):
        target = folder / name.removeprefix(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(fs.cat_file(name))
    return folder


def without_places(output: Path, *places: str) -> dict[str, str]:
    """What a run wrote, but for where its input lies: the claim and `run.json` are left out."""
    for path in output.rglob("*.json*"):
        text = path.read_text("utf-8")
        for place in places:
            text = text.replace(place, "PLACE")
        text = re.sub(r'"decisions":"[0-9a-f]{64}"', "", text)  # a digest of decisions, places included
        path.write_text(text, "utf-8")
    found = contents(output)
    return {
        name: digest for name, digest in found.items() if name not in ("_manifest/claim.json", "_manifest/run.json")
    }


@pytest.mark.parametrize(("kind", "source"), [("s3", "in/night.txt"), ("gcs", "in")])
def test_a_run_over_faulty_storage_gives_the_same_bytes(
    kind: str, source: str, corpus: Path, recipe: Path, undisturbed: Path, tmp_path: Path
):
    server, client, bucket = SERVERS[kind]
    root = storage.join(bucket, uuid.uuid4().hex)
    with server() as address, without_waits(QUICK), scripted_ports():
        direct = f"http://{address[0]}:{address[1]}"
        with client(direct):
            names = sorted(path.name for path in corpus.iterdir())
            for path in corpus.iterdir():
                storage.copy(str(path), storage.join(root, "in", path.name))
            storage.write_bytes(storage.join(root, "in", "night.txt"), "\n".join(names).encode())
        # More than one transfer in 50, since the corpus is small.
        with FaultyProxy(address, every(request=20, transfer=10)) as proxy, client(proxy.url):
            refined(storage.join(root, source), storage.join(root, "out"), "--recipe", recipe)
        assert {"500", "503", "429", "reset", "cut", "short"} <= set(proxy.injected)
        with client(direct):
            output = fetch(storage.join(root, "out"), tmp_path / "out")
    assert len(clips(output)) == 35
    expected = without_places(fetch(str(undisturbed), tmp_path / "local"), str(corpus))
    assert without_places(output, storage.join(root, "in")) == expected
