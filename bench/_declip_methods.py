"""Declipping methods to compare with, written from their papers; and the sounds of bench/declip.py."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import scipy.fft
from _action_signals import decode
from scipy.linalg import LinAlgError, solve
from scipy.ndimage import uniform_filter1d
from scipy.signal import correlate

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.declip import declip
from avagent.dsp.autoregression import prediction_filter
from avagent.dsp.measures.clipping import Clipped, find_clipping
from avagent.dsp.stft import Stft

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from fetch_media import Packages, Source

Method = Callable[[FloatArray, Clipped, int], FloatArray]
PACKAGES: Mapping[str, tuple[str, str]] = {
    "asterisk-core-sounds-ru-g722": ("speech", "*.g722"),
    "asterisk-core-sounds-es-g722": ("speech", "*.g722"),
    "singularity-music": ("music", "*.ogg"),
    "fretsonfire-songs-sectoid": ("music", "*.ogg"),
    "drascula-music": ("music", "*.ogg"),
}
"""Debian packages of recordings that no limit was set on (those were Italian speech, two other games and stamps)."""

AUDIBLE_PEAK = 0.02
"""Some announcements are pauses."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A clean excerpt: where it is from, `speech` or `music`."""

    name: str
    group: str
    sound: Waveform


def recordings(folder: Path, per_package: int, seconds: float) -> Iterator[Recording]:
    """Loud excerpts of evenly chosen files of every package, fetched into the folder where they are absent."""
    packages = Packages(folder)
    for package, (group, pattern) in PACKAGES.items():
        root = folder / package
        if not root.is_dir():
            packages.unpack(Source(kind="debian", package=package, inside="", megabytes=0), ())
        files = [path for path in sorted(root.rglob(pattern)) if path.stat().st_size > 40_000]
        for path in files[:: max(1, len(files) // per_package)][:per_package]:
            sound = _excerpt(decode(path), seconds)
            if float(np.abs(sound.samples).max()) > AUDIBLE_PEAK:
                yield Recording(f"{package}/{path.stem}", group, sound)


def _excerpt(sound: Waveform, seconds: float) -> Waveform:
    """A louder part than most: at 70% of the order by power."""
    size = round(seconds * sound.rate)
    if sound.length <= size:
        return sound
    sums = np.concatenate(([0.0], np.cumsum(np.square(sound.samples, dtype=np.float64).mean(axis=0))))
    starts = np.arange(0, sound.length - size, max(1, sound.rate // 2))
    start = int(starts[np.argsort(sums[starts + size] - sums[starts])[int(0.7 * starts.size)]])
    return Waveform(np.ascontiguousarray(sound.samples[:, start : start + size]), sound.rate)


def aac(sound: Waveform, bit_rate: int) -> Waveform:
    """Through FFmpeg's AAC encoder and back, moved to where it was."""
    layout = {1: "mono", 2: "stereo"}[sound.channels]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=sound.rate, layout=layout)
        stream.bit_rate = bit_rate
        for start in range(0, sound.length, 1024):
            part = np.ascontiguousarray(sound.samples[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = sound.rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as container:
        coded = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    lag = int(correlate(coded[0], sound.samples[0], "full", "fft").argmax()) - (sound.length - 1)
    moved = coded[:, lag:] if lag >= 0 else np.pad(coded, ((0, 0), (-lag, 0)))
    out = np.zeros_like(sound.samples)
    size = min(sound.length, moved.shape[1])
    out[:, :size] = moved[:, :size]
    return Waveform(out, sound.rate)


def ours(channel: FloatArray, clipped: Clipped, rate: int) -> FloatArray:
    """What ships. It finds the clipped samples itself."""
    del clipped
    return declip(Waveform(channel[None], rate))[0].samples[0]


def janssen(channel: FloatArray, clipped: Clipped, rate: int) -> FloatArray:
    """Autoregressive interpolation (Janssen, Veldhuis & Vries 1986), held outside the clipping level; 64 ms at a time.

    This is what the action did before.
    """
    out, mask = channel.copy(), clipped.high | clipped.low
    frame, order = max(256, round(0.064 * rate)), max(16, round(0.003 * rate))
    for start in range(0, channel.size, frame):
        stop = min(channel.size, start + frame)
        low, high = max(0, start - 2 * order), min(channel.size, stop + 2 * order)
        part, unknown = out[low:high].astype(np.float64), np.flatnonzero(mask[low:high])
        if not mask[start:stop].any() or unknown.size > 0.5 * part.size or part.size < 4 * order:
            continue
        level = channel[low + unknown].astype(np.float64)
        for _ in range(3):
            estimate = _interpolated(part, unknown, prediction_filter(part, order))
            part[unknown] = np.sign(level) * np.clip(np.sign(level) * estimate, np.abs(level), 4.0 * np.abs(level))
        inner = (unknown >= start - low) & (unknown < stop - low)
        out[low + unknown[inner]] = part[unknown[inner]]
    return out


def _interpolated(
    part: npt.NDArray[np.float64], unknown: npt.NDArray[np.intp], coefficients: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    full = np.correlate(coefficients, coefficients, "full")
    lags = np.zeros(part.size)
    lags[: coefficients.size] = full[coefficients.size - 1 :]
    known = part.copy()
    known[unknown] = 0.0
    matrix = lags[np.abs(unknown[:, None] - unknown[None, :])]
    matrix[np.diag_indices_from(matrix)] *= 1.0 + 1e-6
    try:
        return np.asarray(solve(matrix, -np.convolve(known, full, "same")[unknown], assume_a="pos"))
    except LinAlgError:
        return part[unknown]


def a_spade(channel: FloatArray, clipped: Clipped, rate: int) -> FloatArray:
    """A-SPADE (Kitić, Bertin & Gribonval 2015): windows of 64 ms, 75% overlap, DFT twice oversampled, s = r = 1."""
    frame = 4 * round(0.016 * rate)
    hop, pad = frame // 4, frame - frame // 4
    count = -(-(channel.size + pad) // hop)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)).astype(np.float32)

    def cut(values: np.ndarray) -> np.ndarray:
        padded = np.zeros((count - 1) * hop + frame, values.dtype)
        padded[pad : pad + channel.size] = values
        return np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop]

    frames = cut(channel) * window
    high, low = cut(clipped.high), cut(clipped.low)
    busy = np.flatnonzero((high | low).any(axis=1))
    least = np.where(low, -np.inf, frames)[busy].astype(np.float32)
    most = np.where(high, np.inf, frames)[busy].astype(np.float32)
    frames[busy] = _a_spade_frames(frames[busy], least, most)
    out = np.zeros((count + 3, hop), np.float32)
    for k, part in enumerate(frames.reshape(count, 4, hop).transpose(1, 0, 2)):
        out[k : k + count] += part
    return out.ravel()[pad : pad + channel.size] / np.float32(2.0)


def _a_spade_frames(frames: FloatArray, least: FloatArray, most: FloatArray) -> FloatArray:
    size = 2 * frames.shape[1]
    spectrum = scipy.fft.rfft(frames, size, axis=1, norm="ortho")
    dual, out, live = np.zeros_like(spectrum), frames.copy(), np.arange(len(frames))
    for kept in range(1, 401):
        total = spectrum[live] + dual[live]
        magnitude = np.abs(total)
        bound = -np.partition(-magnitude, kept - 1, axis=1)[:, kept - 1 : kept]
        sparse = total * (magnitude >= bound)
        back = scipy.fft.irfft(sparse - dual[live], size, axis=1, norm="ortho")[:, : frames.shape[1]]
        out[live] = np.clip(back, least[live], most[live])
        spectrum[live] = scipy.fft.rfft(out[live], size, axis=1, norm="ortho")
        rest = spectrum[live] - sparse
        dual[live] += rest
        live = live[np.linalg.norm(rest, axis=1) > 0.01 * np.linalg.norm(sparse, axis=1)]
        if live.size == 0:
            break
    return out


def social_sparsity(channel: FloatArray, clipped: Clipped, rate: int) -> FloatArray:
    """Social sparsity with the persistent empirical Wiener operator (Siedenburg, Kowalski & Dörfler 2014).

    Neighbourhood of 3 frequencies by 7 frames; 20 thresholds of 50 relaxed iterations each; made consistent at the end.
    """
    stft = Stft.of_seconds(0.064, rate)
    answer = stft.analyse(channel[None])
    before = current = answer
    for threshold in np.abs(answer).max() * np.geomspace(0.1, 1e-4, 20):
        for _ in range(50):
            rest = channel - stft.synthesise(current, channel.size)[0]
            rest = np.where(clipped.high, np.maximum(rest, 0.0), np.where(clipped.low, np.minimum(rest, 0.0), rest))
            total = current + stft.analyse(rest[None].astype(np.float32))
            power = uniform_filter1d(uniform_filter1d(np.square(np.abs(total)), 7, axis=1), 3, axis=2)
            answer = total * np.maximum(0.0, 1.0 - threshold**2 / np.maximum(power, 1e-20)).astype(np.float32)
            current, before = answer + np.float32(0.9) * (answer - before), answer
    sound = stft.synthesise(answer, channel.size)[0]
    least = np.where(clipped.low, -np.inf, channel)
    return np.clip(sound, least, np.where(clipped.high, np.inf, channel)).astype(np.float32)


METHODS: Mapping[str, Method] = {
    "volume(declip=True)": ours,
    "autoregressive (Janssen), as before": janssen,
    "A-SPADE": a_spade,
    "social sparsity (PEW)": social_sparsity,
}


def told(channel: FloatArray) -> Clipped:
    """Where it is clipped, for methods that have to be told."""
    return find_clipping(channel)
