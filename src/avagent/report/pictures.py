"""Waveforms and spectrograms of a sound before and after, each pair on one scale of time, level and frequency."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from avagent.core.media import ByteArray, FloatArray, Waveform
from avagent.dsp.stft import Stft, power_of

COLUMNS = 320
"""Of a waveform."""
WIDTH, HEIGHT = 480, 120
"""Of a spectrogram, in pixels."""
RANGE_DB = 80.0
LOWEST_HZ = 60.0
_FRAME_S = 0.032
_TICKS_HZ = (100, 1_000, 4_000, 16_000)
_RAMP = (
    (0.00, (8, 9, 22)),
    (0.25, (53, 28, 96)),
    (0.50, (148, 44, 104)),
    (0.75, (233, 108, 64)),
    (0.90, (251, 186, 92)),
    (1.00, (252, 246, 206)),
)
"""Colours from silent to loud: lightness rises all the way, so that it reads in grey and with any colour vision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What both sounds of a pair are drawn on.

    Attributes:
        seconds: the whole width.
        peak: largest magnitude, the whole height of a waveform.
        loudest_db: what is drawn brightest.
        top_hz: the upper edge of a spectrogram.
    """

    seconds: float
    peak: float
    loudest_db: float
    top_hz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A sound as pictures.

    Attributes:
        path: of the waveform, for an SVG with a view box of COLUMNS times 100.
        pixels: of the spectrogram, uint8 [HEIGHT, WIDTH, 3].
    """

    path: str
    pixels: ByteArray


def draw(sounds: list[Waveform], seconds: float) -> tuple[Scale, list[Drawn]]:
    """The sounds on one scale, up to so many seconds; at least one of them is needed."""
    cut = [Waveform(np.nan_to_num(s.samples[:, : max(1, round(seconds * s.rate))]), s.rate) for s in sounds]
    top = max(min(sound.rate / 2, 16_000.0) for sound in cut)
    spectra = [_spectrogram(sound, top, seconds) for sound in cut]
    peak = max(float(np.abs(sound.samples).max(initial=0.0)) for sound in cut)
    loudest = max(float(spectrum.max()) for spectrum in spectra)
    scale = Scale(seconds=seconds, peak=max(peak, 1e-4), loudest_db=loudest, top_hz=top)
    return scale, [
        Drawn(path=_path(sound, scale), pixels=_coloured((spectrum - loudest) / RANGE_DB + 1.0))
        for sound, spectrum in zip(cut, spectra, strict=True)
    ]


def frequency_ticks(scale: Scale) -> list[tuple[str, float]]:
    """Labels, and how far below the top they stand, in percent of the height."""
    span = np.log(scale.top_hz / LOWEST_HZ)
    return [
        (f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz", round(100.0 * float(np.log(scale.top_hz / hz) / span), 1))
        for hz in _TICKS_HZ
        if LOWEST_HZ < hz < scale.top_hz * 0.95
    ]


def _path(sound: Waveform, scale: Scale) -> str:
    """The lowest and the highest sample of every column, as one outline; whole numbers keep it short."""
    mono = sound.mono() / scale.peak
    columns = max(1, min(COLUMNS, round(COLUMNS * mono.size / sound.rate / scale.seconds)))
    edges = np.linspace(0, mono.size, columns, endpoint=False).astype(np.int64)
    high = np.rint(50.0 - 48.0 * np.maximum.reduceat(mono, edges)).astype(int)
    low = np.rint(50.0 - 48.0 * np.minimum.reduceat(mono, edges)).astype(int)
    bottom: list[int] = low.tolist()
    upper = " ".join(f"{x},{y}" for x, y in enumerate(high.tolist()))
    lower = " ".join(f"{x},{y + 1}" for x, y in reversed(tuple(enumerate(bottom))))
    return f"M{upper} {lower}Z"


def _spectrogram(sound: Waveform, top_hz: float, seconds: float) -> FloatArray:
    """float32 [HEIGHT, WIDTH]: level in dB over the logarithm of frequency, highest first, and time."""
    stft = Stft.of_seconds(_FRAME_S, sound.rate)
    power = power_of(stft.analyse(sound.mono()[np.newaxis])[0])
    bands = power @ _bands(sound.rate, stft.frame, top_hz)
    # Frame i is centred 2 hops before its end, which is (i + 1) hops into the sound.
    times = (np.arange(WIDTH) + 0.5) * seconds / WIDTH
    frames = np.rint(times * sound.rate / stft.hop + 1.0).astype(np.int64)
    level = 10.0 * np.log10(bands + 1e-10)
    drawn = level[np.minimum(frames, level.shape[0] - 1)]
    drawn[times > sound.duration] = level.min()
    return np.ascontiguousarray(drawn.T[::-1]).astype(np.float32)


@cache
def _bands(rate: int, frame: int, top_hz: float) -> FloatArray:
    """float32 [bins, HEIGHT]: weights that bring bins to bands of equal ratios, each with at least its nearest bin."""
    bins = np.arange(frame // 2 + 1) * rate / frame
    edges = np.geomspace(LOWEST_HZ, top_hz, HEIGHT + 1)
    inside = (bins[:, np.newaxis] >= edges[:-1]) & (bins[:, np.newaxis] < edges[1:])
    centres = np.sqrt(edges[:-1] * edges[1:])
    inside[np.abs(bins[:, np.newaxis] - centres).argmin(axis=0), np.arange(HEIGHT)] = True
    return (inside / inside.sum(axis=0)).astype(np.float32)


def _coloured(share: FloatArray) -> ByteArray:
    """uint8 [..., 3] of shares in [0, 1]."""
    return _table()[np.rint(np.clip(share, 0.0, 1.0) * 255.0).astype(np.uint8)]


@cache
def _table() -> npt.NDArray[np.uint8]:
    at = np.linspace(0.0, 1.0, 256)
    places = [place for place, _ in _RAMP]
    return np.stack([np.interp(at, places, [c[i] for _, c in _RAMP]) for i in range(3)], axis=1).astype(np.uint8)
