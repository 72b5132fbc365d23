"""The decide loop on clips held as arrays, as the stages of a run go through it, for benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from _array_clips import ArrayView

from avagent.core.actions import EXTENDED_ACTIONS, Action
from avagent.core.captions import Captions
from avagent.core.decide import Policy, Reflection, base_actions
from avagent.core.errors import ClipError
from avagent.core.evidence import unjudgeable
from avagent.core.history import Base
from avagent.core.ports import Captioner, Planner, PlanRequest, Scorer
from avagent.core.scores import Scores
from avagent.core.state import ClipDecision, ClipState, conclude, next_base, with_part, with_plan, with_scores
from avagent.media.effects import Known, edit_effect, reflect_on


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What the loop works with."""

    captioner: Captioner
    planner: Planner
    scorer: Scorer


def decide_clip(view: ArrayView, ports: Ports, policy: Policy, captions: Captions | None = None) -> ClipDecision:
    """One clip through caption, score and rounds.

    Args:
        view: the clip as it came.
        ports: models.
        policy: the loop's bounds.
        captions: if they are known already.
    """
    views = cache_of(view)
    state = ClipState(ref=view.ref, captions=captions or caption(view, ports.captioner), facts=view.facts())
    state = with_scores(replace(state, scores=_original(view, ports.scorer, state.captions)), policy)
    while (decision := conclude(state, policy)) is None:
        state = _round(state, views, ports, policy)
    return decision


def cache_of(view: ArrayView) -> Callable[[tuple[Action, ...]], ArrayView]:
    """The clip with any actions applied, each made and measured once."""
    return cache(lambda actions: view if actions == view.actions else view.edited(actions))


def caption(view: ArrayView, captioner: Captioner) -> Captions:
    """What is heard and seen. Raises TypeError: it cannot be told."""
    audio, video = captioner.caption_audio([view])[0], captioner.caption_video([view])[0]
    if isinstance(audio, ClipError) or isinstance(video, ClipError):
        raise TypeError(f"clip {view.key} cannot be captioned")
    return Captions(audio=audio, video=video)


def _original(view: ArrayView, scorer: Scorer, captions: Captions | None) -> Scores:
    note = unjudgeable(view.facts(), captions)
    if note is not None:
        return Scores(alignment=None, synchronization=None, alignment_note=note, synchronization_note=note)
    return score(view, scorer)


def score(view: ArrayView, scorer: Scorer) -> Scores:
    """Of one sound. Raises ClipError."""
    answer = scorer.score([view])[0]
    if isinstance(answer, ClipError):
        raise answer
    return answer


def _round(
    state: ClipState, views: Callable[[tuple[Action, ...]], ArrayView], ports: Ports, policy: Policy
) -> ClipState:
    base = next_base(state, policy)
    if base is None or state.history is None or state.captions is None:
        raise ValueError(f"clip {state.ref.key!r} is not to be planned")
    before = base_actions(state.history, base)
    request = PlanRequest(
        key=state.ref.key,
        captions=state.captions,
        facts=views(before).facts(),
        history=state.history,
        base=base,
        allowed=EXTENDED_ACTIONS,
    )
    candidates = ports.planner.plan([request])[0]
    if isinstance(candidates, ClipError):
        raise candidates
    state = with_plan(state, candidates, base, EXTENDED_ACTIONS)
    if state.plan is None:
        return state
    history = state.history
    if policy.reflection is Reflection.EFFECTS:
        scores = history.original if state.base is Base.ORIGINAL else history.best_scores
        known = Known(captions=state.captions, scores=scores)
        found = reflect_on(views, before, state.plan, known, lambda p: history.tried(p, before + p.actions))
        state = replace(with_part(state, found.plan), effect=found.effect, objection=found.objection)
    else:
        state = replace(state, effect=edit_effect(views, before, state.plan))
    tried = () if state.plan is None else state.plan.actions
    return with_scores(replace(state, scores=score(views(before + tried), ports.scorer)), policy)
