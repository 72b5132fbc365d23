"""A port where it is loaded: in the worker's own process, or in one process for the whole machine.

What travels to a port in another process is clip states and the name of a step; the media is read there, by reference
(ADR 1). Beam's proxies answer method calls only, so a hosted port has one method.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from avagent.core.serving import Metered, WarmsUp
from avagent.media.store import MediaStore
from avagent.transforms.store import StoreConfig, process_store

PortT = TypeVar("PortT")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a hosted port gives for a batch.

    Attributes:
        items: as many as came, in order.
        counts: for the metrics: cache hits and misses, tokens, seconds of sound, loads.
    """

    items: Sequence[Any]
    counts: Mapping[str, int]


class HostedPort(Generic[PortT]):
    """A port, built and warmed up, with the steps run where it lies.

    It is loaded for the first batch: runners set up every step, those that nothing comes to as well.

    Args:
        build: makes the port.
    """

    def __init__(self, build: Callable[[], PortT]) -> None:
        self._build = build
        self._port: PortT | None = None
        self._lock = threading.Lock()
        self._untold: Counter[str] = Counter()

    def load(self) -> None:
        """Load the port, unless it is."""
        with self._lock:
            if self._port is not None:
                return
            started = time.perf_counter()
            port = self._build()
            if isinstance(port, WarmsUp):
                port.warm_up()
            seconds = time.perf_counter() - started
            _log.info("loaded %s in %.1f s", type(port).__name__, seconds)
            self._untold.update(loads=1, load_ms=round(seconds * 1000))
            self._port = port

    def run(
        self,
        step: Callable[[Sequence[Any], PortT, MediaStore], Sequence[Any]],
        batch: Sequence[Any],
        config: StoreConfig,
    ) -> Served:
        """A step's answer to a batch, with the media store of this process."""
        self.load()
        store, port = process_store(config), cast("PortT", self._port)
        before = store.stats
        items = step(batch, port, store)
        after = store.stats
        counts = Counter(cache_hits=after.hits - before.hits, cache_misses=after.misses - before.misses)
        if isinstance(port, Metered):
            counts.update(port.take_usage())
        with self._lock:
            counts.update(self._untold)
            self._untold = Counter()
        return Served(items=items, counts=dict(counts))
