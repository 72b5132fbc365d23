"""What `avagent doctor` found: one line each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """How a check ended."""

    OK = "ok"
    MISSING = "missing"
    OPTIONAL = "optional"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report: what was looked at, how it is, and what to do."""

    subject: str
    health: Health
    detail: str
