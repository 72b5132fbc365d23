"""The table of label vectors: what ships is what the packaged sentence encoder gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from avagent.models.embedded.labels import label_table
from avagent.models.embedded.yamnet import read_labels

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_label_table", ROOT / "tools" / "make_label_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def encoder(tool):
    return tool.SentenceEncoder()


def test_the_shipped_table_is_what_the_sentence_encoder_gives(tool, encoder):
    made, shipped = tool.make_table(encoder.embed, read_labels()), label_table()
    np.testing.assert_allclose(shipped.audio, made.audio, atol=2e-3)
    np.testing.assert_allclose(shipped.image, made.image, atol=2e-3)


def test_the_sentence_encoder_gives_unit_vectors_near_for_near_meanings(encoder):
    dog, puppy, engine = encoder.embed(["a dog", "a puppy", "a steam engine"])
    assert np.linalg.norm(dog) == pytest.approx(1.0, abs=1e-5)
    assert dog @ puppy > 0.6
    assert dog @ engine < 0.4


def test_no_text_gives_no_vector(tool, encoder):
    assert encoder.embed([]).shape == (0, tool.DIMENSIONS)
