"""Mains hum: steady lines at a fundamental near 50 or 60 Hz and its multiples.

What tells hum from notes, voices and engines is constancy: one frequency, one amplitude and one phase from the first
sample to the last, also where the programme is quiet. So the spectrum is taken over seconds, with the loud moments
weighted down (the maximum-likelihood weights for a line in noise of changing power), and each line found has to show
the same complex amplitude in nearly every part of the clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from avagent.core.media import Waveform
from avagent.dsp.products import energy
from avagent.dsp.resampling import resample

Array = npt.NDArray[np.float64]

_RATE = 4000
_FFT = 1 << 17
_BAND = (40.0, 1800.0)
_BLOCK_S = 16.0
_MAX_BLOCKS = 6
_SHORTEST_S = 0.75
_TRACE_SNR = 6.0
_HIGHEST_FIRST = 3
_BY_LINES = {1: 0.7, 2: 0.85}
_LINE_SNR = 25.0
"""Power of a line over the median around it: 14 dB, chance 3e-8 a bin in Gaussian noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hum:
    """Hum that was found.

    Attributes:
        fundamental_hz: in Hz, 45 to 66 or 90 to 132 (full-wave rectified).
        level_db: power of all its lines relative to the whole clip, in dB.
        confidence: in [0, 1].
        harmonics: orders of the lines found, ascending; 1 is the fundamental.
    """

    fundamental_hz: float
    level_db: float
    confidence: float
    harmonics: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """Part of one channel at the working rate, and its weights over time (unit energy)."""

    samples: Array
    weights: Array


def detect_hum(waveform: Waveform) -> Hum | None:
    """The hum in a clip, blind.

    Args:
        waveform: finite samples, any rate and number of channels.

    Returns:
        None where there is none, or the clip is shorter than 0.75 s or silent.
    """
    if waveform.duration < _SHORTEST_S or waveform.rate < 2000:
        return None
    blocks = _blocks(waveform)
    if not blocks:
        return None
    power = sum((_periodogram(b) for b in blocks), start=np.zeros(_FFT // 2 + 1))
    length = min(b.samples.size for b in blocks) / _RATE
    top = min(_BAND[1], 0.45 * waveform.rate)
    prominence = _prominence(power, length)
    found = _fundamental(prominence, length, top)
    if found is None:
        return None
    coarse, orders = found
    fundamental = _refine(power, prominence, coarse, orders)
    lines = [_line(blocks, fundamental * k) for k in orders]
    constancy = np.array([c for _, c in lines])
    powers = np.array([p for p, _ in lines])
    keep = constancy > 0.35
    total = energy(waveform.samples) / waveform.samples.size
    if not keep.any() or total <= 0.0:
        return None
    level = 10.0 * float(np.log10(powers[keep].sum() / total + 1e-12))
    steadiness = float(np.average(constancy[keep], weights=powers[keep]))
    kept = tuple(int(k) for k, ok in zip(orders, keep, strict=True) if ok)
    confidence = _confidence(fundamental, steadiness, level, kept, length)
    if confidence < 0.1:
        return None
    return Hum(fundamental_hz=fundamental, level_db=level, confidence=confidence, harmonics=kept)


def _blocks(waveform: Waveform) -> list[_Block]:
    size = min(waveform.length, int(_BLOCK_S * waveform.rate))
    count = min(_MAX_BLOCKS, waveform.length // size)
    starts = np.linspace(0, waveform.length - size, count).astype(int)
    blocks: list[_Block] = []
    for start in starts:
        for channel in waveform.samples[:, start : start + size]:
            samples = resample(channel, waveform.rate, _RATE, "MQ")
            if float(np.max(np.abs(samples), initial=0.0)) > 1e-5:
                blocks.append(_Block(samples, _weights(samples)))
    return blocks


def _weights(samples: Array) -> Array:
    """Inverse of the local power in the hum's band, times a Hann window: loud moments count little."""
    band = samples - uniform_filter1d(samples, _RATE // 20)
    local = uniform_filter1d(np.square(band), _RATE // 5)
    local = local + 0.05 * float(np.median(local)) + 1e-3 * float(np.mean(local)) + 1e-14
    inverse = uniform_filter1d(1.0 / local, _RATE // 5)
    window = np.hanning(samples.size) * inverse
    return window / np.sqrt(np.sum(np.square(window)))


def _periodogram(block: _Block) -> Array:
    transform = np.asarray(rfft(block.samples * block.weights, _FFT))
    spectrum = np.square(transform.real) + np.square(transform.imag)
    return spectrum / (float(np.mean(spectrum)) + 1e-30)


def _prominence(power: Array, length: float) -> Array:
    """Power over the median of its surroundings (about ±12 Hz, wider for short clips)."""
    step = _RATE / _FFT
    width = int(max(8.0, 6.0 / length) / step)
    count = power.size // width
    middle = width // 2
    medians = np.partition(power[: count * width].reshape(count, width), middle, axis=1)[:, middle]
    padded = np.concatenate([medians[:1], medians, medians[-1:]])
    smooth = np.maximum(medians, np.minimum(padded[:-2], padded[2:]))
    centres = (np.arange(count) + 0.5) * width
    floor = np.interp(np.arange(power.size), centres, smooth)
    return power / (floor + 1e-30)


def _fundamental(prominence: Array, length: float, top: float) -> tuple[float, list[int]] | None:
    """The fundamental whose multiples hold most prominent lines, and their orders."""
    step = _RATE / _FFT
    reach = max(3, int(0.7 / length / step) | 1)
    peaks = maximum_filter1d(prominence, reach)
    candidates, orders, index, inside = _candidates(top)
    gain = np.where(inside, np.log(peaks[index] / _LINE_SNR), 0.0)
    hits = np.maximum(gain, 0.0)
    # A harmonic missing below one that is there speaks for another fundamental; missing high ones are the rule.
    below = np.flip(np.maximum.accumulate(np.flip(hits > 0.0, axis=1), axis=1), axis=1)
    absent = peaks[index] < _TRACE_SNR
    misses = np.where(inside & below & absent, 0.35 / orders[None, :], 0.0)
    score = hits.sum(axis=1) - misses.sum(axis=1)
    best = int(np.argmax(score))
    if score[best] <= 0.0:
        return None
    # A line too faint to count alone counts below one that is not; its constancy is still to be shown.
    found = [int(k) for k in orders[(hits[best] > 0.0) | (inside[best] & below[best] & ~absent[best])]]
    if found[0] > _HIGHEST_FIRST:
        return None
    return float(candidates[best]), found


@lru_cache(maxsize=4)
def _candidates(top: float) -> tuple[Array, Array, npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Fundamentals in Hz; orders; where their multiples lie in the spectrum [fundamentals, orders], and which count."""
    fundamentals = np.concatenate([np.arange(45.0, 66.0, 0.05), np.arange(90.0, 132.0, 0.05)])
    orders = np.arange(1.0, int(top / 45.0) + 1.0)
    frequencies = fundamentals[:, None] * orders[None, :]
    index = np.minimum((frequencies * (_FFT / _RATE)).round().astype(np.intp), _FFT // 2)
    return fundamentals, orders, index, frequencies < top


def _refine(power: Array, prominence: Array, coarse: float, orders: list[int]) -> float:
    """Parabolic peaks of every line, combined with the weights of their precision."""
    step = _RATE / _FFT
    estimates: list[float] = []
    weights: list[float] = []
    for order in orders:
        centre = round(coarse * order / step)
        reach = max(2, round((0.1 + 0.03 * order) / step))
        low = max(1, centre - reach)
        peak = low + int(np.argmax(power[low : min(centre + reach + 1, power.size - 1)]))
        left, middle, right = np.log(power[peak - 1 : peak + 2] + 1e-30)
        bend = left - 2.0 * middle + right
        offset = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
        estimates.append((peak + float(np.clip(offset, -0.5, 0.5))) * step / order)
        weights.append(order * order * float(np.log(prominence[peak] + 1.0)))
    middle_estimate = float(np.median(estimates))
    close = np.abs(np.asarray(estimates) - middle_estimate) < 0.15
    return float(np.average(np.asarray(estimates)[close], weights=np.asarray(weights)[close]))


def _line(blocks: list[_Block], frequency: float) -> tuple[float, float]:
    """Power of a line, and its constancy: 1 where its amplitude and phase are the same in every part."""
    powers: list[float] = []
    shares: list[Array] = []
    for block in blocks:
        time = np.arange(block.samples.size) / _RATE
        rotated = np.asarray(block.samples * np.exp(-2j * np.pi * frequency * time), dtype=np.complex128)
        amplitude = complex(np.sum(rotated * block.weights) / np.sum(block.weights))
        parts = int(np.clip(block.samples.size / (0.25 * _RATE), 4, 24))
        means = np.array([np.mean(p * np.hanning(p.size)) * 2.0 for p in np.array_split(rotated, parts)])
        share = np.real(means * np.conj(amplitude)) / (abs(amplitude) ** 2 + 1e-30)
        # What is seen through a loud moment says nothing of the line: the quieter half of the parts decides.
        weight = np.array(
            [np.mean(part) for part in np.array_split(block.weights / np.hanning(time.size + 2)[1:-1], parts)]
        )
        shares.append(share[weight >= np.median(weight)])
        powers.append(2.0 * abs(amplitude) ** 2)
    share = np.concatenate(shares)
    low, centre = np.quantile(share, (0.2, 0.5))
    constancy = np.clip(min(low / 0.8, 1.6 - abs(centre - 1.0)), 0.0, 1.0)
    return float(np.mean(powers)), float(constancy)


def _confidence(fundamental: float, steadiness: float, level: float, orders: tuple[int, ...], length: float) -> float:
    """How surely this is hum: steady, of mains frequency, more than one line, heard for seconds, not inaudibly weak."""
    octave = fundamental / 2.0 if fundamental > 80.0 else fundamental
    distance = min(abs(octave - 50.0) / 50.0, abs(octave - 60.0) / 60.0)
    # Mains keeps within 1%; a copy played 4% fast (film at 25 frames/s) does not.
    mains = float(np.clip(1.0 - (distance - 0.02) / 0.04, 0.5, 1.0))
    several = _BY_LINES.get(len(orders), 1.0) if orders[0] == 1 else 0.6 * _BY_LINES.get(len(orders), 1.0)
    seconds = float(np.clip((length - 0.25) / 1.75, 0.2, 1.0))
    audible = float(np.clip((level + 55.0) / 20.0, 0.0, 1.0))
    return steadiness * mains * several * seconds * audible
