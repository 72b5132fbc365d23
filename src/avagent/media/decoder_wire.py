"""Values between a worker and its decoder process: JSON, with arrays and bytes behind it as they are.

No pickle: the decoder has worked on bytes of unknown origin, and its answers are not trusted either.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from avagent.core.errors import Failure
from avagent.core.media import ByteArray, Frames, Motion, StreamInfo, Waveform
from avagent.core.region import Region
from avagent.media.clip_decode import DecodedMember, PictureChoice
from avagent.media.limits import MediaLimits
from avagent.media.picture import Picture
from avagent.media.preview import PlayerChoice
from avagent.media.trim import Trimmed

_PREFIX = struct.Struct("<I")
_MAX_HEADER = 16 << 20
_KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        *(
            DecodedMember,
            Failure,
            Frames,
            MediaLimits,
            Motion,
            Picture,
            PictureChoice,
            PlayerChoice,
            Region,
            StreamInfo,
        ),
        *(Trimmed, Waveform),
    )
}
_DTYPES = ("float32", "float64", "uint8")
_SEVERAL = "several"
_BYTES = "bytes"
_ARRAY = "array"
_IS = "is"


class WireError(Exception):
    """What came is not what was agreed on, or its sender is gone."""


def send(connection: socket.socket, value: object, deadline: float | None = None) -> None:
    """Send a value made of plain values, bytes, arrays and media.

    Args:
        connection: a stream socket.
        value: what to send.
        deadline: on the clock of `time.monotonic`; None: wait as long as it takes.

    Raises:
        TimeoutError: the deadline has passed.
        OSError: the other side is gone.
        TypeError: a value that cannot be sent.
    """
    buffers: list[ByteArray] = []
    tree = _encode(value, buffers)
    header = json.dumps({"value": tree, "buffers": [buffer.nbytes for buffer in buffers]}).encode()
    for part in (_PREFIX.pack(len(header)) + header, *(buffer.data for buffer in buffers)):
        _wait(connection, deadline)
        connection.sendall(part)


def receive(connection: socket.socket, most: int, deadline: float | None = None) -> Any:
    """What :func:`send` sent, of at most `most` bytes.

    Raises:
        TimeoutError: the deadline has passed.
        OSError: the connection broke.
        WireError: the other side is gone, or it sends something else.
    """
    (size,) = _PREFIX.unpack(_exactly(connection, _PREFIX.size, deadline))
    if size > _MAX_HEADER:
        raise WireError(f"a header of {size} bytes")
    try:
        header: Any = json.loads(bytes(_exactly(connection, size, deadline)))
        sizes = [int(nbytes) for nbytes in header["buffers"]]
        if min(sizes, default=0) < 0 or sum(sizes) > most:
            raise WireError(f"{sum(sizes)} bytes, where {most} are the most")
        buffers = [np.empty(nbytes, np.uint8) for nbytes in sizes]
        for buffer in buffers:
            _fill(connection, buffer.data, deadline)
        return _decode(header["value"], buffers)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise WireError(f"not what was agreed on: {error}") from error


def _encode(value: object, buffers: list[ByteArray]) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            buffers.append(np.frombuffer(value, np.uint8))
            return {_BYTES: len(buffers) - 1}
        case np.ndarray():
            array = np.ascontiguousarray(cast("npt.NDArray[Any]", value))
            buffers.append(array.reshape(-1).view(np.uint8))
            return {_ARRAY: len(buffers) - 1, "dtype": array.dtype.name, "shape": list(array.shape)}
        case list() | tuple():
            return {_SEVERAL: [_encode(item, buffers) for item in cast("list[object]", value)]}
        case dict():
            return {_IS: "", "fields": {k: _encode(v, buffers) for k, v in cast("dict[str, object]", value).items()}}
        case _ if is_dataclass(value) and type(value).__name__ in _KINDS:
            found = {field.name: _encode(getattr(value, field.name), buffers) for field in fields(value)}
            return {_IS: type(value).__name__, "fields": found}
        case _:
            raise TypeError(f"cannot send a {type(value).__name__}")


def _decode(tree: Any, buffers: list[ByteArray]) -> Any:
    if not isinstance(tree, dict):
        return tree
    node = cast("dict[str, Any]", tree)
    if _BYTES in node:
        return buffers[int(node[_BYTES])].tobytes()
    if _ARRAY in node:
        if node["dtype"] not in _DTYPES:
            raise ValueError(f"an array of {node['dtype']}")
        flat: Any = buffers[int(node[_ARRAY])]
        return flat.view(node["dtype"]).reshape(node["shape"])
    if _SEVERAL in node:
        return tuple(_decode(item, buffers) for item in node[_SEVERAL])
    values = {name: _decode(item, buffers) for name, item in node["fields"].items()}
    return _KINDS[node[_IS]](**values) if node[_IS] else values


def _exactly(connection: socket.socket, size: int, deadline: float | None) -> bytearray:
    data = bytearray(size)
    _fill(connection, memoryview(data), deadline)
    return data


def _fill(connection: socket.socket, target: memoryview, deadline: float | None) -> None:
    while target.nbytes:
        _wait(connection, deadline)
        count = connection.recv_into(target)
        if not count:
            raise WireError("the other side has closed the connection")
        target = target[count:]


def _wait(connection: socket.socket, deadline: float | None) -> None:
    """Bound the next operation."""
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise TimeoutError
    connection.settimeout(left)
