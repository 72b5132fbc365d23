"""The IterableDataset over refined shards."""

import uuid

import numpy as np
import pytest
import torch
from bursts import RATE, burst
from torch.utils.data import DataLoader

from avagent import storage
from avagent.core.errors import ParameterError
from avagent.media.container import decode_audio
from avagent.readers.torch import RefinedClips


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
