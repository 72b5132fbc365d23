"""The tf.data reader, in an environment that has TensorFlow 2.16 and tensorflow-io (`make test` makes it)."""

import json

import numpy as np
import pytest

pytest.importorskip("tensorflow_io", reason="needs the extra tfio, in an environment of its own", exc_type=ImportError)

import tensorflow as tf
from bursts import RATE, burst

from avagent.core.errors import MissingModelError, ParameterError
from avagent.media.container import decode_audio
from avagent.readers import tensorflow as reader
from avagent.readers.tensorflow import check_native_operations, read_clips


def clips_of(*arguments, **options):
    return {clip["key"].decode(): clip for clip in read_clips(*arguments, **options).as_numpy_iterator()}


@pytest.mark.parametrize("folder", [".", "tfrecord"])
def test_clips_come_with_sound_picture_and_record(refined, video, folder):
    clips = clips_of(str(refined / folder))
    assert set(clips) >= {"wav", "flac", "mp3", "film"}
    assert "bad" not in clips
    for suffix in ("wav", "flac"):
        assert (clips[suffix]["rate"], clips[suffix]["audio"].dtype) == (RATE, np.float32)
        np.testing.assert_allclose(clips[suffix]["audio"], burst(2).samples.T, atol=1e-4)
        assert json.loads(clips[suffix]["record"]) == {"outcome": "improved"}
    assert clips["film"]["video"] == video
    np.testing.assert_array_equal(clips["film"]["audio"], decode_audio(video).samples.T)


def test_native_and_pyav_agree_where_both_decode(refined, monkeypatch):
    native = clips_of(str(refined), outcomes=["improved"])
    monkeypatch.setattr(reader, "_NATIVE", {})
    other = clips_of(str(refined), outcomes=["improved"])
    assert list(native) == list(other) == ["wav", "flac", "mp3"]
    for key, clip in native.items():
        length = min(len(clip["audio"]), len(other[key]["audio"]))
        assert length >= RATE
        np.testing.assert_allclose(clip["audio"][:length], other[key]["audio"][:length], atol=2e-3)


def test_clips_are_chosen_by_outcome(refined):
    assert list(clips_of(str(refined), outcomes=["unchanged"])) == ["film"]
    with pytest.raises(ParameterError, match="unknown outcome"):
        read_clips(str(refined), outcomes=["better"])


def test_dead_native_operations_are_noticed(monkeypatch):
    def dead(*_arguments, **_options):
        raise NotImplementedError("unable to open file: libtensorflow_io.so")

    check_native_operations()
    monkeypatch.setattr(reader.tfio.audio, "decode_wav", dead)
    with pytest.raises(MissingModelError, match=r"avagent\[tfio\]"):
        check_native_operations()
    assert tf.__version__.startswith("2.16.")
