"""Review files: what `avagent review` lets a person save, and `avagent apply --review` obeys."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avagent import storage
from avagent.core.errors import ParameterError, UsageError
from avagent.core.review import ReviewFile, reviewed
from avagent.core.state import ClipDecision

FORMAT = "avagent-review-v1"
_MOST_BYTES = 256 << 20
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written(ReviewFile):
    format: Literal["avagent-review-v1"]


# A tuple around the type: pydantic takes a configuration for plain dataclasses only from what encloses them.
_REVIEW: TypeAdapter[tuple[_Written]] = TypeAdapter(tuple[_Written], config=ConfigDict(extra="forbid"))


@dataclass(slots=True, kw_only=True)
class ReviewWork:
    """A review file at work.

    Attributes:
        review: what it says.
        sha256: of the file.
        counts: edits by what became of them: `accepted`, `rejected` by a word on the clip; `by_rules`, `untouched`.
    """

    review: ReviewFile
    sha256: str
    counts: Counter[str] = field(default_factory=Counter[str])
    _met: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])

    def decisions(self, shard: str, decisions: Iterable[ClipDecision]) -> Iterator[ClipDecision]:
        """A shard's decisions as they are by the review. The shard by its name."""
        verdicts = {clip.place: clip.verdict for clip in self.review.clips if clip.shard == shard}
        for decision in decisions:
            place = shard, decision.ref.key, decision.ref.content_sha256
            verdict = verdicts.get(place) if decision.actions else None
            if verdict is not None:
                self._met.add(place)
            if decision.actions:
                changed = reviewed(decision, verdict, self.review.rules, self.review.reviewer)
                word = "untouched" if changed.review is None else "by_rules" if verdict is None else str(verdict)
                self.counts[word] += 1
                yield changed
            else:
                yield decision

    def check_met(self) -> None:
        """Every clip that a person judged must have been there, with an edit. Raises UsageError."""
        left = [clip for clip in self.review.clips if clip.place not in self._met]
        if left:
            shown = ", ".join(f"{clip.key!r} of {clip.shard}" for clip in left[:_SHOWN])
            raise UsageError(
                f"the review judges {len(left)} clips that have no such edit here, such as {shown}: it was made of"
                " other decisions; make it again"
            )

    def record(self) -> dict[str, Any]:
        """For `run.json`."""
        counts = {name: self.counts[name] for name in ("accepted", "rejected", "by_rules", "untouched")}
        rules = [str(rule) for rule in self.review.rules]
        return {"sha256": self.sha256, "reviewer": self.review.reviewer, "rules": rules, **counts}


def read_review(url: str, fingerprint: str) -> ReviewWork:
    """A review file.

    Args:
        url: of it.
        fingerprint: of the configuration that decided.

    Raises:
        UsageError: it cannot be read, is not one, or was made of another configuration's decisions.
    """
    try:
        if storage.size(url) > _MOST_BYTES:
            raise UsageError(f"{url} is too large for a review")
        data = storage.read_bytes(url)
    except OSError as error:
        raise UsageError(f"the review {url} cannot be read: {error}") from error
    try:
        review = _REVIEW.validate_json(b"[" + data + b"]")[0]
    except (ValidationError, ParameterError) as error:
        raise UsageError(f"{url} is not a review: {_explain(error)}") from error
    if review.fingerprint != fingerprint:
        raise UsageError(
            f"{url} reviews decisions of the configuration {review.fingerprint[:12]}; these are of {fingerprint[:12]}"
        )
    return ReviewWork(review=review, sha256=hashlib.sha256(data).hexdigest())


def _explain(error: ValidationError | ParameterError) -> str:
    if isinstance(error, ParameterError):
        return str(error)
    faults = [f"{'.'.join(map(str, fault['loc'][1:])) or 'the file'}: {fault['msg']}" for fault in error.errors()]
    return "; ".join(faults[:_SHOWN])
