"""The loop for one clip, without a pipeline: the same stages, one after the other."""

from __future__ import annotations

from avagent.core.clip import ClipRef
from avagent.core.state import ClipDecision, ClipState, conclude
from avagent.media.store import MediaStore
from avagent.transforms.loop import Loop
from avagent.transforms.stages import caption_clips, close_round, edit_clip, plan_clips, score_edits, score_originals


def refine_clip(ref: ClipRef, loop: Loop, store: MediaStore) -> ClipDecision:
    """All that a run decides about a clip, but for its evaluation."""
    captioner, planner, scorer = loop.captioner(), loop.planner(), loop.scorer()
    states = score_originals(caption_clips([ClipState(ref=ref)], captioner, store), scorer, store)
    while True:
        closed = close_round(states[0], loop.policy)
        decision = conclude(closed, loop.policy)
        if decision is not None:
            return decision
        states = plan_clips([closed], planner, store, policy=loop.policy, allowed=loop.allowed)
        states = score_edits([edit_clip(states[0], store, loop.policy)], scorer, store)
