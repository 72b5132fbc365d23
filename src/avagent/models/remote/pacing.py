"""How often and how many at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from avagent.core.errors import ParameterError


class RateLimit:
    """Lets calls pass at even distances; safe to use from several threads.

    Args:
        per_minute: calls in a minute, of this process; None: no limit.
        clock, sleep: for tests.
    """

    def __init__(
        self,
        per_minute: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if per_minute is not None and not per_minute > 0:
            raise ParameterError(f"requests_per_minute must be positive, got {per_minute}")
        self._interval = 0.0 if per_minute is None else 60.0 / per_minute
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Take the next free moment and wait for it."""
        if not self._interval:
            return
        with self._lock:
            now = self._clock()
            moment = max(now, self._next)
            self._next = moment + self._interval
        if moment > now:
            self._sleep(moment - now)
