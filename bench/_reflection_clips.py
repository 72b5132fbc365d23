"""Clean clips of many kinds for the reflection's benchmark: recordings under pictures that move with them.

The recordings are those of `tools/fetch_bench_media.py`, cut to six seconds, mono. Each goes under the photograph of a
stamp; the motion follows the sound's rises, as in `examples/demo/scenes.py`, but for every fourth, which stands still.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import av
import numpy as np
from _array_clips import FRAMES, LOWEST_RATE, MEDIA, ROOT, ArrayView, Picture, decode_sound, stamps

from avagent.core.media import ByteArray, Frames, Motion, Waveform
from avagent.dsp.measures.bs1770 import gated_loudness
from avagent.dsp.resampling import resample

sys.path.insert(0, str(ROOT / "tools"))

from fetch_bench_media import KINDS, SETTING

BENCH_MEDIA = ROOT / ".cache" / "bench"
SECONDS, FPS = 6.0, 25
AUDIBLE = 1e-3
SUFFIXES = (".ogg", ".wav", ".g722", ".flac", ".mp3", ".aiff", ".aif", ".opus", ".oga")
EVERY = slice(None)
HIGHEST_RATE = 24_000
"""In Hz: sound is brought down to it, which facts depend on little, and which saves half of the time."""


FLAT_SHARE, USUAL = 0.001, (-37.0, -5.0)


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clean clip: where its recording is from, and what kind of sound it is."""

    source: str
    kind: str
    view: ArrayView


def clips(*, setting: bool, every: slice = EVERY, media: Path = BENCH_MEDIA) -> Iterator[Clip]:
    """Those for setting limits, or those for reporting, in an order that mixes sources; or some of them."""
    for path in paths_of(setting=setting, media=media)[every]:
        key = str(path.relative_to(media))
        sound = _cut(decode_sound(path), zlib.crc32(key.encode()))
        if sound.rate >= LOWEST_RATE and float(np.abs(sound.samples).max(initial=0.0)) > AUDIBLE:
            group = key.split("/", maxsplit=1)[0]
            yield Clip(
                source=group, kind=KINDS[group], view=ArrayView(key=key, sound=sound, picture=_under(key, sound))
            )


def paths_of(*, setting: bool, media: Path = BENCH_MEDIA) -> list[Path]:
    """Recordings for setting limits, or for reporting, in an order that mixes sources."""
    groups = [group for group in KINDS if (group in SETTING) == setting]
    found = [p for group in groups for p in (media / group).rglob("*") if p.suffix in SUFFIXES]
    return sorted(found, key=lambda p: zlib.crc32(str(p.relative_to(media)).encode()))


def _cut(sound: Waveform, seed: int) -> Waveform:
    rng = np.random.default_rng(seed)
    size = min(sound.length, round(SECONDS * sound.rate))
    start = int(rng.integers(0, sound.length - size + 1))
    mono, rate = sound.mono()[start : start + size], sound.rate
    if rate > HIGHEST_RATE:
        mono, rate = np.asarray(resample(mono, rate, HIGHEST_RATE), np.float32), HIGHEST_RATE
    return Waveform(np.ascontiguousarray(mono)[None, :], rate)


def _under(key: str, sound: Waveform) -> Picture:
    return under(key, sound, None if zlib.crc32(key.encode()) % 4 == 0 else sound)


def under(key: str, sound: Waveform, leader: Waveform | None) -> Picture:
    """A photograph that moves with a leading sound; without one it stands still."""
    seed = zlib.crc32(key.encode())
    known = _stamp_pictures()
    pixels = _pixels(known[seed % len(known)])
    times = np.linspace(0.0, sound.duration, FRAMES)
    frames = Frames(np.repeat(pixels[None], FRAMES, axis=0), times)
    return Picture(frames, None if leader is None else _motion(leader, seed), sound.duration)


def _motion(sound: Waveform, seed: int) -> Motion:
    """Jumps where the level rises, and falls back within 0.2 s."""
    size = round(sound.rate / FPS)
    count = max(3, sound.length // size)
    mono = np.resize(sound.mono(), count * size).reshape(count, size)
    level = np.sqrt(np.mean(np.square(mono, dtype=np.float64), axis=1))
    level /= max(float(level.max()), 1e-9)
    drive = np.zeros(count)
    for i in range(1, count):
        drive[i] = max(level[i], drive[i - 1] * np.exp(-1.0 / (0.2 * FPS)))
    jitter = np.random.default_rng(seed).uniform(0.0, 0.05, count)
    energy = 20.0 * np.abs(np.diff(drive, prepend=drive[0])) + jitter
    return Motion(energy=energy.astype(np.float32), times=np.arange(count) / FPS)


@cache
def _stamp_pictures() -> tuple[Path, ...]:
    return tuple(picture for _, picture, _ in stamps(MEDIA))


def _pixels(path: Path) -> ByteArray:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return frame.reformat(width=320, height=240, format="rgb24").to_ndarray()


def fault_as_published(sound: Waveform) -> str:
    """Whether a recording has a fault that anybody sees: samples flat at its peak, or a level far off; else nothing.

    Flat: runs of three and more within 0.1% of the highest of a channel, 0.1% of all samples. It is not what the
    product goes by. Far off: outside of -37 to -5 LUFS.
    """
    peak = np.abs(sound.samples).max(axis=1, initial=0.0, keepdims=True)
    high = (np.abs(sound.samples) >= 0.999 * peak).astype(np.int8)
    flat = high[:, :-2] & high[:, 1:-1] & high[:, 2:]
    if sound.length > 3 and float(flat.mean()) >= FLAT_SHARE:
        return "clipped"
    loudness = gated_loudness(sound)
    return "" if loudness is None or USUAL[0] <= loudness <= USUAL[1] else "level"


def with_sound(view: ArrayView, sound: Waveform) -> ArrayView:
    """The picture with another sound."""
    return replace(view, sound=sound, made={})


def fitted(sound: Waveform, like: Waveform) -> Waveform:
    """One sound at the rate and length of another, repeated if it is shorter."""
    mono = sound.mono() if sound.rate == like.rate else resample(sound.mono(), sound.rate, like.rate)
    return Waveform(np.resize(np.asarray(mono, np.float32), like.length)[None, :], like.rate)
