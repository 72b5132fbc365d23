"""The decide phase: caption, score, then rounds of plan, edit, score, decide, unrolled."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection, TaggedOutput

from avagent.core.ports import Scorer
from avagent.core.state import ClipDecision, ClipState, conclude
from avagent.transforms.evaluate import evaluate_decisions
from avagent.transforms.failures import count_failure
from avagent.transforms.keep import keep_all, keep_decision
from avagent.transforms.loop import Loop, PortLoader
from avagent.transforms.metrics import count_cache, count_decision, stage_latency
from avagent.transforms.port_handler import PortHandler
from avagent.transforms.progress import report_progress
from avagent.transforms.run_inference import RunInference
from avagent.transforms.stages import (
    caption_clips,
    close_round,
    edit_clip,
    plan_clips,
    score_edits,
    score_originals,
)
from avagent.transforms.store import process_store

DONE = "done"
RETRY = "retry"


class CaptionClips(beam.PTransform):
    """Caption audio and video of every clip, separately."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def expand(self, states: PCollection[ClipState]) -> PCollection[ClipState]:
        """ClipState -> ClipState with captions."""
        captioned: Any = states | "Caption" >> infer(self._loop, self._loop.captioner, caption_clips, "caption")
        return captioned


class ScoreOriginals(beam.PTransform):
    """Score every clip's sound as it came."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def expand(self, states: PCollection[ClipState]) -> dict[str, PCollection[Any]]:
        """ClipState -> `done` decisions and states to `retry`."""
        scored: Any = states | "Score" >> infer(self._loop, self._loop.scorer, score_originals, "score")
        return _decided(scored, self._loop)


class RefineRound(beam.PTransform):
    """One round: plan, edit, score, decide."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def expand(self, states: PCollection[ClipState]) -> dict[str, PCollection[Any]]:
        """ClipState -> `done` decisions and states to `retry`."""
        loop = self._loop
        plan = partial(plan_clips, policy=loop.policy, allowed=loop.allowed)
        scored: Any = (
            states
            | "Plan" >> infer(loop, loop.planner, plan, "plan")
            | "Edit" >> beam.Map(_edit, loop=loop)
            | "Score" >> infer(loop, loop.scorer, score_edits, "score")
        )
        return _decided(scored, loop)


class DecideClips(beam.PTransform):
    """All that is decided about a clip, and its evaluation."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def expand(self, states: PCollection[ClipState]) -> PCollection[ClipDecision]:
        """ClipState -> ClipDecision, one for one."""
        decisions = states | "RefineClips" >> RefineClips(self._loop)
        ended: Any = decisions | "EndClips" >> EndClips(self._loop)
        return ended


class RefineClips(beam.PTransform):
    """Caption, score and rounds; after the last round nothing is left to retry."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def expand(self, states: PCollection[ClipState]) -> PCollection[ClipDecision]:
        """ClipState -> ClipDecision, one for one."""
        captioned = states | "CaptionClips" >> CaptionClips(self._loop)
        outputs: Any = captioned | "ScoreOriginals" >> ScoreOriginals(self._loop)
        done = [outputs[DONE]]
        for number in range(1, self._loop.policy.max_rounds + 1):
            outputs = outputs[RETRY] | f"Round{number}" >> RefineRound(self._loop)
            done.append(outputs[DONE])
        decisions: Any = tuple(done) | "Decisions" >> beam.Flatten()
        return decisions


class EndClips(beam.PTransform):
    """Evaluate what was decided, if the recipe wants it, and take leave of the clips.

    Args:
        loop: what the phase needs.
        resumed: whether the clips come from an earlier try of this run: nobody has counted them yet.
    """

    def __init__(self, loop: Loop, *, resumed: bool = False) -> None:
        super().__init__()
        self._loop = loop
        self._resumed = resumed

    def expand(self, decisions: PCollection[ClipDecision]) -> PCollection[ClipDecision]:
        """ClipDecision -> the same, evaluated."""
        loop = self._loop
        if loop.evaluation is None and not self._resumed:
            # Done where it was decided, in the same stage.
            return decisions
        evaluated: Any = decisions
        if loop.evaluation is not None:
            evaluated = decisions | "EvaluateDecisions" >> EvaluateDecisions(loop, loop.evaluation)
        ended: Any = evaluated | "End" >> beam.Map(_end, loop=loop)
        return ended


class EvaluateDecisions(beam.PTransform):
    """Score what was decided by a scorer that took no part in it."""

    def __init__(self, loop: Loop, scorer: PortLoader[Scorer]) -> None:
        super().__init__()
        self._loop = loop
        self._scorer = scorer

    def expand(self, decisions: PCollection[ClipDecision]) -> PCollection[ClipDecision]:
        """ClipDecision -> ClipDecision with its evaluation."""
        evaluated: Any = decisions | "Evaluate" >> infer(self._loop, self._scorer, evaluate_decisions, "evaluate")
        return evaluated


def _edit(state: ClipState, loop: Loop) -> ClipState:
    media = process_store(loop.store)
    with stage_latency("edit"), count_cache(media):
        return edit_clip(state, media, loop.policy)


class _Decide(beam.DoFn):
    """Close a round; what is decided is kept at once, since a runner may hold it back until all others are decided."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def process(self, state: ClipState) -> Iterator[ClipDecision | TaggedOutput]:
        loop = self._loop
        closed = close_round(state, loop.policy)
        decision = conclude(closed, loop.policy)
        if decision is None:
            yield TaggedOutput(RETRY, closed)
            return
        keep_decision(decision, loop)
        # Who evaluates it still needs its media.
        yield decision if loop.evaluation is not None else _end(decision, loop)

    def finish_bundle(self) -> None:
        keep_all(self._loop)


def _end(decision: ClipDecision, loop: Loop) -> ClipDecision:
    count_decision(decision)
    count_failure(decision, loop)
    process_store(loop.store).discard(decision.ref)
    report_progress(loop.progress, decision.outcome, decision.ref.length)
    return decision


def _decided(states: PCollection[ClipState], loop: Loop) -> dict[str, PCollection[Any]]:
    outputs: Any = states | "Decide" >> beam.ParDo(_Decide(loop)).with_outputs(RETRY, main=DONE)
    return {DONE: outputs[DONE], RETRY: outputs[RETRY]}


def infer(loop: Loop, load: PortLoader[Any], step: Any, stage: str) -> RunInference:
    """A batch function of states, port and store as a step; `stage` names its metrics."""
    return RunInference(PortHandler(load, step, loop.store, max_batch=loop.max_batch, stage=stage))
