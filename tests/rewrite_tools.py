"""A shard, an edit and decisions for tests of rewriting."""

from __future__ import annotations

from shard_tools import (
    PROVENANCE,
    read_members,
    unchanged,
)

from avagent import storage
from avagent.core.clip import Member
from avagent.runs.rewrite import RewriteOptions
from avagent.shards.formats import ShardOptions, read_shard
from avagent.shards.samples import BadSample

FILES = [
    ("__info__", b"meta"),
    ("a.mp4", b"video a" * 200),
    ("a.json", b"{}"),
    ("b.txt", b"text"),
    ("b.MP4", b"video b"),
    ("b.xyz", b"unknown to us"),
    ("LICENCE", b"free"),
    ("c/" + "n" * 120 + ".mp4", b"video c"),
    ("d.mp4", b"video d"),
]


def loud(ref, clip, actions):
    """An edit that can be seen in the bytes."""
    sound = clip.sound()
    kinds = ",".join(action.kind for action in actions).encode()
    return (Member(name=sound.name, suffix=sound.suffix, data=sound.data + b"+" + kinds),)


def options(output, edit=loud, earlier=None, **reading):
    return RewriteOptions(
        output=output, edit=edit, provenance=PROVENANCE, earlier=earlier, reading=ShardOptions(**reading)
    )


def letters(output, name="train-000000.tar"):
    return read_members(storage.join(output, "_errors", name))


def bad_with(shard, limits):
    (found,) = (item for item in read_shard(shard, ShardOptions(limits=limits)) if isinstance(item, BadSample))
    return found


def decide_all(shard, choose=unchanged):
    return [i.decision() if isinstance(i, BadSample) else choose(i.ref) for i in read_shard(shard)]
