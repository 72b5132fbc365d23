"""Spectral subtraction, Wiener filter, wavelet denoising and spectral gate, and the hum path in them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from avagent.core.actions import (
    NoiseFilter,
    SpectralGate,
    SpectralSubtraction,
    WaveletDenoise,
    WienerFilter,
)
from avagent.core.media import Waveform
from avagent.dsp.actions.denoise import NoiseReport
from avagent.dsp.actions.edit import apply
from avagent.dsp.faults import HumFault, Noise, inject
from avagent.dsp.measures.noise_track import track_noise
from avagent.dsp.stft import Stft, in_blocks

from .sounds import si_sdr, syllables, tone, waveform, white

FILTERS: tuple[NoiseFilter, ...] = (SpectralSubtraction(), WienerFilter(), WaveletDenoise(), SpectralGate())
every = pytest.mark.parametrize("action", FILTERS, ids=lambda a: a.kind)


def report(action: NoiseFilter, sound: Waveform) -> NoiseReport:
    got = apply(action, sound).report
    assert isinstance(got, NoiseReport)
    return got


@every
@pytest.mark.parametrize(("rate", "wanted"), [(8_000, 3.0), (16_000, 4.0), (48_000, 6.0)])
def test_white_noise_is_reduced(action: NoiseFilter, rate: int, wanted: float) -> None:
    clean = syllables(rate, 4.0)
    noisy = inject(Noise(snr_db=5.0), waveform(clean, rate), seed=3).waveform
    out = apply(action, noisy).waveform.samples
    assert si_sdr(clean, out) - si_sdr(clean, noisy.samples) > wanted


@every
def test_noise_that_grows_is_followed(action: NoiseFilter) -> None:
    rate = 16_000
    clean = syllables(rate, 9.0)
    swell = 10.0 ** (np.linspace(-30.0, 0.0, clean.shape[1]) / 20.0)
    noisy = clean + white(rate, 9.0, 0.06) * swell
    out = apply(action, waveform(noisy, rate)).waveform.samples
    assert si_sdr(clean, out) - si_sdr(clean, noisy) > 3.0


@every
def test_clean_sound_is_left_alone(action: NoiseFilter) -> None:
    clean = syllables(16_000, 5.0)
    assert si_sdr(clean, apply(action, waveform(clean, 16_000)).waveform.samples) > 30.0


@every
def test_real_clean_speech_is_left_alone(action: NoiseFilter, media_dir: Path) -> None:
    worst: list[float] = []
    for path in sorted((media_dir / "speech").glob("*.g722"))[:4]:
        with av.open(str(path)) as container:
            parts = [frame.to_ndarray().reshape(1, -1) for frame in container.decode(audio=0)]
        clean = np.concatenate(parts, axis=1).astype(np.float32) / 32768
        worst.append(si_sdr(clean, apply(action, Waveform(clean, 16_000)).waveform.samples))
    assert min(worst) > (25.0 if action.kind == "spectral_gate" else 30.0)


@every
def test_pure_noise_is_the_programme(action: NoiseFilter) -> None:
    # A vacuum cleaner or rain has no programme beside its noise: it must not be muted.
    noise = white(16_000, 4.0, 0.1)
    out = apply(action, waveform(noise, 16_000)).waveform.samples
    assert si_sdr(noise, out) > 10.0


@every
def test_nothing_is_delayed(action: NoiseFilter) -> None:
    rate = 16_000
    clean = syllables(rate, 3.0)
    out = apply(action, waveform(clean + white(rate, 3.0, 0.01), rate)).waveform.samples
    lags = np.correlate(out[0, 8_000:40_000], clean[0, 8_100:39_900], "valid")
    assert int(np.argmax(lags)) == 100


@every
def test_the_stereo_image_stays(action: NoiseFilter) -> None:
    mono = syllables(16_000, 3.0) + white(16_000, 3.0, 0.02)
    out = apply(action, waveform(np.concatenate([mono, 0.25 * mono]), 16_000)).waveform.samples
    np.testing.assert_allclose(out[1], 0.25 * out[0], atol=1e-6)


@every
def test_channels_in_another_order_give_the_same(action: NoiseFilter) -> None:
    pair = np.repeat(syllables(16_000, 2.0), 2, axis=0) + white(16_000, 2.0, 0.02, channels=2)
    straight = apply(action, waveform(pair, 16_000)).waveform.samples
    swapped = apply(action, waveform(pair[::-1], 16_000)).waveform.samples
    np.testing.assert_allclose(swapped[::-1], straight, atol=1e-5)


@every
def test_level_does_not_matter(action: NoiseFilter) -> None:
    noisy = syllables(16_000, 3.0) + white(16_000, 3.0, 0.02)
    loud = apply(action, waveform(noisy, 16_000)).waveform.samples
    quiet = apply(action, waveform(0.01 * noisy, 16_000)).waveform.samples
    assert si_sdr(loud, quiet) > 50.0


@pytest.mark.parametrize(
    ("weak", "strong"),
    [
        (SpectralSubtraction(over_subtraction=1.0), SpectralSubtraction(over_subtraction=4.0)),
        (SpectralSubtraction(floor_db=-10.0), SpectralSubtraction(floor_db=-40.0)),
        (WienerFilter(strength=0.5), WienerFilter(strength=4.0)),
        (WienerFilter(floor_db=-6.0), WienerFilter(floor_db=-30.0)),
        (WaveletDenoise(strength=0.5), WaveletDenoise(strength=2.0)),
        (SpectralGate(threshold_db=1.0), SpectralGate(threshold_db=12.0)),
        (SpectralGate(reduction_db=6.0), SpectralGate(reduction_db=40.0)),
    ],
)
def test_strength_parameters_do_what_they_say(weak: NoiseFilter, strong: NoiseFilter) -> None:
    noisy = waveform(syllables(16_000, 3.0) + white(16_000, 3.0, 0.02), 16_000)
    gentle, harsh = report(weak, noisy).removed_db, report(strong, noisy).removed_db
    assert gentle is not None
    assert harsh is not None
    assert harsh > gentle


@every
@pytest.mark.parametrize("fundamental", [49.97, 60.03])
def test_hum_is_notched_out(action: NoiseFilter, fundamental: float) -> None:
    rate = 16_000
    clean = syllables(rate, 6.0)
    hummed = inject(HumFault(snr_db=5.0, fundamental_hz=fundamental), waveform(clean, rate), seed=0).waveform
    out = apply(action, hummed)
    assert isinstance(out.report, NoiseReport)
    assert out.report.hum_hz == pytest.approx(fundamental, abs=0.05)
    assert si_sdr(clean, out.waveform.samples) - si_sdr(clean, hummed.samples) > 10.0


@every
def test_no_hum_is_found_in_clean_sound(action: NoiseFilter) -> None:
    assert report(action, waveform(syllables(16_000, 5.0, pitch_hz=100.0), 16_000)).hum_hz is None


def test_a_long_tone_is_no_noise() -> None:
    clean = tone(16_000, 4.0, 440.0) + tone(16_000, 4.0, 554.4)
    for action in FILTERS:
        assert si_sdr(clean, apply(action, waveform(clean, 16_000)).waveform.samples) > 25.0


@every
def test_blocks_leave_no_seam(action: NoiseFilter) -> None:
    rate = 8_000
    noisy = syllables(rate, 40.0) + white(rate, 40.0, 0.02)
    whole = apply(action, waveform(noisy, rate)).waveform.samples
    steps = np.abs(np.diff(whole[0]))
    for seam in (16 * rate, 32 * rate):
        assert steps[seam - 400 : seam + 400].max() <= steps.max()
    removed = np.square(noisy - whole)[0].reshape(40, -1).mean(axis=1)
    assert removed[14:18].max() < 3.0 * np.median(removed)


@pytest.mark.parametrize("seconds", [1.0, 3.0, 10.0])
def test_the_noise_track_measures_known_noise(seconds: float) -> None:
    rate, rms = 16_000, 0.02
    stft = Stft.of_seconds(0.048, rate)
    sound = waveform(syllables(rate, seconds) + white(rate, seconds, rms), rate)
    track = track_noise(sound, stft, window_s=3.0, quantile=0.3)
    assert track is not None
    level_db = 10.0 * np.log10(track.power[:, 5:-5].mean() / (rms**2 * stft.frame / 2))
    assert abs(level_db) < 2.0


@pytest.mark.parametrize("length", [1, 100, 191, 192, 193, 5_000])
def test_analysis_and_synthesis_are_inverse(length: int) -> None:
    samples = np.random.default_rng(0).standard_normal((2, length)).astype(np.float32)
    stft = Stft.of_seconds(0.048, 16_000)
    np.testing.assert_allclose(stft.synthesise(stft.analyse(samples), length), samples, atol=2e-6)


def test_blocks_see_their_context_and_position() -> None:
    samples = np.arange(1000, dtype=np.float32)[None, :]
    seen: list[int] = []

    def function(part: np.ndarray, position: int) -> np.ndarray:
        seen.append(position)
        np.testing.assert_array_equal(part[0, 0], samples[0, position])
        return np.asarray(2 * part)

    np.testing.assert_array_equal(in_blocks(samples, 300, 50, function), 2 * samples)
    assert seen == [0, 250, 550, 850]
