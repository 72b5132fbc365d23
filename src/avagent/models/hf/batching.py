"""Batches cut by cost, and cut again where they do not fit into memory."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from avagent.core.errors import ParameterError

AnswerT = TypeVar("AnswerT")

_log = logging.getLogger(__name__)


def pack(costs: Sequence[float], budget: float) -> list[list[int]]:
    """Positions in batches whose padded cost (items times the dearest) stays within the budget.

    Args:
        costs: of each item, such as tokens or seconds of sound.
        budget: of a batch, in the same unit; a dearer item goes by itself.

    Returns:
        Every position once, items of like cost together, the dearest first: what does not fit shows at once.
    """
    batches: list[list[int]] = []
    dearest = 0.0
    for i in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        if batches and dearest * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
            dearest = costs[i]
    return batches


class BatchRunner(Generic[AnswerT]):
    """Works off items in batches; a batch that fails is halved until the item is found that fails by itself.

    After running out of memory the budget stays at what fitted, for the rest of the process. One batch runs at a time.

    Args:
        budget: of a batch, in the unit of the costs.
    """

    def __init__(self, budget: float) -> None:
        if not budget > 0:
            raise ParameterError(f"the budget of a batch must be positive, got {budget}")
        self._initial = self._budget = budget
        self._lock = threading.Lock()

    @property
    def budget(self) -> float:
        """Of a batch, by now."""
        return self._budget

    def run(self, costs: Sequence[float], work: Callable[[list[int]], Sequence[AnswerT]]) -> list[AnswerT | Exception]:
        """One answer an item, in order; an exception in the place of an item that failed by itself.

        Args:
            costs: of each item.
            work: from positions to as many answers.
        """
        answers: dict[int, AnswerT | Exception] = {}
        with self._lock:
            waiting = pack(costs, self._budget)
            while waiting:
                batch = waiting.pop(0)
                outcome = _attempt(batch, work)
                if not isinstance(outcome, Exception):
                    answers.update(zip(batch, outcome, strict=True))
                elif len(batch) == 1:
                    answers[batch[0]] = outcome
                else:
                    waiting[:0] = self._halves(batch, costs, outcome)
        return [answers[i] for i in range(len(costs))]

    def _halves(self, batch: list[int], costs: Sequence[float], error: Exception) -> list[list[int]]:
        middle = (len(batch) + 1) // 2
        if out_of_memory(error):
            self._budget = min(self._budget, middle * max(costs[i] for i in batch))
            _log.warning("out of memory with %d items: batches are halved from now on", len(batch))
        return [batch[:middle], batch[middle:]]

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self._initial,))


def _attempt(batch: list[int], work: Callable[[list[int]], Sequence[AnswerT]]) -> Sequence[AnswerT] | Exception:
    try:
        return work(batch)
    except (RuntimeError, ValueError, IndexError, MemoryError) as error:
        if type(error).__name__ == "AcceleratorError":  # the device is lost for this process: no item's fault
            raise
        failure = error.with_traceback(None)  # the frames hold the batch's tensors
    if out_of_memory(failure):
        _free_memory()
    return failure


def out_of_memory(error: BaseException) -> bool:
    """Whether host or device memory ran out; torch's error is told by its name, so that torch need not be there."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _free_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
