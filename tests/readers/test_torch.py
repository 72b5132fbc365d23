"""The IterableDataset over refined shards."""

import gzip
import uuid

import numpy as np
import pytest
import torch
from bursts import RATE, burst
from torch.utils.data import DataLoader

from avagent import storage
from avagent.core.errors import ParameterError
from avagent.media.container import decode_audio
from avagent.media.decoder_process import DirectDecoder, process_decoder
from avagent.media.limits import DecodeLimits, MediaLimits
from avagent.readers import examples
from avagent.readers.torch import RefinedClips
from avagent.shards.formats import DEFAULT_OPTIONS, ShardOptions


def test_clips_come_with_sound_picture_and_record(refined, video):
    clips = {clip["key"]: clip for clip in RefinedClips(str(refined))}
    assert list(clips) == ["wav", "flac", "mp3", "film", "bare"]
    assert [clip["record"].get("outcome") for clip in clips.values()] == [*["improved"] * 3, "unchanged", None]
    wav, film = clips["wav"], clips["film"]
    assert (wav["rate"], wav["audio"].dtype, tuple(wav["audio"].shape)) == (RATE, torch.float32, (2, RATE))
    np.testing.assert_allclose(wav["audio"].numpy(), burst(2).samples, atol=1e-4)
    assert film["video"] == video
    np.testing.assert_array_equal(film["audio"].numpy(), decode_audio(video).samples)


def test_sound_is_resampled_and_clips_are_chosen_by_outcome(refined):
    (film,) = RefinedClips(str(refined), rate=8000, outcomes=["unchanged"])
    assert film["rate"] == 8000
    assert film["audio"].shape[0] == 6
    assert film["audio"].shape[1] == pytest.approx(8000 * 5.3, rel=0.02)


def test_workers_share_the_shards(refined):
    loader = DataLoader(RefinedClips(str(refined)), batch_size=None, num_workers=2, multiprocessing_context="spawn")
    assert sorted(clip["key"] for clip in loader) == ["bare", "film", "flac", "mp3", "wav"]


def test_a_shuffle_is_a_permutation_that_the_seed_decides(refined):
    first, again, other = ([c["key"] for c in RefinedClips(str(refined), shuffle=9, seed=s)] for s in (1, 1, 4))
    assert first == again
    assert sorted(first) == sorted(other)
    assert first != ["wav", "flac", "mp3", "film", "bare"]


def test_shards_are_read_wherever_storage_reaches(refined):
    url = f"memory://{uuid.uuid4().hex}/a.tar"
    storage.write_bytes(url, (refined / "a-000000.tar").read_bytes())
    assert [clip["key"] for clip in RefinedClips(url)] == ["wav", "flac", "mp3"]


def test_unusable_arguments_are_refused(refined):
    with pytest.raises(ParameterError, match="unknown outcome 'better'"):
        RefinedClips(str(refined), outcomes=["better"])
    with pytest.raises(ParameterError, match="avagent convert --to webdataset"):
        RefinedClips(str(refined / "tfrecord"))


def test_sound_is_decoded_in_a_process_that_can_be_killed_unless_it_is_trusted(refined, monkeypatch):
    asked = []

    class Counting(DirectDecoder):
        def run(self, function, /, *args, **kwargs):
            asked.append(function.__name__)
            return super().run(function, *args, **kwargs)

    monkeypatch.setattr(examples, "process_decoder", lambda limits: asked.append(limits) or Counting())
    (film,) = RefinedClips(str(refined), outcomes=["unchanged"])
    assert film["rate"] > 0
    assert [entry for entry in asked if isinstance(entry, str)].count("decode_audio") == 1
    assert DEFAULT_OPTIONS.decoding in asked
    assert process_decoder(DecodeLimits(decode_seconds=None)).__class__ is DirectDecoder


def test_media_over_the_limits_are_left_out(refined):
    options = ShardOptions(media=MediaLimits(media_seconds=2.0))
    assert {clip["key"] for clip in RefinedClips(str(refined), options=options)} == {"wav", "flac", "mp3"}


def test_a_gzip_tar_is_read_as_it_is(refined, tmp_path):
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress((refined / "a-000000.tar").read_bytes()))
    assert [clip["key"] for clip in RefinedClips(str(packed))] == ["wav", "flac", "mp3"]
