"""What all tests share."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from rewrite_tools import FILES
from shard_tools import tar_bytes

from avagent import storage

ROOT = Path(__file__).resolve().parent.parent
MEDIA = ROOT / ".cache" / "media"
REMEDY = "run `make media` (python tools/fetch_media.py)"

# How fast a machine is must not decide a test; in CI, examples do not change from run to run either.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--examples", type=int, default=1, metavar="N", help="run each Hypothesis property with N times its examples"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every property try `--examples` times as many; a profile could not: `@settings` on a test goes before it."""
    factor = config.getoption("--examples")
    if factor == 1:
        return
    # Once a function, which a parametrised test shares among its items.
    functions = {item.function for item in items if isinstance(item, pytest.Function)}
    for function in functions:
        own = getattr(function, "_hypothesis_internal_use_settings", None)
        if own is not None:
            function._hypothesis_internal_use_settings = settings(own, max_examples=factor * own.max_examples)


@pytest.fixture(scope="session")
def media_dir() -> Path:
    """Folder of real media: `stamps/` (png + ogg of one stem), `speech/` (g722), `video/bigbuckbunny.mp4`.

    Absent media skip a test on a developer's machine, and fail it in CI.
    """
    manifest = (ROOT / "tools" / "media.sha256").read_text(encoding="utf-8").splitlines()
    names = [line.split(maxsplit=1)[1] for line in manifest if line]
    absent = [name for name in names if not (MEDIA / name).is_file()]
    if absent:
        message = f"{len(absent)} of {len(names)} media files are absent, such as {absent[0]}: {REMEDY}"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return MEDIA


@pytest.fixture(params=["path", "memory"])
def root(request, tmp_path):
    """A folder on each sort of file system."""
    return str(tmp_path) if request.param == "path" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def shard(root):
    """A shard in it."""
    url = storage.join(root, "in", "train-000000.tar")
    storage.write_bytes(url, tar_bytes(FILES))
    return url


@pytest.fixture
def output(root):
    """Where a run may write beside it."""
    return storage.join(root, "out")
