"""SyncNet's own network, with random weights, over drawn faces: its front ends, its lags, its refusals."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from drawn_face import draw_face
from views import ArrayView, events, movement

from avagent.core.errors import MissingModelError, RecipeError
from avagent.core.media import Frames, Waveform
from avagent.models.registry import build_scorer
from avagent.models.scorers.syncnet import MOST_LAG, SIDE, _past_init, load_network, mean_distances, mfcc

UNCALIBRATED = {"uncalibrated": True, "margin_alignment": 0.0, "margin_synchronization": 0.1}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The real network, its last layers small."""
    torch.manual_seed(0)
    with _past_init():
        network = importlib.import_module("syncnet_python.SyncNetModel").S(num_layers_in_fc_layers=8)
    path = tmp_path_factory.mktemp("syncnet") / "tiny.model"
    torch.save(network.state_dict(), path)
    return path


def test_cepstra_equal_those_that_syncnet_was_trained_on():
    """Made by python_speech_features 0.6: `mfcc(np.round(x * 32768).astype(np.int16), 16000)[[0, 50]]`."""
    t = np.arange(16_000) / 16_000
    noise = 0.02 * np.random.default_rng(0).standard_normal(16_000)
    x = (0.3 * np.sin(2 * np.pi * 220 * t) * (1 + np.sin(2 * np.pi * 3 * t)) / 2 + noise).astype(np.float32)
    found = mfcc(Waveform(x[None], 16_000))
    assert found.shape == (99, 13)
    assert found[0, :5] == pytest.approx([19.093, -18.695, 13.147, 9.913, 4.44], abs=2e-3)
    assert found[50, :5] == pytest.approx([18.874, -20.609, 6.438, 3.09, 5.973], abs=2e-3)


@pytest.mark.parametrize("late", [-6, 0, 9])
def test_the_least_distance_is_at_the_lag(late):
    features = np.random.default_rng(1).standard_normal((120, 8)).astype(np.float32)
    lips, heard = features[20:100], features[20 - late : 100 - late]
    assert int(np.argmin(mean_distances(lips, heard))) - MOST_LAG == late


def test_a_face_and_a_voice_are_scored_and_what_is_neither_says_why(checkpoint):
    scorer = build_scorer("syncnet", {"checkpoint": str(checkpoint), "device": "cpu", **UNCALIBRATED})
    assert scorer.fingerprint.startswith("syncnet(")
    face = draw_face(240, 320, 160, 120, 90)
    pictures = Frames(np.repeat(face[None], 40, axis=0), np.arange(40) / 25)
    sound, moves = events([0.3, 0.9, 1.2], 1.7), movement([0.3, 0.9], 1.6)
    bare = Frames(np.full((4, 120, 160, 3), 90, np.uint8), np.arange(4) / 25)
    talking, nobody, short, mute = scorer.raw(
        [
            ArrayView(key="a", sound=sound, pictures=pictures, movement=moves),
            ArrayView(key="b", sound=sound, pictures=bare, movement=moves),
            ArrayView(key="c", sound=events([0.1], 0.5), pictures=pictures, movement=moves),
            ArrayView(key="d", sound=Waveform(np.zeros((1, 16_000), np.float32), 16_000), pictures=pictures),
        ]
    )
    assert np.isfinite(talking.synchronization)
    assert talking.alignment is None
    notes = [answer.synchronization_note for answer in (talking, nobody, short, mute)]
    assert notes == [None, "no_face", "too_short", "muted"]


def test_pictures_are_shown_as_they_were_in_training(checkpoint):
    network = load_network(checkpoint).eval()
    with torch.inference_mode():
        assert network.forward_lip(torch.zeros(1, 3, 5, SIDE, SIDE)).shape == (1, 8)
        assert network.forward_aud(torch.zeros(1, 1, 13, 20)).shape == (1, 8)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="needs the option `checkpoint`"):
        build_scorer("syncnet")
    with pytest.raises(MissingModelError, match="no checkpoint"):
        build_scorer("syncnet", {"checkpoint": str(tmp_path / "none.model")})
    (tmp_path / "bad.model").write_bytes(b"not weights")
    with pytest.raises(MissingModelError, match="cannot be read as weights"):
        load_network(tmp_path / "bad.model")
    torch.save({"other": torch.zeros(2)}, tmp_path / "other.model")
    with pytest.raises(RecipeError, match="holds no weights of SyncNet"):
        load_network(tmp_path / "other.model")
