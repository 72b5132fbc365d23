"""What the pipeline needs from models, and what it gives them. Implementations live in `avagent.models`.

Every port works on batches, keeps the order, and answers a :class:`~avagent.core.errors.ClipError` *as a value* in the
place of an item on which it failed: one bad clip must not take its batch along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from avagent.core.actions import Action
from avagent.core.calibration import Calibrations
from avagent.core.captions import Caption, Captions
from avagent.core.clip import ClipRef
from avagent.core.errors import ClipError
from avagent.core.facts import Facts
from avagent.core.history import Base, History
from avagent.core.media import Frames, Motion, StreamInfo, Waveform
from avagent.core.plan import Plan
from avagent.core.region import Region
from avagent.core.scores import RawScores, Scores


class ClipView(Protocol):
    """A clip's media, decoded on demand and cached; `actions` say which edits its sound carries."""

    @property
    def ref(self) -> ClipRef:
        """Which clip."""
        ...

    @property
    def actions(self) -> tuple[Action, ...]:
        """The edits that :meth:`audio` carries."""
        ...

    def streams(self) -> StreamInfo:
        """What the container declares. Raises MediaError."""
        ...

    def audio(self) -> Waveform | None:
        """The (edited) sound, own rate and channels; None: the clip has no sound. Raises MediaError, EditError."""
        ...

    def frames(self) -> Frames | None:
        """A few pictures spread over the clip; None: the clip has no picture. Raises MediaError."""
        ...

    def frames_at(self, times: tuple[float, ...]) -> Frames | None:
        """The pictures shown at these moments, in s from the first sample of the sound; None: no moving picture.

        One a moment, in order; `times` of the answer are theirs. Raises MediaError.
        """
        ...

    def region(self, region: Region) -> Frames | None:
        """One part of every picture, as many as it allows; None: no moving picture. Not cached. Raises MediaError."""
        ...

    def motion(self) -> Motion | None:
        """Motion energy at the full frame rate; None: no moving picture. Raises MediaError."""
        ...

    def facts(self) -> Facts | None:
        """Measured facts of the (edited) sound; None: no sound. Raises MediaError, EditError."""
        ...


class Model(Protocol):
    """What every model tells of itself."""

    @property
    def fingerprint(self) -> str:
        """Name, revision and settings that its answers depend on: goes into the manifest."""
        ...


class Captioner(Model, Protocol):
    """Says what is heard or seen; one captioner serves one modality or both."""

    def caption_audio(self, views: Sequence[ClipView]) -> Sequence[Caption | ClipError | None]:
        """One caption a clip; None: no sound to caption."""
        ...

    def caption_video(self, views: Sequence[ClipView]) -> Sequence[Caption | ClipError | None]:
        """One caption a clip; None: no picture to caption."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """All that a planner may know.

    Attributes:
        key: the clip's key, the seed of anything random.
        captions: of the original.
        facts: of the base that the plan will be applied to; None: no sound.
        history: scores and rounds so far.
        base: what the plan will be applied to.
        allowed: kinds of action that may be proposed.
    """

    key: str
    captions: Captions
    facts: Facts | None
    history: History
    base: Base
    allowed: frozenset[str]


class Planner(Model, Protocol):
    """Ranks ideas; the pipeline takes the first that was not tried yet."""

    def plan(self, requests: Sequence[PlanRequest]) -> Sequence[Sequence[Plan] | ClipError]:
        """For each request, candidate plans, best first; an empty plan (or no candidate): nothing to mend."""
        ...


class Scorer(Model, Protocol):
    """Scores sound against picture, calibrated to [0, 1]."""

    @property
    def margins(self) -> tuple[float, float]:
        """The scorer's own noise (alignment, synchronization), in score units, from its calibration."""
        ...

    def score(self, views: Sequence[ClipView]) -> Sequence[Scores | ClipError]:
        """Alignment and synchronization of each view's (edited) sound."""
        ...


class RawScorer(Model, Protocol):
    """A scorer that can be calibrated: its measurements, and what becomes of them under a calibration."""

    @property
    def model_fingerprint(self) -> str:
        """Name, revision and settings that :meth:`raw` depends on; no calibration takes part."""
        ...

    @property
    def lags_ms(self) -> tuple[float, ...]:
        """By how much sound is moved, in ms, to get examples that the scorer should tell from being in time."""
        ...

    def raw(self, views: Sequence[ClipView]) -> Sequence[RawScores | ClipError]:
        """What is measured of each view."""
        ...

    def calibrated(self, raw: RawScores, calibrations: Calibrations) -> Scores:
        """The scores that :meth:`Scorer.score` gives for these measurements."""
        ...


class Editor(Protocol):
    """Applies actions to sound, deterministically."""

    def edit(self, waveform: Waveform, actions: Sequence[Action]) -> Waveform:
        """The waveform with the actions applied in order. Raises EditError."""
        ...
