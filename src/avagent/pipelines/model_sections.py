"""Sections of a recipe that name models: a port's implementation, one scorer or two in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

SCORES = ("alignment", "synchronization")


class Section(BaseModel):
    """A part of a recipe: frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSection(Section):
    """One port's implementation: its registered name and its options."""

    name: str
    options: Mapping[str, JsonValue] = Field(default_factory=dict)


class OneScorer(ModelSection):
    """A scorer, and the calibration file that `avagent calibrate` made for it; None: its own, if it ships one."""

    calibration: str | None = Field(default=None, description="relative to the recipe's file")

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class ScorerSection(OneScorer):
    """One scorer, or two: one's alignment beside another one's synchronization, each with its own calibration."""

    name: str = ""
    alignment: OneScorer | None = None
    synchronization: OneScorer | None = None

    @model_validator(mode="after")
    def _one_or_two(self) -> ScorerSection:
        parts = [part for part in (self.alignment, self.synchronization) if part is not None]
        if self.name and not parts:
            return self
        if self.name or self.options or self.calibration is not None or len(parts) != len(SCORES):
            raise ValueError("name one scorer (name, options, calibration), or two: alignment and synchronization")
        return self

    def parts(self, port: str) -> tuple[tuple[str, OneScorer], ...]:
        """Of two in one: the name of each, below the port's, and each."""
        both = zip(SCORES, (self.alignment, self.synchronization), strict=True)
        return tuple((f"{port}.{score}", part) for score, part in both if part is not None)
