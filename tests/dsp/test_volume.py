"""Volume: loudness to the target, peaks below the limit, clipped peaks mended."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyloudnorm  # pyright: ignore[reportMissingTypeStubs]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from avagent.core.actions import Volume
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.edit import apply
from avagent.dsp.actions.limiter import turn_down
from avagent.dsp.actions.volume import VolumeReport
from avagent.dsp.measures.bs1770 import gated_loudness, oversampled_peaks, true_peak_dbtp

from .sounds import resonances, si_sdr, syllables, tone, waveform, white


def lufs(samples: FloatArray, rate: int) -> float:
    """By pyloudnorm, with the filters of the standard."""
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    return float(meter.integrated_loudness(samples.T.astype(np.float64)))


def true_peak(samples: FloatArray) -> float:
    """In dBTP, four times oversampled by a filter that is not ours."""
    return 20.0 * float(np.log10(np.max(np.abs(resample_poly(samples.astype(np.float64), 4, 1, axis=1)))))


def edit(action: Volume, samples: FloatArray, rate: int) -> tuple[FloatArray, VolumeReport]:
    edited = apply(action, waveform(samples, rate))
    assert isinstance(edited.report, VolumeReport)
    return edited.waveform.samples, edited.report


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("target", [-36.0, -23.0, -16.0])
@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_the_target_is_met_below_the_peak_limit(rate: int, target: float, mode: str) -> None:
    source = 0.3 * syllables(rate, 4.0) + white(rate, 4.0, 0.003)
    out, report = edit(Volume(target_lufs=target, mode=mode), source, rate)  # pyright: ignore[reportArgumentType]
    assert lufs(out, rate) == pytest.approx(target, abs=0.1)
    assert true_peak(out) <= -1.0
    assert report.loudness_after == pytest.approx(target, abs=0.1)
    assert report.loudness_before == pytest.approx(lufs(source, rate), abs=0.1)


@given(st.floats(-50.0, -8.0), st.floats(-12.0, 0.0), st.floats(0.001, 3.0))
@settings(max_examples=25)
def test_no_peak_ever_passes_the_limit(target: float, peak: float, level: float) -> None:
    bursts = syllables(16_000, 1.0) + tone(16_000, 1.0, 2_900.0, 0.9) * np.resize(np.hanning(400) ** 8, 16_000)
    out, report = edit(Volume(target_lufs=target, peak_dbtp=peak), level * bursts, 16_000)
    assert true_peak(out) <= peak + 0.05
    assert report.true_peak_after is not None
    assert report.true_peak_after <= peak + 1e-3


def test_without_peaks_it_is_one_gain() -> None:
    source = syllables(16_000, 3.0)
    out, report = edit(Volume(target_lufs=-30.0), source, 16_000)
    np.testing.assert_allclose(out, source * np.float32(10 ** (report.gain_db / 20)), rtol=1e-5)
    assert report.limited == 0


def test_dynamic_brings_quiet_and_loud_together() -> None:
    rate = 16_000
    loud = syllables(rate, 16.0)
    uneven = loud * np.where(np.arange(loud.shape[1]) < 8 * rate, 1.0, 0.2)
    spread: list[float] = []
    for mode in ("static", "dynamic"):
        out, _ = edit(Volume(mode=mode), uneven, rate)  # pyright: ignore[reportArgumentType]
        spread.append(abs(lufs(out[:, : 6 * rate], rate) - lufs(out[:, 10 * rate :], rate)))
    assert spread[0] > 13.0
    assert spread[1] < 5.0


def test_silence_gets_no_gain() -> None:
    hiss = white(16_000, 1.0, 1e-5)
    out, report = edit(Volume(), hiss, 16_000)
    np.testing.assert_array_equal(out, hiss)
    assert report.loudness_before is None


def test_gain_is_bounded() -> None:
    _, report = edit(Volume(target_lufs=-8.0), white(16_000, 1.0, 10 ** (-66 / 20)), 16_000)
    assert report.gain_db <= 60.0


def test_channels_keep_their_balance_under_the_limiter() -> None:
    mono = syllables(16_000, 2.0) + white(16_000, 2.0, 0.3) * (np.arange(32_000) % 5_000 < 30)
    out, report = edit(Volume(target_lufs=-14.0), np.concatenate([mono, 0.3 * mono]), 16_000)
    assert report.limited > 0
    np.testing.assert_allclose(out[1], 0.3 * out[0], atol=1e-5)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_loudness_is_that_of_pyloudnorm(rate: int, channels: int) -> None:
    source = np.repeat(syllables(rate, 4.0), channels, axis=0) + white(rate, 4.0, 0.01, channels=channels)
    assert gated_loudness(waveform(source, rate)) == pytest.approx(lufs(source, rate), abs=0.05)


def test_loudness_of_a_full_scale_tone_is_that_of_the_standard() -> None:
    # BS.1770-4: a 0 dBFS sine of 997 Hz in one channel reads -3.01 LUFS.
    assert gated_loudness(waveform(tone(48_000, 5.0, 997.0, 1.0), 48_000)) == pytest.approx(-3.01, abs=0.02)


def test_the_low_frequency_channel_does_not_count() -> None:
    surround = np.zeros((6, 48_000), np.float32)
    surround[3] = tone(48_000, 1.0, 100.0, 0.9)[0]
    assert gated_loudness(Waveform(surround, 48_000)) is None


def test_true_peak_sees_between_the_samples() -> None:
    # A sine of a quarter of the rate, sampled at 45 degrees: its samples stay 3.01 dB below its peak.
    phase = 2 * np.pi * 0.25 * np.arange(48_000) + np.pi / 4
    envelope = np.hanning(48_000)
    sound = waveform((0.5 * envelope * np.sin(phase)).astype(np.float32)[None, :], 48_000)
    assert np.max(np.abs(sound.samples)) < 0.36
    assert true_peak_dbtp(sound) == pytest.approx(-6.02, abs=0.05)
    assert true_peak_dbtp(Waveform(np.zeros((2, 10), np.float32), 48_000)) is None


def test_the_limiter_leaves_what_is_below_alone() -> None:
    samples = tone(16_000, 1.0, 300.0, 0.5)
    before = samples.copy()
    sound = Waveform(samples, 16_000)
    assert turn_down(sound, oversampled_peaks(sound, 0.89), 1.0, 0.89) == ([], 0)
    np.testing.assert_array_equal(samples, before)


def test_the_limiter_changes_only_what_lies_around_a_peak() -> None:
    rate = 48_000
    samples = tone(rate, 3.0, 300.0, 0.5)
    samples[0, rate : rate + 200] *= 3.0
    sound = Waveform(samples.copy(), rate)
    runs, count = turn_down(sound, oversampled_peaks(sound, 0.89), 1.0, 0.89)
    assert 200 <= count < 1_500
    changed = np.flatnonzero(sound.samples[0] != samples[0])
    assert all(any(start <= place < stop for start, stop in runs) for place in changed[[0, -1]])
    assert changed[-1] - changed[0] < 0.03 * rate
    assert true_peak(sound.samples) <= 20.0 * np.log10(0.89) + 0.01


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_restored_peaks_are_not_limited_again(mode: Literal["static", "dynamic"]) -> None:
    rate = 16_000
    clean = resonances(rate, 3.0)
    level = 0.25 * float(np.abs(clean).max())
    spoilt = np.clip(clean, -level, level).astype(np.float32)
    out, report = edit(Volume(target_lufs=-10.0, mode=mode, declip=True), spoilt, rate)
    assert report.declipped > 0
    assert report.limited == 0
    assert -1.2 < true_peak(out) <= -1.0
    assert report.loudness_after is not None
    assert report.loudness_after < -10.5
    if mode == "static":
        assert si_sdr(clean, out) > si_sdr(clean, spoilt) + 3.0
