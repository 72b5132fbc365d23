"""Decisions, scored by a scorer that took no part in them: a plain batch function for the transform to wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from avagent.core.errors import ClipError
from avagent.core.ports import Scorer
from avagent.core.scores import Evaluation, Scores
from avagent.core.state import ClipDecision
from avagent.media.store import MediaStore


def evaluate_decisions(decisions: Sequence[ClipDecision], scorer: Scorer, store: MediaStore) -> list[ClipDecision]:
    """The decisions, each with the scores of its original sound and of what leaves; failed clips have neither.

    Nothing else of a decision changes: where this scorer fails on a clip, the evaluation says so and the clip goes on.
    """
    judged = [i for i, decision in enumerate(decisions) if decision.failure is None]
    changed = [i for i in judged if decisions[i].actions]
    views = [store.view(decisions[i].ref) for i in judged]
    views += [store.view(decisions[i].ref, decisions[i].actions) for i in changed]
    answers = [_scores(answer) for answer in scorer.score(views)] if views else []
    before = dict(zip(judged, answers, strict=False))
    after = before | dict(zip(changed, answers[len(judged) :], strict=True))
    return [
        replace(decision, evaluation=Evaluation(before=before[i], after=after[i])) if i in before else decision
        for i, decision in enumerate(decisions)
    ]


def _scores(answer: Scores | ClipError) -> Scores:
    if isinstance(answer, Scores):
        return answer
    note = str(answer.reason)
    return Scores(alignment=None, synchronization=None, alignment_note=note, synchronization_note=note)
