"""How often a planner's first plan is right, on pairs whose right answer is known.

A plan is right if its kinds of action are exactly one of the kinds that mend the fault, and nothing else; where nothing
mends it, if it is empty. Parameters take no part: they come from measured facts, not from the planner's choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from avagent.core.decide import choose_plan
from avagent.core.errors import ClipError
from avagent.core.plan import Plan
from avagent.core.ports import Planner
from avagent.records.training_pairs import PlanPair

BATCH = 16
NO_FAULT = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Right answers and all, in total and by group.

    Attributes:
        right, pairs: in total.
        by_fault: kind of fault, `none` for clean sound -> (right, pairs).
        by_situation: place in the loop -> (right, pairs).
        harm: plans on sound that no action mends, clean sound included -> (not empty, pairs).
    """

    right: int
    pairs: int
    by_fault: Mapping[str, tuple[int, int]]
    by_situation: Mapping[str, tuple[int, int]]
    harm: tuple[int, int]

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.right / self.pairs if self.pairs else 0.0


def is_right(pair: PlanPair, kinds: Sequence[str]) -> bool:
    """Whether these kinds of action, together, are a right answer."""
    return tuple(kinds) == () if not pair.right else len(kinds) == 1 and kinds[0] in pair.right


def planner_accuracy(planner: Planner, pairs: Sequence[PlanPair], batch: int = BATCH) -> Accuracy:
    """Of the plan that the pipeline would try first.

    Raises:
        ClipError: the planner failed on a pair.
    """
    chosen: list[tuple[str, ...]] = []
    for first in range(0, len(pairs), batch):
        part = pairs[first : first + batch]
        answers = planner.plan([pair.request for pair in part])
        chosen += [_kinds(pair, answer) for pair, answer in zip(part, answers, strict=True)]
    return accuracy(pairs, chosen)


def majority_accuracy(train: Iterable[PlanPair], pairs: Sequence[PlanPair]) -> tuple[str, Accuracy]:
    """The answer that is most often right in training, given to every pair."""
    counts = Counter(pair.right[0] if pair.right else "" for pair in train)
    kind = counts.most_common(1)[0][0] if counts else ""
    return kind or "nothing", accuracy(pairs, [(kind,) if kind else ()] * len(pairs))


def accuracy(pairs: Sequence[PlanPair], chosen: Sequence[tuple[str, ...]]) -> Accuracy:
    """Of these kinds of action, one answer a pair."""
    faults, situations = Counter[str](), Counter[str]()
    good_faults, good_situations = Counter[str](), Counter[str]()
    harmed = left = 0
    for pair, kinds in zip(pairs, chosen, strict=True):
        fault, right = pair.fault.kind if pair.fault else NO_FAULT, is_right(pair, kinds)
        faults[fault] += 1
        situations[pair.situation] += 1
        good_faults[fault] += right
        good_situations[pair.situation] += right
        left += not pair.right
        harmed += bool(kinds) and not pair.right
    return Accuracy(
        right=good_faults.total(),
        pairs=faults.total(),
        by_fault={name: (good_faults[name], count) for name, count in sorted(faults.items())},
        by_situation={name: (good_situations[name], count) for name, count in sorted(situations.items())},
        harm=(harmed, left),
    )


def _kinds(pair: PlanPair, answer: Sequence[Plan] | ClipError) -> tuple[str, ...]:
    if isinstance(answer, ClipError):
        raise answer
    request = pair.request
    plan = choose_plan(answer, request.history, request.base, request.allowed)
    kept = {action.kind for action in request.history.best_actions} if request.base == "original" else set[str]()
    return tuple(action.kind for action in plan.actions if action.kind not in kept)
