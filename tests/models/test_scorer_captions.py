"""Captions of sound against videos by X-CLIP, on tiny weights."""

import pickle

import numpy as np
import pytest
from tiny_scorers import save_clip, save_xclip
from views import ArrayView, events, movement

from avagent.core.captions import Caption
from avagent.core.errors import FailureReason, MediaError, RecipeError
from avagent.core.media import Frames
from avagent.models.registry import build_scorer

BROKEN = MediaError("the mp4 is truncated", reason=FailureReason.CORRUPT_MEDIA)
UNCALIBRATED = {"uncalibrated": True, "margin_alignment": 0.01}


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    model = save_xclip(tmp_path_factory.mktemp("weights") / "xclip")
    return build_scorer("caption_xclip", {"model": str(model), "device": "cpu", **UNCALIBRATED})


class Said:
    """A captioner that says what it is told to."""

    fingerprint = "said"

    def __init__(self, *texts):
        self._texts = texts

    def caption_audio(self, views):
        return [text if text is None or isinstance(text, MediaError) else Caption(text) for text in self._texts]


def saying(scorer, *texts):
    copy = pickle.loads(pickle.dumps(scorer))  # noqa: S301  (our own)
    object.__setattr__(copy, "_captioner", Said(*texts))
    return copy


def clip(key="a", seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 36, 48, 3), dtype=np.uint8)
    at = [0.5, 1.5, 2.5]
    pictures = Frames(pixels, np.arange(6) / 2)
    return ArrayView(key=key, sound=events(at, 3.0), pictures=pictures, movement=movement(at, 3.0))


def test_caption_and_pictures_both_count(scorer):
    said = saying(scorer, "a dog barks", "rain on a roof", "a dog barks")
    first, second, other = said.raw([clip(), clip(), clip(seed=3)])
    assert len({first.alignment, second.alignment, other.alignment}) == 3
    assert {first.synchronization, other.synchronization} == {None}
    (alone,) = saying(scorer, "a dog barks").score([clip()])
    assert alone.alignment == pytest.approx((1 + first.alignment) / 2)
    assert alone.synchronization_note == "caption_has_no_time"


def test_what_cannot_be_judged_takes_no_other_along(scorer):
    views = [clip(), clip(), ArrayView(key="b", sound=clip().sound), ArrayView(key="c", broken=BROKEN), clip()]
    silent, failed, blind, broken, good = saying(scorer, None, BROKEN, "rain", "rain", "rain").raw(views)
    assert silent.alignment_note == "no_audio"
    assert failed is BROKEN
    assert blind.alignment_note == "no_video"
    assert broken is BROKEN
    assert good.alignment is not None


def test_the_embedded_captioner_describes_the_sound(scorer):
    (found,) = scorer.score([clip()])
    assert 0.0 <= found.alignment <= 1.0
    assert scorer.margins == (0.01, 0.0)
    assert "captions=" in scorer.fingerprint


def test_unusable_options_are_refused(scorer, tmp_path):
    with pytest.raises(RecipeError, match="xclip"):
        build_scorer("caption_xclip", {"model": str(save_clip(tmp_path / "clip"))})
    with pytest.raises(RecipeError, match="unknown captioner 'nobody'"):
        build_scorer("caption_xclip", {"model": scorer.model, "captioner": "nobody"})
