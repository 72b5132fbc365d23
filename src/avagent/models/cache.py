"""A bounded cache for what models make of a clip's content."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from avagent.core.clip import ClipRef
from avagent.core.errors import ParameterError
from avagent.core.ports import ClipView

ValueT = TypeVar("ValueT")


def picture_key(view: ClipView) -> str:
    """Content hash of the clip whose picture it is; a view with another sound names that clip as `pictures_of`."""
    pictures: ClipRef = getattr(view, "pictures_of", view.ref)
    return pictures.content_sha256


class BoundedCache(Generic[ValueT]):
    """The values that were used last; safe to use from several threads."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ParameterError(f"a cache must hold one value at least, got {size}")
        self._size = size
        self._values: OrderedDict[Hashable, ValueT] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], ValueT]) -> ValueT:
        """The value of this key, made if it is not there; what `make` raises is not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        self.put(key, value)
        return value

    def find(self, key: Hashable) -> ValueT | None:
        """The value of this key, or None."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: ValueT) -> None:
        """Keep a value."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._size:
                self._values.popitem(last=False)

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)
