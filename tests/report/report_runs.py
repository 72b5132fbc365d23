"""Clips of every outcome for tests of pages."""

from __future__ import annotations

import sys
from pathlib import Path

from media_samples import Recipe, build, tone_bursts
from shard_tools import tar_bytes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipelines"))

from runs import run
from scripted_runs import scripted_ports, write_recipe

__all__ = ["HOSTILE", "KEYS", "run", "scripted_ports", "write_recipe", "write_shards"]

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>{{ 7 * 7 }}"
KEYS = ("threshold-a", "fixable-b", "second-c", "hopeless-d", "silent-e", "broken-f", 'fixable-"<g>&', "fixable-b2")


def write_shards(folder: Path) -> None:
    """Two shards; the last clip of the first one is no media."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = {
        key: build(
            Recipe(size=(96, 64), frames=40, video_codec="mpeg4", sound=tone_bursts(1.6, channels=1, seed=number))
        )
        for number, key in enumerate(KEYS)
    }
    first, second = KEYS[:4], KEYS[4:]
    for name, keys in (("a.tar", first), ("b.tar", second)):
        files = {f"{key}.mp4": clips[key] for key in keys}
        if name == "a.tar":
            files["corrupt-z.mp4"] = b"no media"
        (folder / name).write_bytes(tar_bytes(list(files.items())))
