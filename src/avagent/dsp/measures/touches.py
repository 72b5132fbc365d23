"""What moves against what begins to sound: the evidence of touches, and of motion as such, over lag and tempo.

Two curves of the picture are compared with the onsets of the sound: impacts (:mod:`avagent.dsp.measures.impact`), which
lie where a touch is, and motion, which is greatest a little before it, or where a thing starts to move as it sounds.
Chance is measured on the clip itself: the same picture against the same sound with its pieces in another order, and
against the sound moved round by more than any lag that is looked for, as far as it lasts. Few events coincide by chance
far more often than Gaussian noise would, so that the tail of chance is fitted (exceedances over a threshold; Pickands
1975, Ann. Statist. 3), not assumed. A steady beat fits at every period, by chance as well, and so tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import correlate1d

from avagent.core.errors import ParameterError
from avagent.core.media import FloatArray, Motion
from avagent.core.timing import LAG_STEP_MS, MOST_LAG_MS, TEMPO_STEPS, TimeCue, lag_grid, tempo_grid
from avagent.dsp.measures.chance import fit_chance
from avagent.dsp.measures.motion import is_still
from avagent.dsp.products import log_average

Array = npt.NDArray[np.float64]

TOUCHES, MOTION = "touches", "motion"
RATE = 1000.0 / LAG_STEP_MS
"""Of all curves, in Hz: one value a step of the lags."""
LEAST_SECONDS, LONGEST_SECONDS = 2.0, 60.0
"""In common, and looked at."""
SHUFFLES = 60
_SMOOTH_S, _TREND_S, _OUTLIER = 0.02, 0.8, 4.0
_LEAST_OVERLAP_S = 1.5
_PIECE_S = (0.25, 0.8)
_BEYOND_S = 2.2
"""Lags that are no candidates."""
_LEAST_POWER = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What is known of a cue beforehand: correlation with the onsets, how far the sound comes after it, in ms."""

    name: str
    strength: float
    strength_spread: float
    lead_ms: float
    lead_spread_ms: float


_KINDS = (
    _Kind(name=TOUCHES, strength=0.5, strength_spread=0.25, lead_ms=0.0, lead_spread_ms=15.0),
    _Kind(name=MOTION, strength=0.5, strength_spread=0.25, lead_ms=40.0, lead_spread_ms=30.0),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """float64 [n] at RATE, mean 0 and deviation 1 from the place `first` on, 0 before; the first value is at 0 s."""

    values: Array
    first: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Sounds:
    """Sounds that a picture is compared with.

    Attributes:
        lengths: int64 [sounds], values of each.
        tempos: float64 [sounds], that each was brought to the picture's from.
        sums, squares: float64 [sounds, size + 1], sum of the values before each place, and of their squares.
        spectra: complex128 [sounds, bins], transforms of `size` places.
        size, reach: places of a transform; lags in steps either way, that fit into it beside the curves.
    """

    lengths: npt.NDArray[np.int64]
    tempos: Array
    sums: Array
    squares: Array
    spectra: npt.NDArray[np.complex128]
    size: int
    reach: int

    @classmethod
    def of(cls, sounds: Sequence[_Curve], tempos: Array, longest: int) -> _Sounds:
        """To be compared with curves of at most `longest` places."""
        lengths = np.array([sound.values.size for sound in sounds])
        reach = int(np.ceil(MOST_LAG_MS * float(tempos.max()) / LAG_STEP_MS)) + 1
        size = int(next_fast_len(max(longest, int(lengths.max())) + reach + 1, real=True))
        values = np.zeros((len(sounds), size))
        for row, sound in enumerate(sounds):
            values[row, : sound.values.size] = sound.values
        spectra = np.asarray(rfft(values), np.complex128)
        return cls(lengths, tempos, _running(values), _running(np.square(values)), spectra, size, reach)


def _running(values: Array) -> Array:
    """float64 [..., n + 1]: the sum of what comes before each place."""
    return np.pad(np.cumsum(values, axis=-1), [(0, 0)] * (values.ndim - 1) + [(1, 0)])


def onset_cues(onset: FloatArray, onset_rate: float, motion: Motion) -> tuple[TimeCue, ...]:
    """The evidence of touches and of motion.

    Silent with `still_picture`, `too_short`, `no_onsets`, `no_impacts`.

    Args:
        onset: float32 [n], from :func:`avagent.dsp.measures.onset.onset_strength`.
        onset_rate: its rate in Hz.
        motion: of the picture, from its first 60 s at most.

    Raises:
        ParameterError: a rate that is not positive.
    """
    if onset_rate <= 0.0:
        raise ParameterError(f"onset_rate must be a positive number of Hz, got {onset_rate}")
    if is_still(motion):
        return _silent("still_picture")
    if min(onset.size / onset_rate, float(np.ptp(motion.times))) < LEAST_SECONDS:
        return _silent("too_short")
    onset = onset[: int((LONGEST_SECONDS + MOST_LAG_MS / 1000.0) * onset_rate)]
    smooth = max(_SMOOTH_S, 0.5 * float(np.median(np.diff(motion.times))))
    sounds = [_sound(onset, onset_rate, smooth, float(tempo)) for tempo in tempo_grid()]
    own = sounds[TEMPO_STEPS // 2]
    if own is None:
        return _silent("no_onsets")
    mixed = [_Curve(part) for part in _shuffled(own.values)]
    seen = [_picture(kind, motion) for kind in _KINDS]
    tempos = np.concatenate([tempo_grid(), np.ones(len(mixed))])
    longest = max((curve.values.size for curve in seen if curve is not None), default=0)
    heard = _Sounds.of([*(s or own for s in sounds), *mixed], tempos, longest)
    return tuple(_cue(kind, curve, heard, own) for kind, curve in zip(_KINDS, seen, strict=True))


def _silent(reason: str) -> tuple[TimeCue, ...]:
    return tuple(TimeCue(name=kind.name, reason=reason) for kind in _KINDS)


def _cue(kind: _Kind, seen: _Curve | None, sounds: _Sounds, own: _Curve) -> TimeCue:
    if seen is None:
        return TimeCue(name=kind.name, reason="no_impacts" if kind.name == TOUCHES else "still_picture")
    heights, seconds = _match(seen, sounds)
    found, mixed = heights[:TEMPO_STEPS], heights[TEMPO_STEPS:]
    chance = fit_chance(mixed.ravel(), _moved_round(seen, own))
    if chance is None:
        return TimeCue(name=kind.name, reason="too_short")
    expected = kind.strength * np.sqrt(seconds)
    wide = chance.deviation**2 + kind.strength_spread**2 * seconds
    # A better fit than expected is no evidence against.
    ratio = -0.5 * np.minimum(found - expected, 0.0) ** 2 / wide - 0.5 * np.log(2.0 * np.pi * wide)
    ratio -= chance.log_density(found)
    highest: Array = np.max(mixed, axis=1)
    return TimeCue(
        name=kind.name,
        log_ratio=np.asarray(_with_lead(ratio, kind), dtype=np.float32),
        surrogates=np.count_nonzero(highest >= np.max(found[TEMPO_STEPS // 2])) / highest.size,
    )


def _with_lead(ratio: Array, kind: _Kind) -> Array:
    """Averaged over how far the sound may come after what is seen in a clip that is in time."""
    reach = int(np.ceil(3.0 * kind.lead_spread_ms / LAG_STEP_MS))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets * LAG_STEP_MS / kind.lead_spread_ms) ** 2)
    lead = round(kind.lead_ms / LAG_STEP_MS)
    padded = np.pad(ratio, ((0, 0), (reach + lead, reach + lead)), mode="edge")
    first = reach + 2 * lead
    moved = np.stack([padded[:, first + o : first + o + ratio.shape[1]] for o in offsets])
    return log_average(moved, weights / weights.sum())


def _picture(kind: _Kind, motion: Motion) -> _Curve | None:
    """One of the picture's curves; None where nothing happens."""
    times, values = motion.times, motion.impact
    if kind.name == MOTION:
        # A change between two pictures happened somewhere between them.
        times, values = 0.5 * (times[1:] + times[:-1]), motion.energy[1:]
    if values is None:
        return None
    first, last = max(0, int(np.ceil(times[0] * RATE))), int(min(times[-1], LONGEST_SECONDS) * RATE)
    if last <= first:
        return None
    at = np.arange(first, last + 1)
    curve = _standardised(np.interp(at / RATE, times, values.astype(np.float64)), _SMOOTH_S)
    return None if curve is None else _Curve(np.pad(curve, (first, 0)), first)


def _sound(onset: FloatArray, rate: float, smooth_s: float, tempo: float) -> _Curve | None:
    """The onsets, brought from the sound's tempo to the picture's; None where there are none."""
    at = np.arange(int((onset.size - 1) / rate * tempo * RATE)) / (RATE * tempo)
    curve = _standardised(np.interp(at, np.arange(onset.size) / rate, onset.astype(np.float64)), smooth_s)
    return None if curve is None else _Curve(curve)


def _standardised(curve: Array, smooth_s: float) -> Array | None:
    """Square root, slow trend removed, mean 0, deviation 1, outliers limited; None for a constant."""
    rooted = np.sqrt(correlate1d(np.maximum(curve, 0.0), _gaussian(smooth_s * RATE)))
    rooted -= correlate1d(rooted, _gaussian(_TREND_S * RATE))
    rooted -= rooted.mean()
    deviation = float(np.sqrt(np.square(rooted).mean()))
    if deviation < 1e-6:
        return None
    rooted /= deviation
    np.clip(rooted, -_OUTLIER, _OUTLIER, out=rooted)
    rooted -= rooted.mean()
    rooted /= np.sqrt(np.square(rooted).mean())
    return rooted


@lru_cache(maxsize=16)
def _gaussian(deviation: float) -> Array:
    """Weights of a Gaussian filter, as far as four deviations: for all curves of a clip the same."""
    reach = int(4.0 * deviation + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    return weights / weights.sum()


def _match(seen: _Curve, sounds: _Sounds) -> tuple[Array, Array]:
    """Pearson's correlation over the common time, times the square root of that time in s, and that time.

    Returns:
        float64 [sounds, lags] and, of the tempos that are looked at, [tempos, lags].
    """
    lags = np.arange(-sounds.reach, sounds.reach + 1)
    # Where a sound of this lag is there beside the picture; sums over it are differences of running sums.
    start = np.maximum(seen.first, -lags)
    common = np.maximum(np.minimum(seen.values.size, sounds.lengths[:, None] - lags) - start, 0)
    count = np.maximum(common, 1)

    def over(running: Array, first: npt.NDArray[np.int64]) -> Array:
        places = np.minimum(np.stack([first + common, np.broadcast_to(first, common.shape)]), running.shape[-1] - 1)
        if running.ndim == 1:
            stop, before = running[places]
        else:
            stop, before = (np.take_along_axis(running, place, axis=1) for place in places)
        return stop - before

    of_seen, of_heard = over(_running(seen.values), start), over(sounds.sums, start + lags)
    power = over(_running(np.square(seen.values)), start) - of_seen**2 / count
    power *= over(sounds.squares, start + lags) - of_heard**2 / count
    least = _LEAST_POWER * ((seen.values.size - seen.first) * sounds.lengths)[:, None]
    full = np.asarray(irfft(np.conj(rfft(seen.values, sounds.size)) * sounds.spectra, sounds.size), np.float64)
    together = np.concatenate([full[:, -sounds.reach :], full[:, : sounds.reach + 1]], axis=1)
    correlation = (together - of_seen * of_heard / count) / np.sqrt(np.maximum(power, least))
    seconds = np.where(count >= _LEAST_OVERLAP_S * RATE, count / RATE, 0.0)
    height = np.clip(correlation, -1.0, 1.0) * np.sqrt(seconds)
    return _on_grid(height, sounds.tempos), _on_grid(seconds[:TEMPO_STEPS], sounds.tempos[:TEMPO_STEPS])


def _on_grid(rows: Array, tempos: Array) -> Array:
    """Rows over lags in steps, at those of :func:`lag_grid`: a lag counts in the sound's own time, at its own tempo."""
    grid, reach = lag_grid(), rows.shape[1] // 2
    found = rows[:, reach - grid.size // 2 : reach + grid.size // 2 + 1].copy()
    steps = np.arange(-reach, reach + 1, dtype=np.float64) * LAG_STEP_MS
    for index in np.flatnonzero(tempos != 1.0).tolist():
        found[index] = np.interp(grid, steps / tempos[index], rows[index])
    return found


def _moved_round(seen: _Curve, sound: _Curve) -> Array:
    """The same measure at lags beyond those looked for, the sound taken as a ring; empty for short clips."""
    first = seen.first
    size = min(seen.values.size, sound.values.size) - first
    if size < 3.0 * _BEYOND_S * RATE:
        return np.zeros(0)
    one, two = seen.values[first : first + size], sound.values[first : first + size]
    scale = size * max(float(one.std() * two.std()), 1e-9)
    first_spectrum = np.asarray(rfft(one - one.mean()), dtype=np.complex128)
    second_spectrum = np.asarray(rfft(two - two.mean()), dtype=np.complex128)
    ring = np.asarray(irfft(np.conj(first_spectrum) * second_spectrum, size), dtype=np.float64) / scale
    steps = np.arange(size)
    return ring[np.minimum(steps, size - steps) > _BEYOND_S * RATE] * np.sqrt(size / RATE)


def _shuffled(curve: Array) -> Iterator[Array]:
    """The same sound, cut where little begins, with its pieces in another order."""
    random = np.random.default_rng(0)
    least, most = (int(p * RATE) for p in _PIECE_S)
    for _ in range(SHUFFLES):
        cuts, at = [0], 0
        while (at := at + int(random.integers(least, most))) < curve.size - least:
            near = max(cuts[-1] + 1, at - least // 2)
            at = near + int(curve[near : at + least // 2].argmin())
            cuts.append(at)
        pieces = [curve[start:stop] for start, stop in pairwise([*cuts, curve.size])]
        order: list[int] = random.permutation(len(pieces)).tolist()
        yield np.concatenate([pieces[i] for i in order])
