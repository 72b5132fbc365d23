"""The picture tagger's file: made again it is the same, and it answers as PyTorch does."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from avagent.models.embedded.packages import PICTURE_TAGGER

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location(
        "convert_picture_tagger", ROOT / "tools" / "convert_picture_tagger.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def few_pictures(media_dir, tmp_path):
    for name in ("animals/mammals/cats/tiger", "vehicles/emergency/firetruck", "hobbies/music/string/violin"):
        (tmp_path / f"{name.rsplit('/', 1)[1]}.png").symlink_to(media_dir / "stamps" / f"{name}.png")
    (tmp_path / "film.mp4").symlink_to(media_dir / "video" / "bigbuckbunny.mp4")
    return tmp_path


def test_made_again_it_is_the_file_that_ships(tool, few_pictures, tmp_path, capsys):
    made = tmp_path / "again.onnx"
    assert tool.main(["--to", str(made), "--pictures", str(few_pictures)]) == 0
    assert hashlib.sha256(made.read_bytes()).hexdigest() == PICTURE_TAGGER.digest
    assert PICTURE_TAGGER.digest in capsys.readouterr().out
    assert len(PICTURE_TAGGER.read()) < 25e6


def test_with_whole_weights_the_answers_are_those_of_pytorch(tool, few_pictures, tmp_path):
    assert tool.main(["--storage", "float32", "--to", str(tmp_path / "x.onnx"), "--pictures", str(few_pictures)]) == 0


def test_another_network_is_told(tool, few_pictures, tmp_path, monkeypatch):
    """The comparison can fail: one weight that differs is enough."""
    build = tool.build

    def disturbed(network, storage):
        model = build(network, storage)
        kernel = next(
            t for t in model.graph.initializer if t.data_type == tool.TensorProto.FLOAT16 and len(t.dims) == 4
        )
        kernel.raw_data = np.zeros(kernel.dims, np.float16).tobytes()
        return model

    monkeypatch.setattr(tool, "build", disturbed)
    assert tool.main(["--to", str(tmp_path / "x.onnx"), "--pictures", str(few_pictures)]) == 1


def test_without_pictures_nothing_is_claimed(tool, tmp_path, capsys):
    assert tool.main(["--to", str(tmp_path / "x.onnx"), "--pictures", str(tmp_path)]) == 1
    assert "make media" in capsys.readouterr().err
