"""Whether a run is going wrong, told from the clips that one process has decided so far."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from avagent.core.errors import ParameterError, TooManyFailuresError
from avagent.core.state import ClipDecision

_SIGMAS = 3.0
_SHOWN_REASONS = 3
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLimit:
    """When to give a run up.

    Attributes:
        ratio: share of failed clips that is acceptable, in [0, 1].
        check_after: clips to be seen before anything is concluded; None: never conclude anything.
        one_shard: whether the run has but one shard, which then counts.
    """

    ratio: float
    check_after: int | None = 200
    one_shard: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1 or (self.check_after is not None and self.check_after < 1):
            raise ParameterError(f"0 <= ratio <= 1 and check_after >= 1 are needed, got {self}")


class FailureCount:
    """Counts decisions, and gives the run up once the failures are too many for chance.

    The shard with the most failures does not count: one bad shard among good ones must not stop a run.
    """

    def __init__(self, limit: FailureLimit) -> None:
        self._limit = limit
        self._clips: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._worst = ""
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._seen = self._bad = 0

    def add(self, decision: ClipDecision) -> None:
        """One more clip.

        Raises:
            TooManyFailuresError: the share of failures among all clips like these is above the limit, at 3 standard
                deviations.
        """
        shard, failure = decision.ref.shard, decision.failure
        self._clips[shard] += 1
        self._seen += 1
        if failure is None:
            return
        self._failed[shard] += 1
        self._bad += 1
        self._reasons[failure.reason] += 1
        self._examples.setdefault(failure.reason, f"clip {decision.ref.key!r}: {failure.message}")
        if self._failed[shard] > self._failed[self._worst]:
            self._worst = shard
        self._check()

    def _check(self) -> None:
        limit = self._limit
        left_out = "" if limit.one_shard else self._worst
        clips, failed = self._seen - self._clips[left_out], self._bad - self._failed[left_out]
        if limit.check_after is None or self._seen < limit.check_after or clips == 0:
            return
        if lower_bound(failed, clips) > limit.ratio:
            raise TooManyFailuresError(self._message())

    def _message(self) -> str:
        reasons = "; ".join(
            f"{count} {reason} (e.g. {_shortened(self._examples[reason])})"
            for reason, count in self._reasons.most_common(_SHOWN_REASONS)
        )
        return (
            f"stopped early: {self._bad} of the first {self._seen} clips of a worker failed, in"
            f" {len(self._failed)} shards (max_failure_ratio is {self._limit.ratio:g}). Commonest reasons: {reasons}."
            " Put that right and run again, or go on regardless with --set failure_check_after=null"
        )


def lower_bound(failed: int, clips: int, sigmas: float = _SIGMAS) -> float:
    """Lower end of Wilson's score interval for a share (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    share, squared = failed / clips, sigmas * sigmas
    spread = sigmas * math.sqrt(share * (1 - share) / clips + squared / (4 * clips * clips))
    return max(0.0, (share + squared / (2 * clips) - spread) / (1 + squared / clips))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 3] + "..."
