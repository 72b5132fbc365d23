"""Recipes: YAML, or a name of a shipped one, to one frozen, validated object."""

from __future__ import annotations

import difflib
import hashlib
import json
import reprlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args

import yaml
from pydantic import (
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from avagent.core.actions import ACTION_SETS, ACTIONS
from avagent.core.decide import Acceptance, Policy, Reflection
from avagent.core.errors import RecipeError
from avagent.core.reflection import REVISION as REFLECTION_REVISION
from avagent.media.container import AUDIO_CODECS
from avagent.media.limits import DEFAULT_DECODING, DecodeLimits, MediaLimits
from avagent.pipelines.model_sections import SCORES, ModelSection, ScorerSection, Section
from avagent.shards.formats import ShardOptions
from avagent.shards.limits import ShardLimits
from avagent.shards.media_names import DEFAULT_SUFFIXES, SuffixMapping
from avagent.shards.tfrecord.records import DEFAULT_FIELDS, FieldMapping
from avagent.storage.retries import policy

_NOT_YAML = (yaml.YAMLError, ValueError, OverflowError, RecursionError)
"""What the parser raises, and what the values that it makes (dates, numbers) raise."""
_SHOWN_FAULTS = 8

NO_RESULT_DEPENDS_ON = ("worker", "max_failure_ratio", "failure_check_after")
"""Keys of a recipe that are no part of its fingerprint."""

_SHARDS, _MEDIA = ShardLimits(), MediaLimits()


class PolicySection(Section):
    """The loop's bounds; see :class:`avagent.core.decide.Policy`. A margin left out is the scorer's own noise."""

    threshold: float = Field(default=0.85, ge=0, le=1)
    max_rounds: int = Field(default=3, ge=0, le=20)
    acceptance: Acceptance = Acceptance.PARETO
    reflection: Reflection = Reflection.EFFECTS
    min_gain_alignment: float | None = Field(default=None, ge=0, lt=1)
    min_gain_synchronization: float | None = Field(default=None, ge=0, lt=1)


class OutputSection(Section):
    """How the repaired sound is written: `source` keeps the source's codec, else FFmpeg's name of one."""

    audio_codec: str = "source"

    @field_validator("audio_codec")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in AUDIO_CODECS:
            raise ValueError(f"unknown codec{_hint(value, AUDIO_CODECS)}")
        return value


class WebDatasetSection(Section):
    """Which members of a sample are what, by suffix: of each list, the first that a sample has."""

    media: tuple[str, ...] = DEFAULT_SUFFIXES.media
    audio: tuple[str, ...] = DEFAULT_SUFFIXES.audio

    @field_validator("media", "audio", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _usable(self) -> WebDatasetSection:
        self.mapping()
        return self

    def mapping(self) -> SuffixMapping:
        """The same for reading."""
        return SuffixMapping(media=self.media, audio=self.audio)


class TFRecordSection(Section):
    """Which features of a record are what: of each list, the first that a record has."""

    key: tuple[str, ...] = Field(default=DEFAULT_FIELDS.key, description="none, or not there: records are numbered")
    media: tuple[str, ...] = DEFAULT_FIELDS.media
    audio: tuple[str, ...] = DEFAULT_FIELDS.audio
    frames: tuple[str, ...] = DEFAULT_FIELDS.frames

    @field_validator("key", "media", "audio", "frames", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _usable(self) -> TFRecordSection:
        self.mapping()
        return self

    def mapping(self) -> FieldMapping:
        """The same for reading."""
        return FieldMapping(key=self.key, media=self.media, audio=self.audio, frames=self.frames)


class LimitsSection(Section):
    """What a shard, its media and their decoding may claim and cost before a clip is given up; see docs/limits.md."""

    entries: int = Field(default=_SHARDS.entries, ge=1, description="headers, or records, of one shard")
    member_bytes: int = Field(default=_SHARDS.member_bytes, ge=1)
    sample_bytes: int = Field(default=_SHARDS.sample_bytes, ge=1)
    members: int = Field(default=_SHARDS.members, ge=1, description="of one sample; features of one record")
    header_bytes: int = Field(default=_SHARDS.header_bytes, ge=1, description="a long name, a PAX header, a key")
    expansion: int = Field(default=_SHARDS.expansion, ge=1, description="times that a compressed shard may grow")
    media_seconds: float = Field(default=_MEDIA.media_seconds, gt=0)
    picture_side: int = Field(default=_MEDIA.picture_side, ge=1, description="pixels")
    picture_pixels: int = Field(default=_MEDIA.picture_pixels, ge=1)
    pictures: int = Field(default=_MEDIA.pictures, ge=1, description="of one stream")
    channels: int = Field(default=_MEDIA.channels, ge=1)
    sample_rate: int = Field(default=_MEDIA.sample_rate, ge=1, description="Hz")
    streams: int = Field(default=_MEDIA.streams, ge=1)
    sound_bytes: int = Field(default=_MEDIA.sound_bytes, ge=1, description="decoded, float32")
    damaged_packets: float = Field(default=_MEDIA.damaged_packets, ge=0, le=1, description="share of a stream's")
    decode_seconds: float | None = Field(
        default=DEFAULT_DECODING.decode_seconds, gt=0, description="of one clip; null: decode in the worker itself"
    )
    decode_memory_mib: int = Field(default=DEFAULT_DECODING.decode_memory_mib, ge=1)

    def shards(self) -> ShardLimits:
        """For reading shards."""
        return ShardLimits(**self.model_dump(include={field.name for field in fields(ShardLimits)}))

    def media(self) -> MediaLimits:
        """For opening media."""
        return MediaLimits(**self.model_dump(include={field.name for field in fields(MediaLimits)}))

    def decoding(self) -> DecodeLimits:
        """For decoding them."""
        return DecodeLimits(decode_seconds=self.decode_seconds, decode_memory_mib=self.decode_memory_mib)


class WorkerSection(Section):
    """What a worker may use; no decision depends on it."""

    cache_mib: int = Field(default=256, ge=16, description="media held in memory, per process")
    max_batch: int = Field(default=1, ge=1, description="clips per model batch at most")
    storage_attempts: int = Field(default=5, ge=1, description="times that an operation on remote storage is tried")
    storage_timeout_s: float = Field(default=60, gt=0, description="wait for a storage server's answer, in s")
    share_model: tuple[Literal["captioner", "planner", "scorer", "evaluation_scorer"], ...] = Field(
        default=(), description="ports that the worker processes of a machine share; every other one loads per process"
    )


class Recipe(Section):
    """Everything that a run's result depends on, besides its input."""

    name: str
    captioner: ModelSection
    planner: ModelSection
    scorer: ScorerSection
    evaluation_scorer: ScorerSection | None = Field(
        default=None, description="scores what was decided; decides nothing"
    )
    actions: Literal["paper", "extended"] | tuple[str, ...] = "extended"
    policy: PolicySection = Field(default_factory=PolicySection)
    output: OutputSection = Field(default_factory=OutputSection)
    webdataset: WebDatasetSection = Field(default_factory=WebDatasetSection)
    tfrecord: TFRecordSection = Field(default_factory=TFRecordSection)
    limits: LimitsSection = Field(default_factory=LimitsSection)
    worker: WorkerSection = Field(default_factory=WorkerSection)
    max_failure_ratio: float = Field(default=0.1, ge=0, le=1, description="above it a finished run exits with code 3")
    failure_check_after: int | None = Field(
        default=200, ge=1, description="clips per worker, from which on a run far above the ratio stops; null: never"
    )
    _arguments: str = PrivateAttr(default="")

    @field_validator("actions")
    @classmethod
    def _known(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(value, tuple):
            for kind in value:
                if kind not in ACTIONS:
                    raise ValueError(f"unknown action {kind!r}{_hint(kind, ACTIONS)}; known: {', '.join(ACTIONS)}")
        return value

    def remember(self, name_or_file: str, overrides: Sequence[str]) -> None:
        """Keep how the recipe was asked for, so that messages can name commands that ask for it again."""
        parts = ["--recipe", name_or_file, *(word for pair in overrides for word in ("--set", pair))]
        self._arguments = shlex.join(parts)

    @property
    def arguments(self) -> str:
        """The options of the command line that ask for this recipe, quoted for a shell."""
        return self._arguments or f"--recipe {shlex.quote(self.name)}"

    @property
    def allowed(self) -> frozenset[str]:
        """Kinds of action that may be used."""
        return ACTION_SETS[self.actions] if isinstance(self.actions, str) else frozenset(self.actions)

    def shard_options(self) -> ShardOptions:
        """How shards, and the media in them, are read."""
        return ShardOptions(
            limits=self.limits.shards(),
            fields=self.tfrecord.mapping(),
            suffixes=self.webdataset.mapping(),
            media=self.limits.media(),
            decoding=self.limits.decoding(),
            storage=replace(policy(), attempts=self.worker.storage_attempts, timeout_s=self.worker.storage_timeout_s),
        )

    def loop_policy(self, margins: tuple[float, float]) -> Policy:
        """The loop's policy; `margins` (alignment, synchronization) stand in for those left out."""
        section = self.policy
        alignment, synchronization = section.min_gain_alignment, section.min_gain_synchronization
        return Policy(
            threshold=section.threshold,
            max_rounds=section.max_rounds,
            acceptance=section.acceptance,
            reflection=section.reflection,
            min_gain_alignment=margins[0] if alignment is None else alignment,
            min_gain_synchronization=margins[1] if synchronization is None else synchronization,
        )

    def fingerprint(self, model_fingerprints: Mapping[str, str]) -> str:
        """SHA-256 over everything that a clip's result depends on: recipe (less `worker`), models, rules, revisions."""
        content = self.model_dump(mode="json", exclude=set(NO_RESULT_DEPENDS_ON))
        if content["evaluation_scorer"] is None:
            del content["evaluation_scorer"]
        for section in (content["scorer"], content.get("evaluation_scorer")):
            for part in () if section is None else (section, *(section.pop(s) for s in SCORES if s in section)):
                if part is not None:
                    # Its content is part of the scorer's fingerprint; where it lies decides nothing.
                    del part["calibration"]
        rules = {"recipe": content, "models": dict(model_fingerprints), "reflection": REFLECTION_REVISION}
        text = json.dumps(rules, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    folder = resources.files("avagent.pipelines") / "recipes"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def load_recipe(name_or_file: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        name_or_file: the name of a shipped recipe, or the path of a YAML file.
        overrides: `dotted.key=value` pairs, values in YAML.

    Raises:
        RecipeError: it does not exist, is not YAML, has an unknown key (the nearest known one is named) or a bad value.
    """
    data = _read_yaml(name_or_file)
    _anchor_calibrations(data, Path(name_or_file).parent)
    for pair in overrides:
        _override(data, pair)
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError(f"recipe {name_or_file!r}: " + "; ".join(_explain(error))) from error
    recipe.remember(name_or_file, overrides)
    return recipe


def _read_yaml(name_or_file: str) -> dict[str, Any]:
    if name_or_file in shipped_recipes():
        text = (resources.files("avagent.pipelines") / "recipes" / f"{name_or_file}.yaml").read_text("utf-8")
    elif Path(name_or_file).is_file():
        try:
            text = Path(name_or_file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"recipe {name_or_file!r} cannot be read: {error}") from error
    else:
        known = ", ".join(shipped_recipes())
        raise RecipeError(f"no recipe {name_or_file!r}: give a file, or one of the shipped recipes: {known}")
    return _parse_yaml(name_or_file, text)


def _parse_yaml(name_or_file: str, text: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(text)
    except _NOT_YAML as error:
        raise RecipeError(f"recipe {name_or_file!r} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {name_or_file!r} must be a mapping of keys to values, got {type(data).__name__}")
    return data


def _anchor_calibrations(data: dict[str, Any], folder: Path) -> None:
    """Names of calibration files are relative to the recipe's; on the command line, to the working folder."""
    for port in ("scorer", "evaluation_scorer"):
        whole = data.get(port)
        for section in (whole, *(whole.get(s) for s in SCORES)) if isinstance(whole, dict) else ():
            if not isinstance(section, dict):
                continue
            name = section.get("calibration")
            if isinstance(name, str) and "://" not in name:
                section["calibration"] = str(folder / Path(name).expanduser())


def _override(data: dict[str, Any], pair: str) -> None:
    key, sign, value = pair.partition("=")
    if not sign or not key:
        raise RecipeError(f"--set takes key=value (for example policy.threshold=0.9), got {pair!r}")
    *parents, last = key.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise RecipeError(f"--set {pair}: {parent!r} holds a value, not a section")
    try:
        data[last] = yaml.safe_load(value)
    except _NOT_YAML as error:
        raise RecipeError(f"--set {pair:.99}: the value is not YAML: {error}") from error


def _explain(error: ValidationError) -> Iterable[str]:
    faults = error.errors()
    for item in faults[:_SHOWN_FAULTS]:
        where = ".".join(f"{part!s:.99}" for part in item["loc"])
        if item["type"] == "extra_forbidden":
            yield f"unknown key {where!r}{_hint(str(item['loc'][-1]), _keys(item['loc'][:-1]))}"
        else:
            yield f"{where}: {item['msg'].removeprefix('Value error, ')} (got {_shown(item['input'])})"
    if len(faults) > _SHOWN_FAULTS:
        yield f"and {len(faults) - _SHOWN_FAULTS} more"


def _shown(value: Any) -> str:
    """A value, shortened: aliases make a small file into an endless one."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 2, 99, 99
    return short.repr(value)


def _keys(path: Sequence[int | str]) -> Iterable[str]:
    section: Any = Recipe
    for part in path:
        section = section.model_fields[str(part)].annotation
        section = next((kind for kind in get_args(section) if kind is not NoneType), section)
    return section.model_fields


def _hint(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else f" (known: {', '.join(known)})"
