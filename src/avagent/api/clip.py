"""A clip at hand: looked at, listened to, measured, edited, scored and refined, in a notebook or a script."""

from __future__ import annotations

import json
from typing import Any

from avagent.api.tools import Tools
from avagent.core.actions import Action
from avagent.core.captions import Captions
from avagent.core.clip import ClipRef, Member
from avagent.core.decide import choose_plan
from avagent.core.errors import ClipError
from avagent.core.evidence import unjudgeable
from avagent.core.facts import Facts
from avagent.core.history import Base, History
from avagent.core.media import Frames, StreamInfo, Waveform
from avagent.core.plan import Plan
from avagent.core.ports import ClipView, PlanRequest
from avagent.core.scores import Scores, with_timing
from avagent.core.state import ClipDecision
from avagent.media.decoder_process import process_decoder
from avagent.media.repair import repair_sound
from avagent.shards.record_member import record_of


class Clip:
    """A clip by reference, with edits on its sound: a value, every edit gives another clip.

    Its media is read and decoded when it is asked for, in a process of its own, and kept in a cache of bounded size.
    Everything that reads it may raise ShardError (the shard is not as it was) or MediaError (it cannot be decoded).

    Attributes:
        ref: shard, place, content hash.
        actions: the edits of its sound, in order.
        decision: of the refining that it came from; None: it was not refined here.
    """

    def __init__(
        self, ref: ClipRef, tools: Tools, actions: tuple[Action, ...] = (), decision: ClipDecision | None = None
    ) -> None:
        self.ref = ref
        self.actions = actions
        self.decision = decision
        self._tools = tools

    @property
    def key(self) -> str:
        """Its name, unique in its shard."""
        return self.ref.key

    @property
    def members(self) -> tuple[Member, ...]:
        """The files of the sample as they lie in the shard."""
        return self._tools.store.clip(self.ref).members

    @property
    def record(self) -> dict[str, Any] | None:
        """What a run noted of it; None: it is not from a refined shard."""
        text = record_of(self._tools.store.clip(self.ref))
        return json.loads(text) if text else None

    @property
    def streams(self) -> StreamInfo:
        """What its container declares."""
        return self.view.streams()

    @property
    def audio(self) -> Waveform | None:
        """The edited sound, float32 [channels, samples] at its own rate; None: no sound. Raises EditError."""
        return self.view.audio()

    @property
    def frames(self) -> Frames | None:
        """A few pictures spread over the clip; None: no picture."""
        return self.view.frames()

    @property
    def facts(self) -> Facts | None:
        """What is measured of the edited sound; None: no sound. Raises EditError."""
        return self.view.facts()

    @property
    def view(self) -> ClipView:
        """What models are given."""
        return self._tools.store.view(self.ref, self.actions)

    @property
    def original(self) -> Clip:
        """The clip without edits."""
        return Clip(self.ref, self._tools)

    def captions(self) -> Captions:
        """What the recipe's captioner hears and sees. Raises ModelError."""
        captioner, views = self._tools.captioner, [self.view]
        (heard,), (seen,) = captioner.caption_audio(views), captioner.caption_video(views)
        for found in (heard, seen):
            if isinstance(found, ClipError):
                raise found
        return Captions(audio=_answer(heard), video=_answer(seen))

    def score(self) -> Scores:
        """How well the edited sound fits the picture, and keeps time with it, in [0, 1]. Raises ModelError."""
        original = self.original
        note = unjudgeable(original.facts, original.captions())
        if note is not None:
            return Scores(alignment=None, synchronization=None, alignment_note=note, synchronization_note=note)
        return _answer(self._tools.scorer.score([self.view])[0])

    def plan(self) -> Plan:
        """What the recipe's planner would do with the sound as it is; empty: nothing to mend. Raises ModelError."""
        scores = self.score()
        history, allowed = History(original=scores), self._tools.wired.loop.allowed
        request = PlanRequest(
            key=self.key,
            captions=self.original.captions(),
            facts=with_timing(self.facts, scores),
            history=history,
            base=Base.ORIGINAL,
            allowed=allowed,
        )
        return choose_plan(_answer(self._tools.planner.plan([request])[0]), history, Base.ORIGINAL, allowed)

    def edit(self, *edits: Action | Plan) -> Clip:
        """The clip with more edits on its sound: actions, or whole plans, in order."""
        actions = [a for edit in edits for a in (edit.actions if isinstance(edit, Plan) else (edit,))]
        return Clip(self.ref, self._tools, (*self.actions, *actions))

    def refine(self) -> Clip:
        """What `avagent refine` would make of the original: the clip with the edits that were kept, and its decision.

        Raises:
            MissingModelError: the recipe's weights are not installed.
        """
        from avagent.api.refining import refine_clip  # noqa: PLC0415  (it loads Beam, as the recipe's models do)

        decision = refine_clip(self.ref, self._tools.wired.loop, self._tools.store)
        return Clip(self.ref, self._tools, decision.actions, decision)

    def media(self) -> Member:
        """The member that carries the sound, with the edits in it and all else as it was, as a run would write it.

        Raises:
            EditError, MediaError: the edits cannot be made, or not be written.
        """
        clip, shards = self._tools.store.clip(self.ref), self._tools.shards
        if not self.actions:
            return clip.sound()
        codec = self._tools.recipe.output.audio_codec
        decoder = process_decoder(shards.decoding)
        return repair_sound(clip, self.actions, audio_codec=codec, limits=shards.media, decoder=decoder)

    def _repr_html_(self) -> str:
        from avagent.api.html import show  # noqa: PLC0415  (encoders that only a look needs)

        return show(self, self._tools.shards)

    def __repr__(self) -> str:
        edits = f", {' + '.join(action.kind for action in self.actions)}" if self.actions else ""
        outcome = f", {self.decision.outcome}: {self.decision.reason}" if self.decision else ""
        return f"Clip({self.key!r}, {self.ref.shard!r}{edits}{outcome})"


def _answer(found: Any) -> Any:
    """What a model answered. Raises ClipError: that it failed."""
    if isinstance(found, ClipError):
        raise found
    return found
