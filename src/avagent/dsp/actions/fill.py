"""Restoring dropouts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_toeplitz

from avagent.core.actions import FillBlanks
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.autoregression import prediction_filter
from avagent.dsp.measures.dropouts import Gap, find_dropouts
from avagent.dsp.measures.gaps import find_gaps
from avagent.dsp.measures.noise_track import track_noise
from avagent.dsp.products import convolved
from avagent.dsp.stft import Stft

Array = npt.NDArray[np.float64]

_CONTEXT_S = 0.2
_AR_CONTEXT_S = 0.1
_AR_ORDER_S = 0.032
_MAX_ORDER = 1024
_TEMPLATE_S = 0.01
_SHORTEST_LAG_S = 0.002
_JOIN_S = 0.0005
_AR_ONLY_S, _BLEND_S = 0.01, 0.02
_AR_SHARE = 0.5
_HOLD_S, _FADE_S = 0.06, 0.12
_NOISE_FRAME_S = 0.032
_NOISE_CONTEXT_S = 2.0
_QUANTILE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class FillReport:
    """What :func:`fill_blanks` did: the dropouts it restored."""

    gaps: tuple[Gap, ...]

    @property
    def samples(self) -> int:
        """Samples restored, a channel."""
        return sum(gap.length for gap in self.gaps)


def fill_blanks(waveform: Waveform, action: FillBlanks) -> tuple[Waveform, FillReport]:
    """Find dropouts and restore them.

    Up to 10 ms: least-squares autoregressive interpolation (Janssen, Veldhuis & Vries 1986,
    doi:10.1109/TASSP.1986.1164824). Longer: the mean of that and of the best-matching period before and after, repeated
    into the gap (waveform substitution, Goodman et al. 1986, doi:10.1109/TASSP.1986.1164984). Farther than 60 ms from
    both ends it gives way to noise with the spectrum of the floor around it.
    """
    gaps = _gaps(waveform, action)
    if not gaps:
        return waveform, FillReport(gaps=())
    out = waveform.samples.copy()
    for gap in gaps:
        _restore(out, gap, waveform.rate)
    return Waveform(out, waveform.rate), FillReport(gaps=gaps)


def _gaps(waveform: Waveform, action: FillBlanks) -> tuple[Gap, ...]:
    if action.coded:
        return find_gaps(waveform, min_gap_ms=action.min_gap_ms, max_gap_ms=action.max_gap_ms).gaps
    return find_dropouts(waveform, min_gap_ms=action.min_gap_ms, max_gap_ms=action.max_gap_ms)


def _restore(samples: FloatArray, gap: Gap, rate: int) -> None:
    """Restore one gap of float32 [channels, samples] in place."""
    filled = np.stack([_autoregressive(channel, gap, rate) for channel in samples])
    share = _AR_SHARE + (1.0 - _AR_SHARE) * float(
        np.clip((_BLEND_S - gap.length / rate) / (_BLEND_S - _AR_ONLY_S), 0.0, 1.0)
    )
    if share < 1.0:
        filled = share * filled + (1.0 - share) * _substituted(samples, gap, rate)
    if gap.length > 2.0 * _HOLD_S * rate:
        filled = _fade_to_noise(filled, samples, gap, rate)
    reach = round(_CONTEXT_S * rate)
    around = np.concatenate(
        [samples[:, max(0, gap.start - reach) : gap.start], samples[:, gap.stop : gap.stop + reach]], 1
    )
    peak = np.max(np.abs(around), axis=1, keepdims=True)
    samples[:, gap.start : gap.stop] = np.clip(filled, -peak, peak)


def _autoregressive(channel: FloatArray, gap: Gap, rate: int) -> Array:
    """float64 [gap]: the values that minimise the prediction error of the whole."""
    reach = max(64, round(_AR_CONTEXT_S * rate))
    low, high = max(0, gap.start - reach), min(channel.size, gap.stop + reach)
    part = channel[low:high].astype(np.float64)
    start, stop = gap.start - low, gap.stop - low
    order = min(_MAX_ORDER, max(8, round(_AR_ORDER_S * rate)), part.size // 3)
    coefficients = prediction_filter(part, order)
    correlation = convolved(coefficients, coefficients[::-1])
    right = convolved(part, correlation)[order : order + part.size][start:stop]
    column = np.zeros(stop - start)
    head = correlation[order : order + column.size]
    column[: head.size] = head
    return -np.asarray(solve_toeplitz(column, right))


def _substituted(samples: FloatArray, gap: Gap, rate: int) -> Array:
    """float64 [channels, gap]: periods of what comes before and after, cross-faded; one lag for all channels."""
    reach = round(_CONTEXT_S * rate)
    before = samples[:, max(0, gap.start - reach) : gap.start].astype(np.float64)
    after = samples[:, gap.stop : gap.stop + reach][:, ::-1].astype(np.float64)
    forward, backward = _continued(before, gap.length, rate), _continued(after, gap.length, rate)[:, ::-1]
    fade = np.square(np.cos(np.pi / 2 * (np.arange(gap.length) + 0.5) / gap.length))
    return forward * fade + backward * (1.0 - fade)


def _continued(past: Array, length: int, rate: int) -> Array:
    """float64 [channels, length]: the sound after `past`, by repeating its last period."""
    size = past.shape[1]
    template = min(round(_TEMPLATE_S * rate), size // 3)
    shortest = max(1, round(_SHORTEST_LAG_S * rate))
    if template < 2 or size - template <= shortest:
        return np.zeros((past.shape[0], length))
    weights = np.linspace(0.2, 1.0, template)
    match = np.zeros(size - template + 1)
    energy = np.zeros(size - template + 1)
    valid = slice(template - 1, size)
    for channel in past:
        match += convolved(channel, (channel[-template:] * weights)[::-1])[valid]
        energy += convolved(np.square(channel), weights[::-1])[valid]
    lags = np.arange(shortest, size - template, dtype=np.intp)
    position = size - template - lags
    lag = int(lags[np.argmax(match[position] / np.sqrt(energy[position] + 1e-12))])
    repeated = np.take(past[:, -lag:], np.arange(length) % lag, axis=1)
    # The step at the joint dies away within half a millisecond.
    step = past[:, -1] - past[:, -lag - 1]
    return repeated + step[:, None] * np.exp(-(np.arange(length) + 1.0) / (_JOIN_S * rate))


def _fade_to_noise(filled: Array, samples: FloatArray, gap: Gap, rate: int) -> Array:
    """The fill, where it is far from both ends, replaced by noise of the same spectrum as the floor around the gap."""
    reach = round(_NOISE_CONTEXT_S * rate)
    around = np.concatenate(
        [samples[:, max(0, gap.start - reach) : gap.start], samples[:, gap.stop : gap.stop + reach]], 1
    )
    distance = np.minimum(np.arange(gap.length), np.arange(gap.length)[::-1]) / rate
    kept = np.cos(np.pi / 2 * np.clip((distance - _HOLD_S) / _FADE_S, 0.0, 1.0))
    noise = _floor_noise(Waveform(np.ascontiguousarray(around), rate), gap)
    return filled * kept + noise * np.sqrt(1.0 - np.square(kept))


def _floor_noise(around: Waveform, gap: Gap) -> Array:
    """Noise [channels, gap] with the spectrum of the floor of `around`; the same for the same gap."""
    stft = Stft.of_seconds(_NOISE_FRAME_S, around.rate)
    track = track_noise(around, stft, window_s=2.0 * around.duration + 1.0, quantile=_QUANTILE)
    if track is None:
        return np.zeros((around.channels, gap.length))
    generator = np.random.default_rng([gap.start, gap.length])
    white = generator.standard_normal((around.channels, gap.length)).astype(np.float32)
    # White noise of variance 1 has a power of half a frame in every bin.
    spectrum = stft.analyse(white) * np.sqrt(track.power[0] / np.float32(stft.frame / 2))
    return stft.synthesise(spectrum, gap.length).astype(np.float64)
