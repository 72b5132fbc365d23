"""The stages of the decide phase as plain batch functions: what the transforms beside them wire.

Each takes clip states, a port and the media store, and gives as many states in the same order. A clip that has failed
passes through; a :class:`ClipError`, raised or returned, fails its own clip only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from avagent.core.captions import Caption, Captions
from avagent.core.decide import Policy, Reflection, base_actions
from avagent.core.errors import ClipError, EditError
from avagent.core.evidence import unjudgeable
from avagent.core.history import Base
from avagent.core.ports import Captioner, ClipView, Planner, PlanRequest, Scorer
from avagent.core.scores import Scores, with_timing
from avagent.core.state import ClipState, failed, next_base, with_part, with_plan, with_scores
from avagent.media.effects import Known, edit_effect, reflect_on
from avagent.media.store import MediaStore

NOT_EDITED = Scores(
    alignment=None, synchronization=None, alignment_note="edit_failed", synchronization_note="edit_failed"
)
"""Of an edit that could not be made: it is never kept."""

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


def caption_clips(states: Sequence[ClipState], captioner: Captioner, store: MediaStore) -> list[ClipState]:
    """Caption audio and video, separately; captions that are known stay."""

    def caption(views: Sequence[ClipView]) -> list[Captions | ClipError]:
        heard, seen = captioner.caption_audio(views), captioner.caption_video(views)
        return [_captions(audio, video) for audio, video in zip(heard, seen, strict=True)]

    return _on_views(
        states,
        lambda s: store.view(s.ref) if s.captions is None else None,
        caption,
        lambda s, captions: replace(s, captions=captions),
    )


def _captions(audio: Caption | ClipError | None, video: Caption | ClipError | None) -> Captions | ClipError:
    if isinstance(audio, ClipError):
        return audio
    if isinstance(video, ClipError):
        return video
    return Captions(audio=audio, video=video)


def score_originals(states: Sequence[ClipState], scorer: Scorer, store: MediaStore) -> list[ClipState]:
    """Score the sound as it came, unless its scores are known, or its facts say that nothing can be said of it."""
    return _on_views(
        [_measured(state, store) for state in states],
        lambda s: store.view(s.ref) if s.history is None and s.scores is None else None,
        scorer.score,
        lambda s, scores: replace(s, scores=scores),
    )


def _measured(state: ClipState, store: MediaStore) -> ClipState:
    if state.failure is not None or state.history is not None:
        return replace(state, facts=state.facts or state.known_facts)
    try:
        facts = state.known_facts or store.view(state.ref).facts()
    except ClipError as error:
        return failed(state, error)
    note = unjudgeable(facts, state.captions)
    scores = None
    if note is not None:
        scores = Scores(alignment=None, synchronization=None, alignment_note=note, synchronization_note=note)
    return replace(state, facts=facts, scores=scores)


def score_edits(states: Sequence[ClipState], scorer: Scorer, store: MediaStore) -> list[ClipState]:
    """Score the edited sound of the clips that have a plan, unless its scores are known."""
    return _on_views(
        states,
        lambda s: _edited_view(s, store) if s.plan is not None and s.scores is None else None,
        scorer.score,
        lambda s, scores: replace(s, scores=scores),
    )


def plan_clips(
    states: Sequence[ClipState],
    planner: Planner,
    store: MediaStore,
    *,
    policy: Policy,
    allowed: frozenset[str],
) -> list[ClipState]:
    """Choose the next plan of every clip that the policy wants to try again."""
    planned = list(states)
    requests: dict[int, PlanRequest] = {}
    for i, state in enumerate(states):
        if (base := next_base(state, policy)) is None:
            continue
        try:
            requests[i] = _plan_request(state, base, allowed, store)
        except ClipError as error:
            planned[i] = failed(state, error)
    answers = planner.plan(list(requests.values())) if requests else []
    for (i, request), answer in zip(requests.items(), answers, strict=True):
        if isinstance(answer, ClipError):
            planned[i] = failed(states[i], answer)
        else:
            facts = request.facts if request.base is Base.ORIGINAL else states[i].facts
            planned[i] = with_plan(replace(states[i], facts=facts), answer, request.base, allowed)
    return planned


def _plan_request(state: ClipState, base: Base, allowed: frozenset[str], store: MediaStore) -> PlanRequest:
    if state.history is None:
        raise ValueError(f"clip {state.ref.key!r} is planned before it is scored")
    known = (state.facts or state.known_facts) if base is Base.ORIGINAL else None
    scores = state.history.original if base is Base.ORIGINAL else state.history.best_scores
    facts = known or store.view(state.ref, base_actions(state.history, base)).facts()
    return PlanRequest(
        key=state.ref.key,
        captions=state.captions or Captions(audio=None, video=None),
        facts=with_timing(facts, scores),
        history=state.history,
        base=base,
        allowed=allowed,
    )


def edit_clip(state: ClipState, store: MediaStore, policy: Policy) -> ClipState:
    """Make the edited sound of a clip that has a plan, and see what the edit did; it stays in the store.

    What the edit did is known if an earlier run measured it. A plan that cannot be carried out is dropped, as one that
    did not help: the clip is planned again.
    """
    if state.plan is None or state.history is None or state.failure is not None or state.effect is not None:
        return state
    history, base = state.history, base_actions(state.history, state.base)
    views = partial(store.view, state.ref)
    try:
        if policy.reflection is Reflection.SCORES:
            return replace(state, effect=edit_effect(views, base, state.plan))
        scores = history.original if state.base is Base.ORIGINAL else history.best_scores
        known = Known(captions=state.captions, scores=scores)
        found = reflect_on(views, base, state.plan, known, lambda p: history.tried(p, base + p.actions))
    except EditError:
        # The plan is at fault, not the clip: another one may do.
        return replace(state, scores=NOT_EDITED)
    except ClipError as error:
        return failed(state, error)
    return replace(with_part(state, found.plan), effect=found.effect, objection=found.objection)


def close_round(state: ClipState, policy: Policy) -> ClipState:
    """Record the scores, if there are new ones."""
    return with_scores(state, policy)


def _edited_view(state: ClipState, store: MediaStore) -> ClipView:
    if state.plan is None or state.history is None:
        raise ValueError(f"clip {state.ref.key!r} has no plan to apply")
    return store.view(state.ref, base_actions(state.history, state.base) + state.plan.actions)


def _on_views(
    states: Sequence[ClipState],
    view: Callable[[ClipState], ClipView | None],
    work: Callable[[Sequence[ClipView]], Sequence[AnswerT | ClipError]],
    store_answer: Callable[[ClipState, AnswerT], ClipState],
) -> list[ClipState]:
    """Apply a batch function to the views of the living clips and put the answers back in their places."""
    done = list(states)
    views = {i: v for i, s in enumerate(states) if s.failure is None and (v := view(s)) is not None}
    if not views:
        return done
    for i, answer in zip(views, work(list(views.values())), strict=True):
        done[i] = failed(done[i], answer) if isinstance(answer, ClipError) else store_answer(done[i], answer)
    return done
