"""The models on clips as the pipeline hands them over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from avagent.core.actions import EXTENDED_ACTIONS
from avagent.core.captions import Captions
from avagent.core.clip import Clip, ClipRef, Member, content_hash
from avagent.core.errors import MediaError
from avagent.core.history import Base, History
from avagent.core.ports import PlanRequest
from avagent.media.store import MediaStore
from avagent.models.registry import build_captioner, build_planner, build_scorer


@pytest.fixture
def views(media_dir):
    """Film, a stamp's sound beside its picture, and a truncated film."""
    film = (media_dir / "video" / "bigbuckbunny.mp4").read_bytes()
    stem = media_dir / "stamps/vehicles/emergency/firetruck"
    members = {
        "film": {"mp4": film},
        "stamp": {"ogg": stem.with_suffix(".ogg").read_bytes(), "png": stem.with_suffix(".png").read_bytes()},
        "cut": {"mp4": film[:20_000]},
    }
    clips: dict[str, Clip] = {}
    refs: list[ClipRef] = []
    for key, parts in members.items():
        held = tuple(Member(name=f"{key}.{suffix}", suffix=suffix, data=data) for suffix, data in parts.items())
        clips[key] = Clip(key=key, members=held)
        refs.append(
            ClipRef(key=key, shard="memory://t", offset=0, length=1, content_sha256=content_hash(held), index=len(refs))
        )
    store = MediaStore(256 << 20, lambda ref: clips[ref.key])
    return [store.view(ref) for ref in refs]


def test_captions_scores_and_plans_of_stored_clips(views):
    captioner, scorer, planner = build_captioner("embedded"), build_scorer("embedded"), build_planner("embedded")
    heard, seen, scores = captioner.caption_audio(views), captioner.caption_video(views), scorer.score(views)
    assert "siren" in heard[1].text.lower()
    assert seen[1].text.startswith("Fire engine")
    assert all(isinstance(answers[2], MediaError) for answers in (heard, seen, scores))
    assert scores[1].alignment > 0.6
    assert (scores[1].synchronization, scores[1].synchronization_note) == (None, "still_picture")
    # A film's score that follows no movement: nothing can be said of the timing, and nothing calls for an action.
    assert (scores[0].synchronization, scores[0].synchronization_note) == (None, "uncorrelated")
    request = PlanRequest(
        key="film",
        captions=Captions(audio=heard[0], video=seen[0]),
        facts=views[0].facts(),
        history=History(original=scores[0]),
        base=Base.ORIGINAL,
        allowed=EXTENDED_ACTIONS,
    )
    siren = replace(request, captions=Captions(audio=heard[1], video=seen[1]), facts=views[1].facts())
    assert planner.plan([request, siren]) == [(), ()]
