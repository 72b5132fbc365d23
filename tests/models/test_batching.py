from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.errors import ParameterError
from avagent.models.hf.batching import BatchRunner, out_of_memory, pack


class OutOfMemoryError(RuntimeError):
    """Told by its name, as torch's is."""


class AcceleratorError(RuntimeError):
    """The same."""


@given(st.lists(st.floats(0.1, 100)), st.floats(0.1, 300))
def test_every_item_is_packed_once_within_the_budget(costs, budget):
    batches = pack(costs, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(costs)))
    assert all(len(b) == 1 or len(b) * max(costs[i] for i in b) <= budget for b in batches)


def test_answers_keep_the_order():
    runner: BatchRunner[float] = BatchRunner(10)
    costs = [1.0, 9.0, 2.0, 5.0, 5.0]
    assert runner.run(costs, lambda batch: [costs[i] for i in batch]) == costs


@pytest.mark.parametrize("error", [OutOfMemoryError, MemoryError])
def test_running_out_of_memory_halves_batches_and_goes_on(error):
    sizes: list[int] = []

    def work(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise error("too many")
        return batch

    runner: BatchRunner[int] = BatchRunner(16)
    assert runner.run([1.0] * 16, work) == list(range(16))
    assert max(sizes) == 16
    assert runner.budget == 2
    sizes.clear()
    assert runner.run([1.0] * 16, work) == list(range(16))
    assert max(sizes) == 2


def test_an_item_that_fits_nowhere_fails_alone():
    def work(batch: list[int]) -> list[int]:
        if 2 in batch:
            raise OutOfMemoryError
        return batch

    answers = BatchRunner(100).run([1.0] * 5, work)
    assert out_of_memory(answers.pop(2))
    assert answers == [0, 1, 3, 4]


def test_one_item_that_fails_does_not_take_its_batch_along():
    def work(batch: list[int]) -> list[int]:
        if 6 in batch:
            raise ValueError("no such thing")
        return batch

    runner: BatchRunner[int] = BatchRunner(8)
    answers = runner.run([1.0] * 8, work)
    assert isinstance(answers.pop(6), ValueError)
    assert answers == [0, 1, 2, 3, 4, 5, 7]
    assert runner.budget == 8


@pytest.mark.parametrize("error", [KeyError, TypeError, AcceleratorError])
def test_a_bug_or_a_lost_device_stops_the_run(error):
    def work(batch: list[int]) -> list[int]:
        raise error("x")

    with pytest.raises(error):
        BatchRunner(8).run([1.0], work)


def test_a_budget_must_be_positive():
    with pytest.raises(ParameterError):
        BatchRunner(0)
