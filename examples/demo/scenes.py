"""Clips from real recordings: photographs that move with their own recorded sound, cuts of a film, speech.

Everything is a function of the scene's key: two builds give the same samples and the same pixels.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import numpy.typing as npt

from avagent.core.media import ByteArray, FloatArray, Waveform

WIDTH, HEIGHT, FPS = 320, 240, 25
MOST_TICKS = 1001
"""Of a film's rate: MPEG-4 counts time in less than 65,536 parts of a second."""
ROOM_TONE_DBFS = -66.0
PEAK = 0.5
SPRITE_SIZES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A clean clip to be made.

    Attributes:
        key: the clip's name in the corpus.
        kind: `object` (photograph + its sound), `film` (a cut), `speech` (speech over a photograph), `still` (the same,
            and nothing moves).
        picture: below the media folder.
        sound: below the media folder; for a film the same file as the picture.
        start: of a film's cut, in s.
        seconds: length, in s.
    """

    key: str
    kind: Literal["object", "film", "speech", "still"]
    picture: str
    sound: str
    seconds: float = 6.0
    start: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Clean:
    """A clean clip: its pictures (uint8 [n, height, width, 3] at `fps`) and its sound."""

    pictures: Sequence[ByteArray]
    fps: int | Fraction
    sound: Waveform


def render(scene: Scene, media: Path) -> Clean:
    """The scene's pictures and sound."""
    if scene.kind == "film":
        return _film(scene, media)
    frames = round(scene.seconds * FPS)
    sound = _place(scene, decode_sound(media / scene.sound))
    drive = np.zeros(frames) if scene.kind == "still" else _drive(sound, frames)
    pictures = list(_animate(_picture(media / scene.picture), drive, scene))
    return Clean(pictures, FPS, sound)


def decode_sound(path: Path, start: float = 0.0, seconds: float | None = None) -> Waveform:
    """A file's sound as float32 at its own rate, at most stereo; optionally a cut of it."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        layout = "mono" if stream.channels == 1 else "stereo"
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=stream.rate)
        blocks = [out.to_ndarray() for frame in container.decode(stream) for out in resampler.resample(frame)]
        blocks += [out.to_ndarray() for out in resampler.resample(None)]
        rate = stream.rate
    samples = np.concatenate(blocks, axis=1, dtype=np.float32)
    first = round(start * rate)
    last = samples.shape[1] if seconds is None else first + round(seconds * rate)
    return Waveform(np.ascontiguousarray(samples[:, first:last]), rate)


def seed(key: str) -> int:
    """A number that depends on the key alone."""
    return zlib.crc32(key.encode())


def _place(scene: Scene, recording: Waveform) -> Waveform:
    """The recording, repeated at irregular intervals until the clip is full, over a faint room tone.

    The tone keeps the pauses from being digital silence, which in a real recording would mean a dropout.
    """
    rng = np.random.default_rng(seed(scene.key))
    rate, total = recording.rate, round(scene.seconds * recording.rate)
    tone = rng.standard_normal((recording.channels, total)) * 10 ** (ROOM_TONE_DBFS / 20)
    event = _faded(recording.samples / max(float(np.abs(recording.samples).max()), 1e-6) * PEAK, rate)
    at = round(rng.uniform(0.25, 0.6) * rate)
    while at < total - rate // 5:
        piece = event[:, : total - at]
        tone[:, at : at + piece.shape[1]] += piece * rng.uniform(0.75, 1.0)
        at += event.shape[1] + round(rng.uniform(0.25, 0.9) * rate)
    return Waveform(_faded(tone.astype(np.float32), rate), rate)


def _faded(samples: FloatArray, rate: int, seconds: float = 0.008) -> FloatArray:
    """Short raised-cosine fades at both ends, so that a cut does not click."""
    n = min(round(seconds * rate), samples.shape[1] // 2)
    out = samples.astype(np.float32, copy=True)
    ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(n) / max(n, 1))).astype(np.float32)
    out[:, :n] *= ramp
    out[:, out.shape[1] - n :] *= ramp[::-1]
    return out


def _drive(sound: Waveform, frames: int) -> npt.NDArray[np.float64]:
    """Excursion per picture in [0, 1]: jumps where the level rises, falls back with a time constant of 0.2 s.

    Each picture shows what has sounded until then, as a camera would: never what comes after it.
    """
    mono = sound.mono().astype(np.float64)
    edges = np.linspace(0, mono.size, frames + 1).astype(int)
    level = np.sqrt(np.add.reduceat(mono**2, edges[:-1]) / np.maximum(np.diff(edges), 1))
    loud = 20 * np.log10(level + 1e-4)
    rise = np.maximum(np.diff(loud), 0.0) / 30.0
    out = np.zeros(frames)
    decay = float(np.exp(-1 / (0.2 * FPS)))
    for n in range(2, frames):
        out[n] = min(1.0, out[n - 1] * decay + (rise[n - 2] if rise[n - 2] > 0.1 else 0.0))
    return out


def _picture(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).reformat(format="rgba")


def _animate(picture: av.VideoFrame, drive: npt.NDArray[np.float64], scene: Scene) -> Iterator[ByteArray]:
    """The object hops and grows with the drive, on a plain background."""
    rng = np.random.default_rng(seed(scene.key + "/picture"))
    background = np.empty((HEIGHT, WIDTH, 3), np.float32)
    background[:] = rng.uniform(190, 235, 3)
    background *= np.linspace(1.05, 0.9, HEIGHT, dtype=np.float32)[:, None, None]
    smallest = min(0.62 * HEIGHT / picture.height, 0.62 * WIDTH / picture.width)
    sprites: dict[int, FloatArray] = {}
    for amount in drive:
        step = round(float(amount) * SPRITE_SIZES)
        if step not in sprites:
            sprites[step] = _scaled(picture, smallest * (1 + 0.3 * step / SPRITE_SIZES))
        yield _paste(background, sprites[step], rise=round(24 * float(amount)))


def _scaled(picture: av.VideoFrame, scale: float) -> FloatArray:
    width, height = max(2, round(picture.width * scale)), max(2, round(picture.height * scale))
    return picture.reformat(width=width, height=height).to_ndarray().astype(np.float32)


def _paste(background: FloatArray, sprite: FloatArray, rise: int) -> ByteArray:
    out = background.copy()
    height, width = sprite.shape[:2]
    top, left = max(0, (HEIGHT - height) // 2 + 10 - rise), (WIDTH - width) // 2
    sprite = sprite[: HEIGHT - top]
    area = out[top : top + sprite.shape[0], left : left + width]
    alpha = sprite[..., 3:] / 255.0
    area[:] = area * (1 - alpha) + sprite[..., :3] * alpha
    return np.clip(out, 0, 255).astype(np.uint8)


def _film(scene: Scene, media: Path) -> Clean:
    """A cut at the film's mean rate: of each moment the picture that is nearest, as some cameras keep no even time."""
    path = media / scene.picture
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        fps = Fraction(stream.average_rate or FPS).limit_denominator(MOST_TICKS)
        width, height = 2 * WIDTH, 2 * round(WIDTH * stream.height / stream.width)
        times: list[float] = []
        pictures: list[ByteArray] = []
        for frame in container.decode(stream):
            time = float(frame.time or 0.0)
            if scene.start - 1.0 <= time <= scene.start + scene.seconds + 1.0:
                times.append(time)
                shown = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
                pictures.append(np.asarray(shown, dtype=np.uint8))
    wanted = np.arange(round(scene.start * fps), round((scene.start + scene.seconds) * fps)) / float(fps)
    nearest = np.abs(np.array(times)[None, :] - wanted[:, None]).argmin(axis=1)
    chosen = [pictures[int(n)] for n in nearest]
    sound = decode_sound(media / scene.sound, scene.start, float(len(chosen) / fps))
    return Clean(chosen, fps, Waveform(_faded(sound.samples, sound.rate), sound.rate))
