"""The exception tree of AVAgent, and failures as data.

::

    AVAgentError
    ├── UsageError             unusable arguments, recipe or output folder (exit code 2)
    │   └── RecipeError        an unknown key, a bad value, an action that does not exist
    │       └── CalibrationError   a scorer without a calibration, or with one of another model
    ├── ParameterError         a value outside its documented bounds (also a ValueError)
    ├── TooManyFailuresError   so many clips fail that the run is given up early
    ├── MissingModelError      weights or a package are absent; the message names the remedy
    ├── StorageError           storage failed for longer than it is tried again: the run stops, and can go on later
    └── ClipError              one clip cannot be worked on; it goes to the dead letters
        ├── ShardError         the shard's bytes cannot be read or parsed
        ├── MediaError         the clip's media cannot be decoded or written
        ├── EditError          an action failed on this clip's audio
        └── ModelError         a captioner, planner or scorer failed on this clip

Only :class:`ClipError` is caught by the pipeline and turned into a :class:`Failure`; anything else is a bug or a
set-up fault and stops the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AVAgentError(Exception):
    """Root of every error that AVAgent raises on purpose."""


class UsageError(AVAgentError):
    """The arguments, the recipe or the output folder cannot be used as given."""


class RecipeError(UsageError):
    """A recipe has an unknown key, a bad value or names something that does not exist."""


class CalibrationError(RecipeError):
    """A scorer has no calibration, or one that was made for another model."""


class ParameterError(AVAgentError, ValueError):
    """A parameter or an array is outside its documented bounds."""


class TooManyFailuresError(AVAgentError):
    """So many clips fail that the run is given up early; the message tells the commonest reasons."""


class MissingModelError(AVAgentError):
    """A model's weights or package are not installed; the message says how to get them."""


class StorageError(AVAgentError):
    """Remote storage failed for longer than it is tried again. Not an OSError: no clip is at fault."""


class Stage(StrEnum):
    """Where in the pipeline a clip failed."""

    READ = "read"
    DECODE = "decode"
    CAPTION = "caption"
    PLAN = "plan"
    EDIT = "edit"
    SCORE = "score"
    WRITE = "write"


class FailureReason(StrEnum):
    """Machine-readable cause of a dead letter."""

    UNREADABLE_SHARD = "unreadable_shard"
    TRUNCATED_SHARD = "truncated_shard"
    CORRUPT_RECORD = "corrupt_record"
    UNSUPPORTED_RECORD = "unsupported_record"
    DUPLICATE_KEY = "duplicate_key"
    DUPLICATE_MEMBER = "duplicate_member"
    UNSAFE_MEMBER = "unsafe_member"
    NO_MEDIA = "no_media"
    CORRUPT_MEDIA = "corrupt_media"
    UNSUPPORTED_MEDIA = "unsupported_media"
    UNSUPPORTED_SOUND = "unsupported_sound"
    UNSUPPORTED_STREAM = "unsupported_stream"
    UNSUPPORTED_EDIT_LIST = "unsupported_edit_list"
    NON_FINITE_SAMPLES = "non_finite_samples"
    LIMIT_EXCEEDED = "limit_exceeded"
    DECODER_TIMED_OUT = "decoder_timed_out"
    DECODER_CRASHED = "decoder_crashed"
    CHANGED_SINCE_LISTED = "changed_since_listed"
    EDIT_FAILED = "edit_failed"
    MODEL_FAILED = "model_failed"
    WRITE_FAILED = "write_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a clip went to the dead letters: what `KEY.error.json` holds."""

    stage: Stage
    type: str
    reason: FailureReason
    message: str


class ClipError(AVAgentError):
    """One clip cannot be worked on.

    Attributes:
        reason: the machine-readable cause.
        stage: where it happened.
    """

    default_stage = Stage.READ

    def __init__(self, message: str, *, reason: FailureReason, stage: Stage | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.stage = stage if stage is not None else self.default_stage

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), str(self), self.reason, self.stage))

    def failure(self) -> Failure:
        """This error as data."""
        return Failure(stage=self.stage, type=type(self).__name__, reason=self.reason, message=str(self))


def _rebuild(kind: type[ClipError], message: str, reason: FailureReason, stage: Stage) -> ClipError:
    return kind(message, reason=reason, stage=stage)


class ShardError(ClipError):
    """A shard's bytes cannot be read or parsed."""

    default_stage = Stage.READ


class MediaError(ClipError):
    """A clip's media cannot be decoded or written."""

    default_stage = Stage.DECODE


class EditError(ClipError):
    """An action failed on this clip's audio."""

    default_stage = Stage.EDIT


class ModelError(ClipError):
    """A captioner, planner or scorer failed on this clip."""

    default_stage = Stage.SCORE
