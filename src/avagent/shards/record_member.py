"""The record that a refined clip carries, in either format."""

from __future__ import annotations

from avagent.core.clip import RECORD_SUFFIX, Clip
from avagent.shards.tfrecord.examples import Feature, bytes_values


def record_of(clip: Clip) -> str:
    """Its JSON; empty: the clip carries none. Raises UnicodeDecodeError: it is no text."""
    member = clip.get(RECORD_SUFFIX)
    if member is None:
        return ""
    if member.name.endswith(RECORD_SUFFIX):
        return member.data.decode()
    values = bytes_values(Feature(name=member.name, value=member.data))  # of a TFRecord: still a feature
    return values[0].decode() if values else ""
