"""Lips against a voice: when the mouth opens, and when the voice swells.

A mouth that talks opens for vowels, and the sound swells as it opens. Four pairs of curves are compared, all
band-passed to the rates of syllables: how far the jaw is down against the level of the voice, how fast the lips close
against how fast the level falls, how fast they open against how fast it rises, and how fast they move at all against
how fast it changes. Closing tells most: lips that close end the sound at once, while they often open for breath before
it begins. The level is that of the second and third
formants' range, which follows the mouth's opening best (Grant & Seitz 2000, J. Acoust. Soc. Am. 108(3), 1197-1208).
Chance is measured on the clip itself: the same lips against the same voice with its pieces in another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

from avagent.core.errors import ParameterError
from avagent.core.media import FloatArray, TimeArray, Waveform
from avagent.core.timing import LAG_STEP_MS, MOST_LAG_MS, TimeCue, lag_grid, tempo_grid
from avagent.dsp.measures.chance import Chance, fit_chance
from avagent.dsp.products import log_average

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Spectrum = npt.NDArray[np.complex128]

NAME = "lips"
RATE = 1000.0 / LAG_STEP_MS
"""Of all curves, in Hz: one value a step of the lags."""
LEAST_RATE = 20.0
"""Pictures per second: at 12 the lag is wrong by up to 0.6 s, and nothing in the correlation tells."""
LEAST_SECONDS, LEAST_STRETCH_S, LONGEST_GAP_S = 5.0, 2.0, 0.15
"""Of a face in all, of one that is counted, and of pictures without it in between."""
SYLLABLES_HZ = (1.5, 8.0)
"""Band of the curves: what is slower is breath and pose, what is faster is the landmarks' noise."""
VOICE_HZ = (1500.0, 3500.0)
LEAD_MS, LEAD_SPREAD_MS = 30.0, 30.0
"""By how much lips are ahead of the voice in films that are in time, and how films differ."""
STRENGTH, STRENGTH_SPREAD = 0.4, 0.08
"""Correlation of a talker's lips with the voice: 0.34 and 0.43 in the films of `bench/timing_lips.py`, group `set`."""
SHUFFLES = 100
_DIGITAL_SILENCE = 1e-5
_LEAST_POWER = 1e-3
_SMOOTH_S = 0.02
_PAIRS = 4
_LEAST_OVERLAP_S = 3.0
_LEVEL_S, _ZEROS_S = 0.03, 0.06
_PIECE_S = (0.25, 0.8)


@dataclass(frozen=True, slots=True, eq=False)
class Mouth:
    """A mouth over time; distances in shares of the face's height, NaN where no face was found.

    Attributes:
        times: float64 [n], ascending, in s from the first sample of the sound; repeated pictures left out.
        inner: float32 [n], between the inner edges of the lips.
        outer: float32 [n], between their outer edges.
        jaw: float32 [n], from the nose to the chin.
        cuts: float64 [k], ascending, in s: the first picture after each cut. The mouth after it may be another one.

    Raises:
        ParameterError: shapes that do not agree.
    """

    times: TimeArray
    inner: FloatArray
    outer: FloatArray
    jaw: FloatArray
    cuts: TimeArray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if any(part.shape != self.times.shape or part.ndim != 1 for part in (self.inner, self.outer, self.jaw)):
            raise ParameterError(
                f"the parts of a mouth need as many values as times {self.times.shape}, got {self.inner.shape},"
                f" {self.outer.shape} and {self.jaw.shape}"
            )


def lip_cue(mouth: Mouth, waveform: Waveform, *, tempos: bool = True) -> TimeCue:
    """The evidence of one mouth about when the sound comes and, with `tempos`, at which tempo; else at tempo 1 alone.

    Silent with `face_too_short`, `low_frame_rate`, `no_onsets` (the lips do not move, or there is no voice).
    """
    stretches = list(_stretches(mouth))
    if sum(stop - start for start, stop in stretches) < LEAST_SECONDS:
        slow = picture_rate(mouth) < LEAST_RATE
        return TimeCue(name=NAME, reason="low_frame_rate" if slow else "face_too_short")
    lips = _lip_curves(mouth, stretches)
    level, heard = voice_level(waveform)
    if level.size < _LEAST_OVERLAP_S * RATE or min(float(np.ptp(level)), float(np.ptp(lips.values))) <= 1e-9:
        return TimeCue(name=NAME, reason="no_onsets")
    chance = _match(lips, _voice_curves(np.stack(list(_shuffled(level))), None), 1.0).height
    unrelated = fit_chance(chance.ravel())
    if unrelated is None:
        return TimeCue(name=NAME, reason="no_onsets")
    tried: list[float] = tempo_grid().tolist() if tempos else [1.0]
    found = [_match(lips, _voice_curves(level, heard, t), t) for t in tried]
    peak = float(np.max(found[len(found) // 2].height))
    beaten = np.max(chance, axis=1) < peak
    ratio = _log_ratio(np.stack([f.height for f in found]), np.stack([f.seconds for f in found]), unrelated)
    return TimeCue(
        name=NAME,
        log_ratio=ratio.astype(np.float32),
        surrogates=1.0 - float(np.count_nonzero(beaten)) / SHUFFLES,
    )


def picture_rate(mouth: Mouth) -> float:
    """Distinct pictures per second; 0 for fewer than two."""
    return 0.0 if mouth.times.size < 2 else float(1.0 / np.median(np.diff(mouth.times)))


def voice_level(waveform: Waveform) -> tuple[Array, Mask]:
    """Level of the voice's band at RATE.

    Returns:
        Square root of the RMS amplitude over 30 ms, float64 [n]: it lets soft syllables count beside loud ones; and
        where there is sound: False in digital silence, which says nothing of the voice (a dropout, padding).
    """
    samples, rate = waveform.mono().astype(np.float64), waveform.rate
    count = int(waveform.duration * RATE)
    if count < 2:
        return np.zeros(0), np.zeros(0, np.bool_)
    band = butter(4, (VOICE_HZ[0], min(VOICE_HZ[1], 0.45 * rate)), "bandpass", fs=rate, output="sos")
    power = np.concatenate([[0.0], np.cumsum(np.square(sosfiltfilt(band, samples)))])
    present = np.concatenate([[0], np.cumsum(np.abs(samples) > _DIGITAL_SILENCE)])
    centres = np.arange(count) * (rate / RATE)
    start = np.clip(centres - 0.5 * _LEVEL_S * rate, 0, samples.size).astype(np.int64)
    stop = np.clip(centres + 0.5 * _LEVEL_S * rate, 0, samples.size).astype(np.int64)
    mean = np.maximum(power[stop] - power[start], 0.0) / np.maximum(stop - start, 1)
    heard = present[stop] > present[start]
    silent = _long(~heard, int(_ZEROS_S * RATE))
    return _bridged(mean**0.25, ~silent), ~silent


def _long(flags: Mask, least: int) -> Mask:
    """Without runs shorter than `least`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    kept = np.zeros_like(flags)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        kept[start:stop] = stop - start >= least
    return kept


def _bridged(values: Array, known: Mask) -> Array:
    """Straight lines where nothing is known, so that a filter sees no step there."""
    if known.all() or not known.any():
        return values
    at = np.arange(values.size)
    return np.interp(at, at[known], values[known])


def _stretches(mouth: Mouth) -> Iterator[tuple[float, float]]:
    """Start and stop, in s, of what may be counted: one face in every picture, and enough pictures a second."""
    times = mouth.times[np.isfinite(mouth.inner)]
    if times.size < 2:
        return
    ends = np.union1d(np.flatnonzero(np.diff(times) > LONGEST_GAP_S) + 1, np.searchsorted(times, mouth.cuts))
    for part in np.split(times, ends):
        if part.size < 2:
            continue
        length = float(part[-1] - part[0])
        if length >= LEAST_STRETCH_S and (part.size - 1) / length >= LEAST_RATE:
            yield float(part[0]), float(part[-1])


@dataclass(frozen=True, slots=True, eq=False)
class _Curves:
    """float64 [..., 4, n] at RATE from 0 s on, each of mean 0, and where they count, float64 [n], 0 or 1."""

    values: Array
    mask: Array


def _lip_curves(mouth: Mouth, stretches: Sequence[tuple[float, float]]) -> _Curves:
    size = int(stretches[-1][1] * RATE) + 1
    values, mask = np.zeros((_PAIRS, size)), np.zeros(size)
    known = np.isfinite(mouth.inner)
    for start, stop in stretches:
        at = np.arange(max(0, int(np.ceil(start * RATE))), min(size, int(stop * RATE) + 1))
        inner, outer, jaw = (
            np.interp(at / RATE, mouth.times[known], part[known].astype(np.float64))
            for part in (mouth.inner, mouth.outer, mouth.jaw)
        )
        values[:, at] = _syllables(np.stack([jaw, _rise(-inner), _rise(outer), _rise(outer) + _rise(-outer)]))
        mask[at] = 1.0
    return _Curves(values, mask)


def _voice_curves(level: Array, heard: Mask | None, tempo: float = 1.0) -> _Curves:
    """Of a voice that is brought from its tempo to the picture's; of many at tempo 1, which the first axis counts."""
    mask = np.ones(level.shape[-1]) if heard is None else heard.astype(np.float64)
    if tempo != 1.0:
        at = np.arange(int(level.size * tempo)) / tempo
        level, mask = np.interp(at, np.arange(level.size), level), np.interp(at, np.arange(mask.size), mask)
    fall, rise = _rise(-level), _rise(level)
    return _Curves(_syllables(np.stack([level, fall, rise, fall + rise], axis=-2)), (mask > 0.5).astype(np.float64))


def _rise(curve: Array) -> Array:
    """How fast it rises; falling counts as none."""
    return np.maximum(np.gradient(gaussian_filter1d(curve, _SMOOTH_S * RATE, axis=-1), axis=-1), 0.0)


def _syllables(curves: Array) -> Array:
    return np.asarray(sosfiltfilt(_band(), curves, axis=-1), dtype=np.float64)


@cache
def _band() -> Array:
    return np.asarray(butter(2, SYLLABLES_HZ, "bandpass", fs=RATE, output="sos"), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Height:
    """For each lag of the grid.

    Attributes:
        height: float64 [..., lags], mean correlation times the square root of the common time in s: of one spread by
            chance at all lags.
        seconds: float64 [lags], common time.
    """

    height: Array
    seconds: Array


def _match(lips: _Curves, voice: _Curves, tempo: float) -> _Height:
    """Pearson's correlation over what is known of both, mean of the pairs of curves."""
    reach = int(np.ceil(MOST_LAG_MS * tempo / LAG_STEP_MS)) + 1
    size = next_fast_len(max(lips.mask.size, voice.mask.size) + reach + 1, real=True)

    def sums(seen: Spectrum, heard: Spectrum) -> Array:
        """sum_t seen[t] heard[t + lag], from spectra."""
        full = irfft(seen * heard, size)
        return np.concatenate([full[..., -reach:], full[..., : reach + 1]], axis=-1)

    seen, sound = lips.values * lips.mask, voice.values * voice.mask
    lips_on, lips_is, lips_square = (np.conj(rfft(part, size)) for part in (lips.mask, seen, seen * seen))
    voice_on, voice_is, voice_square = (rfft(part, size) for part in (voice.mask, sound, sound * sound))
    count = np.maximum(sums(lips_on, voice_on), 1.0)
    lips_sum, voice_sum = sums(lips_is, voice_on), sums(lips_on, voice_is)
    power = (sums(lips_square, voice_on) - lips_sum**2 / count) * (sums(lips_on, voice_square) - voice_sum**2 / count)
    least = _LEAST_POWER * power.max(axis=-1, keepdims=True)
    shared = sums(lips_is, voice_is) - lips_sum * voice_sum / count
    correlation = np.mean(shared / np.sqrt(np.maximum(power, least)), axis=-2)
    seconds: Array = np.where(count >= _LEAST_OVERLAP_S * RATE, count / RATE, 0.0)
    height: Array = correlation * np.sqrt(seconds)
    if tempo == 1.0:
        return _Height(height[..., 1:-1], seconds[1:-1])
    # The lag counts in the sound's own time, and the voice was stretched by its tempo.
    lags, grid = np.arange(-reach, reach + 1) * (LAG_STEP_MS / tempo), lag_grid()
    return _Height(np.interp(grid, lags, height), np.interp(grid, lags, seconds))


def _log_ratio(height: Array, seconds: Array, chance: Chance) -> Array:
    """Likelihood of such a correlation if this is the lag over that by chance, for each tempo and lag.

    The lag of a film that is in time differs from film to film: each likelihood is an average over that difference.
    """
    expected, wide = STRENGTH * np.sqrt(seconds), chance.deviation**2 + STRENGTH_SPREAD**2 * seconds
    # A better fit than expected is no evidence against.
    ratio = -0.5 * np.minimum(height - expected, 0.0) ** 2 / wide - 0.5 * np.log(2.0 * np.pi * wide)
    ratio -= chance.log_density(height)
    lead = round(LEAD_MS / LAG_STEP_MS)
    offsets = np.arange(-9, 10)
    weights = np.exp(-0.5 * (offsets * LAG_STEP_MS / LEAD_SPREAD_MS) ** 2)
    padded = np.pad(ratio, ((0, 0), (9, 9 + lead)), mode="edge")
    first = 9 + lead
    shifted = np.stack([padded[:, first + o : first + o + ratio.shape[1]] for o in offsets])
    return log_average(shifted, weights / weights.sum())


def _shuffled(level: Array) -> Iterator[Array]:
    """The same voice, cut where it is soft, with its pieces in another order: speech that these lips do not speak."""
    random = np.random.default_rng(0)
    least, most = (int(p * RATE) for p in _PIECE_S)
    for _ in range(SHUFFLES):
        cuts, at = [0], 0
        while (at := at + int(random.integers(least, most))) < level.size - least:
            near = max(cuts[-1] + 1, at - least // 2)
            at = near + int(level[near : at + least // 2].argmin())
            cuts.append(at)
        pieces = [level[start:stop] for start, stop in pairwise([*cuts, level.size])]
        order: list[int] = random.permutation(len(pieces)).tolist()
        yield np.concatenate([pieces[i] for i in order])
