"""Small corpora of short sounds that change from night to night."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from tfrecord_tools import example, records

Shards = dict[str, list[tuple[str, int]]]
"""Shard name -> (key, content) of its clips; negative content: no media at all."""


@cache
def sound(content: int) -> bytes:
    """Half a second of a tone and noise, as wav."""
    if content < 0:
        return b"no media %d" % content
    rng = np.random.default_rng(content)
    t = np.arange(4000) / 8000
    tone = rng.uniform(0.05, 0.3) * np.sin(2 * np.pi * rng.uniform(200, 2000) * t)
    buffer = io.BytesIO()
    wavfile.write(buffer, 8000, ((tone + rng.normal(0, 0.02, t.size)) * 32767).astype(np.int16))
    return buffer.getvalue()


def shard_bytes(name: str, clips: list[tuple[str, int]]) -> bytes:
    """A shard in the format of its name."""
    if name.endswith(".tfrecord"):
        return records(example({"example/id": key.encode(), "wav": sound(content)}) for key, content in clips)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for key, content in clips:
            for suffix, data in (("wav", sound(content)), ("txt", b"%d" % content)):
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def write_corpus(folder: Path, shards: Mapping[str, list[tuple[str, int]]]) -> Path:
    """The shards of a night: files of the same content are not touched, but renamed where they are to be; others go."""
    folder.mkdir(parents=True, exist_ok=True)
    gone = {path.read_bytes(): path for path in folder.iterdir() if path.name not in shards}
    for name, clips in shards.items():
        path, data = folder / name, shard_bytes(name, clips)
        if data in gone:
            gone.pop(data).rename(path)
        elif not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
    for path in gone.values():
        path.unlink()
    return folder


FIRST_NIGHT: Shards = {
    "a-000000.tar": [("a0", 0), ("a1", 1), ("a2", 2), ("bad", -1), ("a3", 3), ("broken-a", 4)],
    "a-000001.tar": [("b0", 10), ("b1", 11), ("b2", 12), ("b3", 13)],
    "a-000002.tar": [("c0", 20), ("c1", 21), ("bad-c", -2)],
    "b.tfrecord": [("d0", 30), ("d1", 31), ("d2", 32), ("d3", 33)],
    "c.tfrecord": [("e0", 40), ("e1", 41)],
}


@dataclass
class Night:
    """Changes at random."""

    rng: random.Random
    shards: Shards

    def change(self, times: int) -> Shards:
        """The corpus after so many changes."""
        acts = [self.add, self.modify, self.remove, self.reorder, self.new_shard, self.remove_shard, self.rename_shard]
        for _ in range(times):
            self.rng.choice(acts)()
        return self.shards

    def _any(self) -> list[tuple[str, int]]:
        return self.shards[self.rng.choice(sorted(self.shards))]

    def _fresh(self) -> int:
        return self.rng.randrange(1000, 10**6)

    def add(self) -> None:
        clips = self._any()
        clips.insert(self.rng.randint(0, len(clips)), (f"new{self._fresh()}", self._fresh()))

    def modify(self) -> None:
        clips = self._any()
        if clips:
            at = self.rng.randrange(len(clips))
            clips[at] = (clips[at][0], self._fresh())

    def remove(self) -> None:
        clips = self._any()
        if clips:
            del clips[self.rng.randrange(len(clips))]

    def reorder(self) -> None:
        self.rng.shuffle(self._any())

    def new_shard(self) -> None:
        name = f"n{self._fresh()}.{self.rng.choice(['tar', 'tfrecord'])}"
        self.shards[name] = [(f"new{self._fresh()}", self._fresh()) for _ in range(2)]

    def remove_shard(self) -> None:
        if len(self.shards) > 1:
            del self.shards[self.rng.choice(sorted(self.shards))]

    def rename_shard(self) -> None:
        name = self.rng.choice(sorted(self.shards))
        self.shards[f"renamed-{self._fresh()}{Path(name).suffix}"] = self.shards.pop(name)
