"""The clips of a shard against those of the previous run: who is decided already, who starts with what is known."""

from __future__ import annotations

from dataclasses import replace

from avagent.core.clip import ClipRef
from avagent.core.state import ClipDecision, ClipState, resumed
from avagent.records.changes import Change, ClipChange, EarlierClips, ShardChanges, clip_change, deleted
from avagent.records.clip_index import clip_index
from avagent.runs.previous import Earlier, Part
from avagent.shards.samples import BadSample, LoadedClip


class KnownClips:
    """What is known of each clip of one shard; every clip is met once, in order.

    Args:
        earlier: what the previous run offers.
    """

    def __init__(self, earlier: Earlier) -> None:
        self._earlier = earlier
        self._known = EarlierClips(earlier.decisions())
        self._clips: list[ClipChange] = []
        self._reused = self._captions = self._scores = 0

    def meet(self, item: LoadedClip | BadSample) -> ClipState | ClipDecision:
        """The clip's recorded decision, at its place of now; or its state, with all that is known and still holds.

        Raises:
            OSError: the previous run cannot be read.
        """
        if isinstance(item, BadSample):
            return self._meet_bad(item)
        ref = item.ref
        known, moved_from = self._find(ref)
        if known is None or known.ref.content_sha256 != ref.content_sha256:
            self._clips.append(clip_change(ref, known))
            return ClipState(ref=ref)
        if self._decided(known, ref.shard):
            if moved_from is None:
                self._reused += 1
            else:
                self._clips.append(replace(clip_change(ref, known), change=Change.REUSED, moved_from=moved_from))
            return replace(known, ref=ref)
        self._clips.append(replace(clip_change(ref, known), moved_from=moved_from))
        return self._resumed(ref, known)

    def changes(self, *, complete: bool) -> ShardChanges:
        """What changed; only of a complete shard it can be told which clips are gone."""
        gone = map(deleted, self._known.left()) if complete else ()
        return ShardChanges(
            previous=self._earlier.shard,
            reused=self._reused,
            captions_reused=self._captions,
            scores_reused=self._scores,
            clips=(*self._clips, *gone),
        )

    def _meet_bad(self, bad: BadSample) -> ClipState:
        """It has failed already, as it may have before."""
        known = self._known.match(bad.ref)
        if known is not None and known.failure == bad.failure and not known.ref.content_sha256:
            self._reused += 1
        else:
            self._clips.append(clip_change(bad.ref, known))
        return ClipState(ref=bad.ref, failure=bad.failure)

    def _find(self, ref: ClipRef) -> tuple[ClipDecision | None, str | None]:
        """The earlier decision of this key here; or, of this key and content, elsewhere, and in which shard."""
        known = self._known.match(ref)
        if (known is not None and known.ref.content_sha256 == ref.content_sha256) or not self._earlier.holds:
            return known, None
        found = clip_index(self._earlier.output).find(ref)
        if found is None or found[0] == self._earlier.shard:
            return known, None
        if known is not None:
            self._known.put_back(known)
        return found[1], found[0]

    def _decided(self, known: ClipDecision, shard: str) -> bool:
        """Whether its decision can be taken as it is; a failure tells of the shard where it was."""
        told = known.failure is None or known.ref.shard == shard
        return Part.DECISIONS in self._earlier.holds and known.settled and told

    def _resumed(self, ref: ClipRef, known: ClipDecision) -> ClipState:
        captions, scores = Part.CAPTIONS in self._earlier.holds, Part.SCORES in self._earlier.holds
        if not captions and not scores:
            return ClipState(ref=ref)
        state = resumed(ref, known, captions=captions, scores=scores)
        self._captions += state.captions is not None
        self._scores += state.history is not None
        return state
