"""A plan that cannot be carried out is dropped, and the clip is planned again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from media_samples import Recipe, build
from scripted_ports import FIRST, SECOND, ScriptedPlanner, ScriptedScorer

from avagent.core.actions import Action
from avagent.core.clip import Clip, ClipRef, Member, content_hash
from avagent.core.decide import Policy, Reflection
from avagent.core.errors import EditError, FailureReason
from avagent.core.media import Waveform
from avagent.core.state import ClipState, Outcome, conclude
from avagent.dsp.actions.edit import DspEditor
from avagent.media.store import MediaStore
from avagent.transforms.stages import close_round, edit_clip, plan_clips, score_edits, score_originals

ALLOWED = frozenset({"wiener_filter", "volume", "shift", "fill_blanks"})


class PartialEditor:
    """Refuses some kinds of actions."""

    def __init__(self, refused: tuple[str, ...]) -> None:
        self._refused = refused

    def edit(self, waveform: Waveform, actions: Sequence[Action]) -> Waveform:
        for action in actions:
            if action.kind in self._refused:
                raise EditError(f"{action.kind}: not on this sound", reason=FailureReason.EDIT_FAILED)
        return DspEditor().edit(waveform, actions)


def rounds(key: str, refused: tuple[str, ...]) -> ClipState:
    member = Member(
        name=f"{key}.wav", suffix="wav", data=build(Recipe(muxer="wav", video_codec=None, audio_codec="pcm_s16le"))
    )
    clip = Clip(key=key, members=(member,))
    ref = ClipRef(key=key, shard="a.tar", offset=0, length=1, content_sha256=content_hash(clip.members))
    store = MediaStore(1 << 26, lambda _: clip, editor=PartialEditor(refused))
    policy, scorer = Policy(max_rounds=3, reflection=Reflection.SCORES), ScriptedScorer()
    state = close_round(score_originals([ClipState(ref=ref)], scorer, store)[0], policy)
    for _ in range(policy.max_rounds):
        state = plan_clips([state], ScriptedPlanner(), store, policy=policy, allowed=ALLOWED)[0]
        state = edit_clip(state, store, policy)
        state = close_round(score_edits([state], scorer, store)[0], policy)
    return state


def test_the_next_plan_is_tried_and_kept():
    state = rounds("second-a", ("wiener_filter",))
    assert state.history is not None
    assert [(done.plan, done.accepted) for done in state.history.rounds] == [(FIRST, False), (SECOND, True)]
    assert state.history.rounds[0].scores.notes == ("edit_failed",)
    decision = conclude(state, Policy())
    assert decision is not None
    assert (decision.outcome, decision.failure) == (Outcome.IMPROVED, None)


@pytest.mark.parametrize("refused", [tuple(ALLOWED)])
def test_a_clip_on_which_nothing_can_be_done_leaves_unchanged(refused: tuple[str, ...]):
    decision = conclude(rounds("hopeless-a", refused), Policy())
    assert decision is not None
    assert (decision.outcome, decision.reason, decision.failure) == (Outcome.UNCHANGED, "round_limit", None)
