"""Giving a run up early: only for what is certain, and never for one bad shard."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.clip import ClipRef
from avagent.core.errors import Failure, FailureReason, ParameterError, Stage, TooManyFailuresError
from avagent.core.failure_rate import FailureCount, FailureLimit, lower_bound
from avagent.core.state import ClipDecision, Outcome


def decision(shard: str, index: int, reason: FailureReason | None = None) -> ClipDecision:
    ref = ClipRef(key=f"clip{index}", shard=shard, offset=0, length=1, content_sha256="", index=index)
    if reason is None:
        return ClipDecision(ref=ref, outcome=Outcome.UNCHANGED, reason="threshold")
    failure = Failure(stage=Stage.DECODE, type="MediaError", reason=reason, message=f"a {reason}\nin   two lines")
    return ClipDecision(ref=ref, outcome=Outcome.FAILED, reason=str(reason), failure=failure)


BAD = FailureReason.CORRUPT_MEDIA


def run(count: FailureCount, clips: list[ClipDecision]) -> int | None:
    """After how many clips it gives up; None: it does not."""
    for number, clip in enumerate(clips, start=1):
        try:
            count.add(clip)
        except TooManyFailuresError:
            return number
    return None


def test_a_run_that_goes_wrong_stops_after_the_minimum():
    clips = [decision(f"s{i % 4}", i, BAD) for i in range(1000)]
    assert run(FailureCount(FailureLimit(ratio=0.1, check_after=200)), clips) == 200


def test_one_bad_shard_among_good_ones_does_not_stop_it():
    bad = [decision("bad", i, BAD) for i in range(1000)]
    good = [decision(f"s{i % 9}", i) for i in range(9000)]
    assert run(FailureCount(FailureLimit(ratio=0.01)), [*bad, *good]) is None


def test_a_second_bad_shard_does():
    clips = [decision("good", i) for i in range(300)]
    clips += [decision(f"bad{i // 300}", i, BAD) for i in range(600)]
    assert run(FailureCount(FailureLimit(ratio=0.1)), clips) in range(601, 900)


def test_the_only_shard_counts():
    clips = [decision("only", i, BAD) for i in range(300)]
    assert run(FailureCount(FailureLimit(ratio=0.1, check_after=50, one_shard=True)), clips) == 50


def test_failures_at_the_accepted_ratio_do_not_stop_it():
    clips = [decision(f"s{i % 50}", i, BAD if i % 10 == 0 else None) for i in range(5000)]
    assert run(FailureCount(FailureLimit(ratio=0.1)), clips) is None


@pytest.mark.parametrize("limit", [FailureLimit(ratio=1.0, check_after=1), FailureLimit(ratio=0.0, check_after=None)])
def test_it_can_be_told_never_to_stop(limit: FailureLimit):
    assert run(FailureCount(limit), [decision(f"s{i}", i, BAD) for i in range(500)]) is None


def test_the_message_names_the_commonest_reasons_in_one_line():
    reasons = [BAD] * 6 + [FailureReason.MODEL_FAILED] * 3 + [FailureReason.NO_MEDIA] * 2 + [FailureReason.EDIT_FAILED]
    count = FailureCount(FailureLimit(ratio=0.1, check_after=12))
    *first, last = [decision(f"s{index}", index, reason) for index, reason in enumerate(reasons)]
    assert run(count, first) is None
    with pytest.raises(TooManyFailuresError) as caught:
        count.add(last)
    message = str(caught.value)
    assert "12 of the first 12 clips" in message
    assert "6 corrupt_media (e.g. clip 'clip0': a corrupt_media in two lines); 3 model_failed" in message
    assert "edit_failed" not in message
    assert "failure_check_after=null" in message
    assert "\n" not in message


@given(st.integers(1, 10_000), st.data())
def test_the_bound_lies_below_the_share(clips: int, data: st.DataObject):
    failed = data.draw(st.integers(0, clips))
    bound = lower_bound(failed, clips)
    assert 0 <= bound <= failed / clips + 1e-12
    # The defining equation of Wilson's interval: the bound is 3 standard deviations of itself away.
    deviation = math.sqrt(bound * (1 - bound) / clips)
    assert failed == 0 or failed / clips - bound == pytest.approx(3 * deviation, abs=1e-9)


@pytest.mark.parametrize("wrong", [{"ratio": 1.5}, {"ratio": 0.1, "check_after": 0}])
def test_limits_that_make_no_sense(wrong: dict[str, float]):
    with pytest.raises(ParameterError):
        FailureLimit(**wrong)
