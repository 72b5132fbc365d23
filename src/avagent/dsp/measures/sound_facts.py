"""Everything that is measured about a clip's sound, in one pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from avagent.core.errors import ParameterError
from avagent.core.facts import Estimate, Facts, NoiseColour, lag_of
from avagent.core.media import Motion, StreamInfo, Waveform
from avagent.core.time_judgement import TimeJudgement, judge_time
from avagent.dsp.measures.bs1770 import gated_loudness
from avagent.dsp.measures.clipping import clipping_ratio
from avagent.dsp.measures.dropouts import Gap
from avagent.dsp.measures.gaps import find_gaps
from avagent.dsp.measures.hum import Hum, detect_hum
from avagent.dsp.measures.hum_lines import subtract_lines
from avagent.dsp.measures.noise_floor import noise_floor
from avagent.dsp.measures.onset import onset_strength
from avagent.dsp.measures.pitch_track import pitch_track
from avagent.dsp.measures.spectrum import Spectrogram, bandwidth_hz, spectrogram
from avagent.dsp.measures.touches import onset_cues
from avagent.dsp.resampling import resample

_BLOCK, _MARGIN = 1024, 256
_SURE = 0.5
_K_WEIGHTED_RATE = 4000
"""Below it the shelf of BS.1770 at 1682 Hz lies outside the band."""
_NEAR_PEAK = 10.0 ** (-4.0 / 20.0)
_MUTED_PEAK = 10.0 ** (-70.0 / 20.0)


def measure(waveform: Waveform, *, motion: Motion | None = None, streams: StreamInfo | None = None) -> Facts:
    """Measure a clip's sound, blind.

    Args:
        waveform: finite samples; any rate, number of channels and length, also none.
        motion: of its picture, for the lag.
        streams: what its container declares, for the mismatch of durations.

    Raises:
        ParameterError: NaN or infinite samples.
    """
    _refuse_non_finite(waveform)
    base = Facts(
        duration=waveform.duration,
        rate=waveform.rate,
        channels=waveform.channels,
        duration_mismatch=_mismatch(waveform, streams),
        clock_drift=0.0 if streams is None else streams.audio_drift,
    )
    if is_muted(waveform):
        return replace(base, muted=True, true_peak=_true_peak(waveform))
    found = find_gaps(waveform)
    gaps = found.gaps
    spectra = spectrogram(waveform)
    floor = None if spectra is None else noise_floor(spectra, _outside(gaps, spectra, waveform.rate))
    hum = detect_hum(waveform)
    timing = _timing(waveform, motion, hum, base.expected_tempo)
    lengths = [(gap.stop - gap.start) / waveform.rate for gap in gaps]
    return replace(
        base,
        loudness=gated_loudness(waveform) if waveform.rate >= _K_WEIGHTED_RATE else None,
        true_peak=_true_peak(waveform),
        snr=None if floor is None else floor.snr,
        noise_colour=NoiseColour.UNKNOWN if floor is None else floor.colour,
        stationarity=None if floor is None else floor.stationarity,
        hum=None if hum is None else Estimate(hum.fundamental_hz, hum.confidence),
        hum_level=None if hum is None else hum.level_db,
        gap_count=len(lengths),
        gap_seconds=float(sum(lengths)),
        longest_gap=max(lengths, default=0.0),
        coded_gaps=found.coded,
        clipping=clipping_ratio(waveform),
        bandwidth=None if spectra is None else bandwidth_hz(spectra),
        pitch=pitch_track(waveform).median(),
        timing=timing,
        lag=None if timing is None else lag_of(timing),
    )


def is_muted(waveform: Waveform) -> bool:
    """Whether there is nothing but digital silence or an inaudible residue: no sample above -70 dBFS."""
    return max(float(waveform.samples.max(initial=0.0)), -float(waveform.samples.min(initial=0.0))) < _MUTED_PEAK


def _refuse_non_finite(waveform: Waveform) -> None:
    # A sum is NaN or infinite if any sample is; it can also overflow, so only then every sample is looked at.
    if not np.isfinite(waveform.samples.sum(dtype=np.float64)):
        bad = int(np.count_nonzero(~np.isfinite(waveform.samples)))
        if bad:
            raise ParameterError(f"{bad} of {waveform.samples.size} samples are NaN or infinite")


def _true_peak(waveform: Waveform) -> float | None:
    """True peak in dBTP (BS.1770-4, annex 2), read only where samples come within 4 dB of the highest.

    Elsewhere it would have to rise by more than 4 dB between two samples. Oversampling everything takes longer than
    all the other measurements together.
    """
    blocks = -(-waveform.length // _BLOCK)
    best = 0.0
    for channel in waveform.samples if blocks else ():
        starts = np.arange(blocks) * _BLOCK
        level = np.maximum(np.maximum.reduceat(channel, starts), -np.minimum.reduceat(channel, starts))
        best = max(best, float(level.max()))
        loud = level >= max(_NEAR_PEAK * best, np.finfo(np.float32).tiny)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(np.int8))).tolist()
        for first, stop in zip(edges[::2], edges[1::2], strict=True):
            part = channel[max(0, first * _BLOCK - _MARGIN) : stop * _BLOCK + _MARGIN]
            fine = resample(part, 1.0, 4.0)
            best = max(best, float(fine.max()), -float(fine.min()))
    return 20.0 * float(np.log10(best)) if best > 0.0 else None


def _outside(gaps: tuple[Gap, ...], spectra: Spectrogram, rate: int) -> npt.NDArray[np.bool_]:
    """Frames that no dropout touches: zeros there say nothing about the floor."""
    kept = np.ones(spectra.times.size, np.bool_)
    half = 0.5 * spectra.window / rate
    for gap in gaps:
        kept &= (spectra.times + half <= gap.start / rate) | (spectra.times - half >= gap.stop / rate)
    return kept


def _mismatch(waveform: Waveform, streams: StreamInfo | None) -> float | None:
    if streams is None or not streams.has_video or streams.video_duration is None:
        return None
    return waveform.duration - streams.video_duration


def _timing(
    waveform: Waveform, motion: Motion | None, hum: Hum | None, expected_tempo: float | None
) -> TimeJudgement | None:
    if motion is None:
        return None
    if hum is not None and hum.confidence > _SURE:
        # Notes that beat with the hum would pass for onsets.
        waveform = Waveform(subtract_lines(waveform, hum), waveform.rate)
    return judge_time(onset_cues(*onset_strength(waveform), motion), expected_tempo)
