"""Count the fields of a protocol buffer before it is parsed: parsing allocates for every field, counting for none.

Reference: protocol buffers encoding, "Message Structure".
"""

from __future__ import annotations

_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)
_MAX_VARINT = 10


def count_fields(data: bytes | memoryview, most: int, depth: int) -> int:
    """Fields of a message and of the messages in it, down to a depth; counting ends above `most`.

    What is malformed ends its message: parsing will say so. What lies in a group counts as if it lay beside it.

    Args:
        data: the message.
        most: more than these are not counted.
        depth: levels to count; length-delimited fields above the lowest are taken for messages.
    """
    return _count(memoryview(data), most, depth)


def _count(data: memoryview, most: int, depth: int) -> int:
    count = at = 0
    while at < len(data) and count <= most:
        count += 1
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _BYTES:
            size, at = _varint(data, at)
            if size > len(data) - at:
                return count
            if depth > 1:
                count += _count(data[at : at + size], most - count, depth - 1)
            at += size
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        elif kind not in (_GROUP, _END_GROUP):
            return count
    return count


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number and where it ends; past the end of the data where it is malformed."""
    value = 0
    for position in range(_MAX_VARINT):
        if at + position >= len(data):
            break
        byte = data[at + position]
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, at + position + 1
    return 0, len(data) + 1
