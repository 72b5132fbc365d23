"""Corpora of any size for benchmarks: the demo's clips, each copy made distinct by a member of its own."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILDER = ROOT / "examples" / "demo" / "build_corpus.py"


def base_clips(folder: Path, clips: int, seconds: float | None = None) -> list[dict[str, bytes]]:
    """Members by suffix of the demo's first clips, built if they are not there yet."""
    if not (folder / "truth.json").exists():
        command = [sys.executable, str(BUILDER), "--to", str(folder), "--clips", str(clips)]
        if seconds is not None:
            command += ["--seconds", str(seconds)]
        subprocess.run(command, check=True)
    found: dict[str, dict[str, bytes]] = {}
    for shard in sorted((folder / "shards").glob("*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive.getmembers():
                key, _, suffix = member.name.partition(".")
                file = archive.extractfile(member)
                if file is not None:
                    found.setdefault(key, {})[suffix] = file.read()
    return list(found.values())


def write_copies(base: list[dict[str, bytes]], folder: Path, clips: int, clips_per_shard: int) -> Path:
    """Shards of so many clips; a member `id` gives every copy, in whatever folder, a content hash of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, clips, clips_per_shard):
        with tarfile.open(folder / f"copies-{first // clips_per_shard:06d}.tar", "w") as archive:
            for number in range(first, min(first + clips_per_shard, clips)):
                members = {**base[number % len(base)], "id": f"{folder.name}/{number}".encode()}
                for suffix, data in members.items():
                    info = tarfile.TarInfo(f"clip{number:06d}.{suffix}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    return folder
