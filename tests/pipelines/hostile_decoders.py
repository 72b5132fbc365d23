"""Decoding as it is, but for sounds that carry a mark: of those the decoder hangs or crashes, wherever it runs."""

from __future__ import annotations

import ctypes
import time

from avagent.media.clip_decode import DecodedMember
from avagent.media.clip_decode import decode_member as honest

HANG, CRASH = b"avagent test: hang", b"avagent test: crash"


def decode_member(data: bytes, **options) -> DecodedMember:
    if data.endswith(HANG):
        time.sleep(3600)
    if data.endswith(CRASH):
        ctypes.string_at(0)
    return honest(data, **options)
