"""What a port may offer besides its answers; the worker asks for it where it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class WarmsUp(Protocol):
    """A port that can load its networks before the first clip comes."""

    def warm_up(self) -> None:
        """Load what is needed. Raises MissingModelError."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A port that counts what it consumes."""

    def take_usage(self) -> Mapping[str, int]:
        """Counts by name (`tokens_in`, `tokens_out`, `audio_ms`, `requests`, ...) since the last call."""
        ...
