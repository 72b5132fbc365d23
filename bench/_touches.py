"""Rendered touches: things that fall, strike and slide, each contact with a recorded sound, at exactly known times.

Contacts are where the motion ends, as in nature: a thing is fastest just before it touches. Sizes, frame rates,
textures and disturbances differ from clip to clip; all is a function of the scene's key.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation
from scipy.ndimage import gaussian_filter

from avagent.core.media import ByteArray, FloatArray, Waveform
from avagent.dsp.resampling import resample

Array = npt.NDArray[np.float64]
Shape = Callable[[float], Array]

RATE = 48_000
SHAPES = ("ball", "stick", "block")
SIZES = ((320, 240), (480, 270), (180, 320), (640, 360))
FRAME_RATES = (24.0, 25.0, 30_000 / 1001, 30.0, 50.0, 60.0, 15.0)
ONSET_SHARE = 0.1
TONE_DBFS = -62.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """A scene to be made.

    Attributes:
        key: its name; all that is random depends on it.
        shape: `ball` (bounces), `stick` (strikes a block), `block` (slides between two walls).
        sounds: recordings of one contact each, mono float32 at RATE.
        size: width and height in pixels.
        frame_rate: in Hz.
        seconds: length.
        disturbed: another thing drifts by, and the camera sways.
    """

    key: str
    shape: str
    sounds: Sequence[FloatArray]
    size: tuple[int, int] = (320, 240)
    frame_rate: float = 25.0
    seconds: float = 8.0
    disturbed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """What was made: luma uint8 [n, height, width], times in s, the sound, the contacts in s."""

    luma: ByteArray
    times: Array
    sound: Waveform
    contacts: Array


def random_touch(key: str, sounds: Sequence[FloatArray]) -> Touch:
    """A scene of a random kind."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    return Touch(
        key=key,
        shape=SHAPES[int(rng.integers(len(SHAPES)))],
        sounds=[sounds[int(i)] for i in rng.integers(len(sounds), size=2)],
        size=SIZES[int(rng.integers(len(SIZES)))],
        frame_rate=FRAME_RATES[int(rng.integers(len(FRAME_RATES)))],
        seconds=float(rng.uniform(6.0, 10.0)),
        disturbed=bool(rng.random() < 0.3),
    )


def render(scene: Touch) -> Shot:
    """Pictures and sound."""
    rng = np.random.default_rng(zlib.crc32(f"{scene.key}/picture".encode()))
    contacts = _contacts(rng, scene.seconds)
    times = np.arange(int(scene.seconds * scene.frame_rate)) / scene.frame_rate
    luma = np.stack(list(_pictures(scene, rng, contacts, times)))
    return Shot(luma, times, _sound(scene, rng, contacts), contacts)


def shrink(luma: ByteArray, width: int = 96) -> Iterator[ByteArray]:
    """As pictures are handed to the measure of motion."""
    for picture in luma:
        frame = av.VideoFrame.from_ndarray(picture, format="gray")
        height = max(2, round(frame.height * width / frame.width / 2) * 2)
        small = frame.reformat(width=width, height=height, format="gray", interpolation=Interpolation.AREA)
        yield np.asarray(small.to_ndarray(), dtype=np.uint8)


def contact_sound(recording: FloatArray, rate: int, seconds: float = 0.6) -> FloatArray:
    """A recording cut where it begins, at RATE, its end faded: a contact is heard when it happens."""
    mono = np.asarray(resample(recording, float(rate), float(RATE)), dtype=np.float32)
    first = int(np.argmax(np.abs(mono) >= ONSET_SHARE * float(np.abs(mono).max())))
    part = mono[max(0, first - RATE // 1000) : first + int(seconds * RATE)].copy()
    fade = min(part.size, RATE // 20)
    part[part.size - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return part / max(float(np.abs(part).max()), 1e-6)


def _contacts(rng: np.random.Generator, seconds: float) -> Array:
    at, found = float(rng.uniform(0.4, 1.0)), list[float]()
    while at < seconds - 0.3:
        found.append(at)
        at += float(rng.uniform(0.35, 1.3))
    return np.array(found)


def _sound(scene: Touch, rng: np.random.Generator, contacts: Array) -> Waveform:
    total = round(scene.seconds * RATE)
    heard = rng.standard_normal(total) * 10 ** (TONE_DBFS / 20)
    for index, at in enumerate(contacts):
        piece = scene.sounds[index % len(scene.sounds)]
        first = round(float(at) * RATE)
        piece = piece[: total - first]
        heard[first : first + piece.size] += 0.5 * piece * rng.uniform(0.4, 1.0)
    return Waveform(heard.astype(np.float32)[None], RATE)


def _pictures(scene: Touch, rng: np.random.Generator, contacts: Array, times: Array) -> Iterator[ByteArray]:
    width, height = scene.size
    y, x = np.mgrid[0:height, 0:width] / min(width, height)
    ground = 110 + 60 * gaussian_filter(rng.standard_normal((height, width)), 8) * 8 + rng.uniform(-30, 30)
    shade = float(rng.choice([30.0, 60.0, 215.0, 240.0]))
    texture = shade + 15 * gaussian_filter(rng.standard_normal((height, width)), 2) * 4
    cover = {"ball": _ball, "stick": _stick, "block": _block}[scene.shape](rng, contacts, x, y)
    sway, drift = rng.uniform(0.3, 0.8, 2), rng.uniform(0.02, 0.06)
    for time in times:
        # A camera's shutter is open for a while: the mean of three moments within half a picture.
        open_s = 0.5 / scene.frame_rate
        alpha = np.mean([cover(float(time) + o * open_s) for o in (-0.5, 0.0, 0.5)], axis=0)
        picture = ground * (1 - alpha) + texture * alpha
        if scene.disturbed:
            other = _disc(x, y, 0.2 + drift * time, 0.25, 0.06)
            picture = picture * (1 - other) + 160 * other
            picture = np.roll(picture, round(2 * np.sin(2 * np.pi * sway[0] * time)), axis=1)
        picture += rng.standard_normal(picture.shape) * 1.5
        yield np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _disc(x: Array, y: Array, cx: float, cy: float, radius: float) -> Array:
    return np.clip((radius - np.hypot(x - cx, y - cy)) * 80 + 0.5, 0, 1)


def _around(contacts: Array, time: float) -> tuple[float, float]:
    """The contacts before and after a moment; beyond the ends as if there was one 0.8 s away."""
    index = int(np.searchsorted(contacts, time, "right"))
    before = contacts[index - 1] if index else contacts[0] - 0.8
    after = contacts[index] if index < contacts.size else contacts[-1] + 0.8
    return float(before), float(after)


def _ball(rng: np.random.Generator, contacts: Array, x: Array, y: Array) -> Shape:
    radius, floor, across = rng.uniform(0.06, 0.14), 0.9 * y.max(), rng.uniform(0.02, 0.08)
    highest = floor - 2 * radius

    def cover(time: float) -> Array:
        before, after = _around(contacts, time)
        span = after - before
        peak = min(highest, 0.125 * 6.0 * span**2)
        rise = 4.0 * peak * (time - before) * (after - time) / span**2
        return _disc(x, y, 0.3 * x.max() + across * time, floor - radius - max(0.0, rise), radius)

    return cover


def _stick(rng: np.random.Generator, contacts: Array, x: Array, y: Array) -> Shape:
    length, thick = rng.uniform(0.4, 0.6), rng.uniform(0.02, 0.05)
    pivot, lift, strike = (0.2 * x.max(), 0.8 * y.max()), rng.uniform(0.5, 1.0), rng.uniform(0.12, 0.25)
    top = pivot[1] - 0.02

    def cover(time: float) -> Array:
        before, after = _around(contacts, time)
        span = after - before
        down = min(strike, 0.45 * span)
        # Up again smoothly, with a rest at the block first; down ever faster.
        rise = np.clip((time - before - 0.15 * span) / max(span - down - 0.15 * span, 1e-3), 0, 1)
        fall = np.clip((time - (after - down)) / down, 0, 1)
        angle = lift * (0.5 - 0.5 * np.cos(np.pi * rise)) * (1 - fall**2)
        c, s = np.cos(angle), -np.sin(angle)
        along = np.clip(((x - pivot[0]) * c + (y - pivot[1]) * s), 0, length)
        far = np.hypot(x - pivot[0] - along * c, y - pivot[1] - along * s)
        stick = np.clip((thick - far) * 80 + 0.5, 0, 1)
        block = (np.abs(x - pivot[0] - length) < 0.1) & (y > top + thick)
        return np.maximum(stick, block * 0.7)

    return cover


def _block(rng: np.random.Generator, contacts: Array, x: Array, y: Array) -> Shape:
    half, level, rest = rng.uniform(0.06, 0.12), rng.uniform(0.4, 0.8) * y.max(), rng.uniform(0.0, 0.4)
    left, right = 0.1 * x.max() + half, 0.9 * x.max() - half

    def cover(time: float) -> Array:
        before, after = _around(contacts, time)
        moved = np.clip((time - before - rest * (after - before)) / ((1 - rest) * (after - before)), 0, 1) ** 1.3
        forth = int(np.searchsorted(contacts, time, "right")) % 2 == 0
        at = left + (right - left) * (moved if forth else 1 - moved)
        return np.clip((half - np.abs(x - at)) * 80 + 0.5, 0, 1) * np.clip((half - np.abs(y - level)) * 80 + 0.5, 0, 1)

    return cover
