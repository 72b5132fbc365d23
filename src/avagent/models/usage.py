"""What a model consumed: counts that the worker turns into metrics."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping


class Usage:
    """Whole numbers by name, such as `tokens_in`, `tokens_out`, `audio_ms`; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, counts: Mapping[str, int]) -> None:
        """Add to the counts."""
        with self._lock:
            self._counts.update(counts)

    def take(self) -> Mapping[str, int]:
        """What was counted since the last call: each count is handed out once."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return dict(counts)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), ())
