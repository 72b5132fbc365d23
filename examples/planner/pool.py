"""Clean clips to learn planning from: every recording at hand that the demo does not use, so that the demo tests it.

Stamps move with their own recorded sound, speech runs over a stamp; each clip's json names its recording and licence.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

DEMO = Path(__file__).resolve().parents[1] / "demo"
sys.path.insert(0, str(DEMO))

from build_corpus import LICENCES, Built, write_shard  # noqa: E402
from corpus import SCENES  # noqa: E402
from encode import AudioCodec, encode_mp4  # noqa: E402
from scenes import Scene, decode_sound, render  # noqa: E402

from avagent.core.media import Waveform  # noqa: E402
from avagent.dsp.resampling import resample  # noqa: E402

SHARD_CLIPS = 12
LOWEST_RATE = 8_000
"""In Hz: what the actions accept."""
RATE = 16_000
"""Of the clips, in Hz."""
AUDIBLE = 1e-3
"""Least peak of a recording, full scale 1: some stamps come with silence."""


def pool_scenes(media: Path, seconds: float = 5.0) -> Iterator[Scene]:
    """Every recording once, the demo's left out."""
    used = {_digest(media / scene.sound) for scene in SCENES}
    pictures: list[str] = []
    for picture in sorted((media / "stamps").rglob("*.png")):
        sound = next((p for s in (".ogg", ".wav") if (p := picture.with_suffix(s)).is_file()), None)
        if sound is None or not _usable(sound) or _digest(sound) in used:
            continue
        used.add(_digest(sound))
        key = "-".join(picture.relative_to(media / "stamps").with_suffix("").parts)
        pictures.append(str(picture.relative_to(media)))
        yield Scene(key=key, kind="object", picture=pictures[-1], sound=str(sound.relative_to(media)), seconds=seconds)
    speeches = [p for p in sorted((media / "speech").iterdir()) if _digest(p) not in used]
    for number, speech in enumerate(speeches):
        picture = pictures[7 * number % len(pictures)]
        sound = str(speech.relative_to(media))
        yield Scene(key=f"speech-{speech.stem}", kind="speech", picture=picture, sound=sound, seconds=seconds)


def build_pool(target: Path, media: Path, scenes: Sequence[Scene]) -> None:
    """Write the clips as shards `pool-000000.tar` ...: mono at 16 kHz, two sounds of three as AAC, the third as FLAC.

    Facts depend little on the rate, and everything else is several times quicker.
    """
    target.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(scenes), SHARD_CLIPS):
        clips: list[Built] = []
        for place, scene in enumerate(scenes[first : first + SHARD_CLIPS], start=first):
            clips.append(_clip(scene, media, "flac" if place % 3 == 2 else "aac"))
        write_shard(target / f"pool-{first // SHARD_CLIPS:06d}.tar", clips)


def _clip(scene: Scene, media: Path, codec: AudioCodec) -> Built:
    """The recording alone is the source: several clips may show one picture."""
    clean = render(scene, media)
    sound = Waveform(resample(clean.sound.mono(), clean.sound.rate, RATE).astype(np.float32)[None, :], RATE)
    kind = LICENCES[scene.sound.split("/")[0]]
    members = {
        "mp4": encode_mp4(clean, sound, codec),
        "json": json.dumps({"source": scene.sound, "licences": [kind]}, sort_keys=True).encode(),
    }
    return Built(scene=scene, clean=clean, members=members, truth={})


def _digest(path: Path) -> str:
    """Some pictures share one recording: the same bytes under several names."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _usable(sound: Path) -> bool:
    waveform = decode_sound(sound)
    return waveform.rate >= LOWEST_RATE and float(np.abs(waveform.samples).max(initial=0.0)) > AUDIBLE
