"""Clipped samples, also where a lossy codec has rounded the plateaus off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.products import moving_mean

Mask = npt.NDArray[np.bool_]

_PLATEAU = 5e-4
_SHORTEST_RUN, _LEAST_RUNS = 3, 2
_QUIET = 0.01
_RANGE_DB, _BINS_PER_DB, _HIGHEST_DB = 20.0, 4, 8.0
_BELOW = slice(3, 10)
_PILE = 1.0
_NEAR, _HALF, _OVER = 0.92, 0.5, 1.1
_FLAT = 0.5
_CUT_OFF, _PILE_CUT_OFF = 0.45, 0.7
_MOST_OVERSHOOT = 0.04
_TONE_BLOCK, _TONE_WIDTH, _TONE_SHARE = 8192, 0.05, 0.97


@dataclass(frozen=True, slots=True, eq=False)
class Clipped:
    """Where one channel is clipped.

    Attributes:
        high: bool [samples]: what is known of the original is that it lay at this value or above.
        low: the same, at this value or below.
    """

    high: Mask
    low: Mask

    @property
    def count(self) -> int:
        """Samples that are clipped."""
        return int(np.count_nonzero(self.high)) + int(np.count_nonzero(self.low))


def find_clipping(channel: FloatArray) -> Clipped:
    """The clipped samples of one channel, float32 [samples]; none where nothing tells of clipping.

    Two marks: exact plateaus at the channel's highest level, flatter than their flanks allow; and where there are
    none, since lossy coding turns plateaus into ripples, a pile of samples around one level near the top in a
    distribution that otherwise falls off towards it. Behind a codec the samples within 8% of that level are taken as
    clipped: some of them are not, but that they lay where they are, or above, holds for them as well.
    """
    high, low = _plateaus(channel, 1.0), _plateaus(channel, -1.0)
    if not high.any() and not low.any() and (level := _pile(channel)) > 0.0:
        high, low = channel >= _NEAR * level, channel <= -_NEAR * level
    return Clipped(high, low)


def clipping_ratio(waveform: Waveform) -> float:
    """Share of samples that are clipped (:func:`find_clipping`), in [0, 1]."""
    clipped = sum(find_clipping(channel).count for channel in waveform.samples)
    return clipped / max(1, waveform.samples.size)


def _plateaus(channel: FloatArray, sign: float) -> Mask:
    """Samples at the highest (sign 1) or lowest level, if runs of at least three come back to it."""
    signed = channel if sign > 0.0 else -channel
    top = float(signed.max(initial=0.0))
    high = signed >= top * (1.0 - _PLATEAU)
    if top < _QUIET:
        return np.zeros_like(high)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], high, [False])).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    long = (stops - starts >= _SHORTEST_RUN) & _flat(signed, starts, stops)
    if np.count_nonzero(long) < _LEAST_RUNS or _square(signed, starts[long], stops[long]):
        return np.zeros_like(high)
    return high


def _flat(signed: FloatArray, starts: npt.NDArray[np.intp], stops: npt.NDArray[np.intp]) -> Mask:
    """Whether a parabola through the flanks would leave the tolerance within the plateau."""
    top = signed[starts]
    before = signed[np.maximum(starts - 2, 0)]
    after = signed[np.minimum(stops + 1, signed.size - 1)]
    drop = np.maximum(top - 0.5 * (before + after), 0.0)
    half = 0.5 * (stops - starts)
    # A parabola that has fallen by `drop` two samples beyond the plateau has fallen by this much at its end.
    return drop * np.square(half / (half + 2.0)) > 4.0 * _PLATEAU * top


def _square(signed: FloatArray, starts: npt.NDArray[np.intp], stops: npt.NDArray[np.intp]) -> bool:
    """Whether most plateaus are entered and left by a jump, as those of a synthesizer's square wave.

    A sound that is clipped runs into its plateau: the sample beside it is on the same side.
    """
    beside = np.maximum(signed[np.maximum(starts - 1, 0)], signed[np.minimum(stops, signed.size - 1)])
    return 2 * int(np.count_nonzero(beside <= 0.0)) > starts.size


def _pile(channel: FloatArray) -> float:
    """The level at which samples pile up; 0 if they do not.

    The density at that level over that of 1 to 2.5 dB below it, times the share of crests that were cut off
    (:func:`_cut_off`): at most 0.55 in clean recordings and limited ones, 0.73 to 20 where 6 dB or more were clipped,
    all after AAC. Each alone overlaps.
    """
    magnitude = np.abs(channel)
    top = float(magnitude.max(initial=0.0))
    if top < _QUIET:
        return 0.0
    high = magnitude[magnitude > top * 10.0 ** (-_RANGE_DB / 20.0)]
    bins = int(_RANGE_DB * _BINS_PER_DB)
    index = np.minimum((np.log10(high / top) * (20.0 * _BINS_PER_DB)).astype(np.int32) + bins, bins - 1)
    levels = top * 10.0 ** ((np.arange(bins) + 0.5 - bins) / (20.0 * _BINS_PER_DB))
    counts = moving_mean(np.pad(np.bincount(index, minlength=bins).astype(np.float64), 1), 3)
    density = counts / levels
    first = bins - int(_HIGHEST_DB * _BINS_PER_DB)
    below = np.lib.stride_tricks.sliding_window_view(density, _BELOW.stop - _BELOW.start)
    expected = np.median(below[first - _BELOW.stop : bins - _BELOW.stop], axis=1) + 2.0 / levels[first:]
    excess = density[first:] / expected
    place = int(np.argmax(excess))
    best, level = float(excess[place]), float(levels[first + place])
    near = magnitude >= _NEAR * level
    overshoot = np.count_nonzero(magnitude > _OVER * level) / magnitude.size
    if best < _PILE or overshoot > _MOST_OVERSHOOT or _flatness(magnitude, near, level) < _FLAT:
        return 0.0
    cut = _cut_off(magnitude, near, level)
    return level if cut >= _CUT_OFF and cut * best >= _PILE_CUT_OFF and not _is_tone(channel) else 0.0


def _flatness(magnitude: FloatArray, near: Mask, level: float) -> float:
    """Time near the level over time on the way there from half of it, in the swings that reach it.

    0.63 for a sine wave, less for speech.
    """
    above = magnitude >= _HALF * level
    swing = np.cumsum(np.diff(above, prepend=False))[above] // 2
    close = near[above]
    reached = np.zeros(int(swing[-1]) + 1, np.bool_)
    reached[swing[close]] = True
    return float(np.count_nonzero(close)) / max(1, np.count_nonzero(reached[swing] & ~close))


def _cut_off(magnitude: FloatArray, near: Mask, level: float) -> float:
    """Share of the time near the level in crests that would have risen twice as far beyond it, in [0, 1].

    A parabola with the slopes of the two flanks rises by slope times width / 4. Crests of a steady tone, a swell or a
    synthesizer come about as high as that, and a square wave has no flanks: 0 to 0.46, clean and limited recordings
    included. Where 6 dB or more were clipped, 0.66 to 0.99 in most after AAC, 0.34 to 0.55 in some whose crests last
    three samples.
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], near, [False])).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    whole = (stops - starts >= _SHORTEST_RUN) & (starts >= 2) & (stops < magnitude.size - 1)
    starts, stops = starts[whole], stops[whole]
    if starts.size == 0:
        return 0.0
    width = (stops - starts).astype(np.float64)
    slope = 0.25 * (magnitude[starts] - magnitude[starts - 2] + magnitude[stops - 1] - magnitude[stops + 1])
    rise = np.maximum.reduceat(magnitude, np.column_stack((starts, stops)).ravel())[::2] - _NEAR * level
    return float(width[0.25 * slope * width > 2.0 * rise].sum() / width.sum())


def _is_tone(channel: FloatArray) -> bool:
    """Whether the loudest part is a sine wave: that piles up at its peak by nature. A clipped one has harmonics."""
    size = min(_TONE_BLOCK, channel.size)
    blocks = channel[: channel.size // size * size].reshape(-1, size)
    loudest = blocks[int(np.argmax(np.square(blocks).sum(axis=1)))]
    power = np.square(np.abs(np.fft.rfft(loudest * np.hanning(size))))
    peak = int(np.argmax(power))
    reach = max(3, round(_TONE_WIDTH * peak))
    return float(power[max(0, peak - reach) : peak + reach + 1].sum()) > _TONE_SHARE * float(power.sum())
