from __future__ import annotations

import numpy as np
import pytest
from views import ArrayView, grey, picture, sound, struck

from avagent.core.captions import Tag
from avagent.core.errors import FailureReason, MediaError
from avagent.core.media import Waveform
from avagent.models.embedded.captioner import EmbeddedCaptioner, sentence, top_tags
from avagent.models.embedded.runtime import BoundedCache, process_tagger

BROKEN = MediaError("the mp4 is truncated", reason=FailureReason.CORRUPT_MEDIA)


@pytest.fixture(scope="module")
def captioner() -> EmbeddedCaptioner:
    return EmbeddedCaptioner()


@pytest.mark.parametrize(
    ("tags", "junction", "expected"),
    [
        ((), "and", "Nothing is heard that could be named with confidence."),
        ((Tag("Sheep, lamb", 0.934),), "and", "Sheep (0.93) is heard."),
        ((Tag("Dog", 0.9), Tag("Bow-wow", 0.5)), "and", "Dog (0.90) and bow-wow (0.50) are heard."),
        (
            (Tag("A", 0.9), Tag("TV set", 0.5), Tag("Bell", 0.2)),
            "or",
            "A (0.90), TV set (0.50) or bell (0.20) is heard.",
        ),
    ],
)
def test_sentences(tags, junction, expected):
    assert sentence(tags, "heard", junction) == expected


def test_tags_are_ranked_and_cut():
    found = top_tags(np.array([0.2, 0.9, 0.05, 0.2], np.float32), "abcd", 0.1, 3)
    assert [t.label for t in found] == ["b", "a", "d"]


def test_real_clip_is_heard_and_seen(captioner, media_dir):
    stem = media_dir / "stamps/vehicles/emergency/firetruck"
    view = ArrayView(sound=sound(stem.with_suffix(".ogg")), pictures=picture(stem.with_suffix(".png")))
    heard, seen = captioner.caption_audio([view])[0], captioner.caption_video([view])[0]
    assert "siren" in heard.text.lower()
    assert seen.text.startswith("Fire engine (0.")
    assert seen.tags[0] == Tag("fire engine", seen.tags[0].confidence)


def test_order_is_kept_and_one_bad_clip_fails_alone(captioner):
    views = [
        struck(2.0, key="a", count=3),
        ArrayView(key="b", broken=BROKEN),
        ArrayView(key="c"),
        struck(2.0, key="d", seed=5, count=3),
    ]
    for caption in (captioner.caption_audio, captioner.caption_video):
        alone = [caption([view])[0] for view in views]
        together = caption(views)
        assert together == alone
        assert together[1] is BROKEN
        assert together[2] is None
        assert together[0].text


def test_the_same_clip_gets_the_same_caption():
    views = [struck(2.0, key="again", count=3)]
    first = EmbeddedCaptioner().caption_audio(views)
    assert EmbeddedCaptioner().caption_audio([struck(2.0, key="again", count=3)]) == first


def test_samples_that_are_no_numbers_fail_the_clip(captioner):
    bad = ArrayView(key="nan", sound=Waveform(np.full((1, 16_000), np.nan, np.float32), 16_000), pictures=grey())
    answer = captioner.caption_audio([bad])[0]
    assert answer.reason is FailureReason.NON_FINITE_SAMPLES


def test_silence_is_called_silence(captioner):
    silent = ArrayView(key="silent", sound=Waveform(np.zeros((1, 16_000), np.float32), 16_000))
    assert captioner.caption_audio([silent])[0].tags[0].label == "Silence"


def test_pictures_are_looked_at_once(captioner):
    view = struck(2.0, key="once", seed=11, count=3)
    captioner.caption_video([view])
    again = view.edited()
    captioner.caption_video([again])
    assert again.asked == []
    assert process_tagger() is process_tagger()


def test_the_cache_is_bounded_and_keeps_what_was_used_last():
    cache: BoundedCache[int] = BoundedCache(2)
    made: list[str] = []

    def make(key: str) -> int:
        made.append(key)
        return len(made)

    for key in ("a", "b", "a", "c", "a", "b"):
        cache.get(key, lambda key=key: make(key))
    assert made == ["a", "b", "c", "b"]
    assert len(cache) == 2


def test_a_failure_is_not_cached():
    cache: BoundedCache[int] = BoundedCache(2)

    def fail() -> int:
        raise BROKEN

    with pytest.raises(MediaError):
        cache.get("a", fail)
    assert cache.get("a", lambda: 1) == 1
