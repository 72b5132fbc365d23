"""Clipped samples, also where a lossy codec has rounded the plateaus off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avagent.core.media import FloatArray, Waveform

_PLATEAU = 5e-4
_SHORTEST_RUN = 3
_QUIET = 0.01
_RANGE_DB, _BINS_PER_DB, _HIGHEST_DB = 20.0, 4, 8.0
_BELOW = slice(3, 10)
_PILE = 1.7
_NEAR, _HALF, _OVER = 0.92, 0.5, 1.1
_FLAT = 0.65
_MOST_OVERSHOOT = 0.04
_TONE_BLOCK, _TONE_WIDTH, _TONE_SHARE = 8192, 0.05, 0.97


def clipping_ratio(waveform: Waveform) -> float:
    """Share of samples that lie in clipped runs, in [0, 1].

    Two marks: exact plateaus at the channel's highest level, flatter than their flanks allow; and where there are
    none, since lossy coding turns plateaus into ripples, a pile of samples around one level near the top in a
    distribution that otherwise falls off towards it.
    """
    clipped = sum(_plateaus(channel) or _pile(channel) for channel in waveform.samples)
    return clipped / max(1, waveform.samples.size)


def _plateaus(channel: FloatArray) -> int:
    """Samples in runs of at least three within 0.05% of the highest level."""
    total = 0
    for sign in (1.0, -1.0):
        top = sign * float(channel.max(initial=0.0) if sign > 0.0 else channel.min(initial=0.0))
        if top < _QUIET:
            continue
        high = channel >= top * (1.0 - _PLATEAU) if sign > 0.0 else channel <= -top * (1.0 - _PLATEAU)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], high, [False])).astype(np.int8)))
        starts, stops = edges[::2], edges[1::2]
        lengths = stops - starts
        total += int(lengths[(lengths >= _SHORTEST_RUN) & _flat(channel, starts, stops)].sum())
    return total


def _flat(channel: FloatArray, starts: npt.NDArray[np.intp], stops: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Whether a parabola through the flanks would leave the tolerance within the plateau."""
    top = np.abs(channel[starts])
    before = np.abs(channel[np.maximum(starts - 2, 0)])
    after = np.abs(channel[np.minimum(stops + 1, channel.size - 1)])
    drop = np.maximum(top - 0.5 * (before + after), 0.0)
    half = 0.5 * (stops - starts)
    # A parabola that has fallen by `drop` two samples beyond the plateau has fallen by this much at its end.
    return drop * np.square(half / (half + 2.0)) > 4.0 * _PLATEAU * top


def _pile(channel: FloatArray) -> int:
    """Samples within 8% below a level where they pile up, or beyond it; 0 if they do not.

    Limits from 90 recordings, clean and clipped by 3 to 12 dB, before and after AAC: the density at the best level
    is at most 1.2 times that of 1 to 2.5 dB below it in clean sound, and 1.7 to 20 times where 6 dB were clipped.
    """
    magnitude = np.abs(channel)
    top = float(magnitude.max(initial=0.0))
    if top < _QUIET:
        return 0
    high = magnitude[magnitude > top * 10.0 ** (-_RANGE_DB / 20.0)]
    bins = int(_RANGE_DB * _BINS_PER_DB)
    index = np.minimum((np.log10(high / top) * (20.0 * _BINS_PER_DB)).astype(np.int32) + bins, bins - 1)
    levels = top * 10.0 ** ((np.arange(bins) + 0.5 - bins) / (20.0 * _BINS_PER_DB))
    counts = np.convolve(np.bincount(index, minlength=bins), np.full(3, 1.0 / 3.0), "same")
    density = counts / levels
    first = bins - int(_HIGHEST_DB * _BINS_PER_DB)
    below = np.lib.stride_tricks.sliding_window_view(density, _BELOW.stop - _BELOW.start)
    expected = np.median(below[first - _BELOW.stop : bins - _BELOW.stop], axis=1) + 2.0 / levels[first:]
    excess = density[first:] / expected
    place = int(np.argmax(excess))
    best, level = float(excess[place]), float(levels[first + place])
    near = magnitude >= _NEAR * level
    overshoot = np.count_nonzero(magnitude > _OVER * level) / magnitude.size
    if best < _PILE or overshoot > _MOST_OVERSHOOT or _flatness(magnitude, near, level) < _FLAT or _is_tone(channel):
        return 0
    return int(np.count_nonzero(near))


def _flatness(magnitude: FloatArray, near: npt.NDArray[np.bool_], level: float) -> float:
    """Time near the level over time on the way there from half of it, in the swings that reach it.

    0.63 for a sine wave, less for speech.
    """
    above = magnitude >= _HALF * level
    swing = np.cumsum(np.diff(above, prepend=False))[above] // 2
    close = near[above]
    reached = np.zeros(int(swing[-1]) + 1, np.bool_)
    reached[swing[close]] = True
    return float(np.count_nonzero(close)) / max(1, np.count_nonzero(reached[swing] & ~close))


def _is_tone(channel: FloatArray) -> bool:
    """Whether the loudest part is a sine wave: that piles up at its peak by nature. A clipped one has harmonics."""
    size = min(_TONE_BLOCK, channel.size)
    blocks = channel[: channel.size // size * size].reshape(-1, size)
    loudest = blocks[int(np.argmax(np.square(blocks).sum(axis=1)))]
    power = np.square(np.abs(np.fft.rfft(loudest * np.hanning(size))))
    peak = int(np.argmax(power))
    reach = max(3, round(_TONE_WIDTH * peak))
    return float(power[max(0, peak - reach) : peak + reach + 1].sum()) > _TONE_SHARE * float(power.sum())
