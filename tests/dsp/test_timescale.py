"""Speed and pitch: exact lengths, kept frequencies, kept places."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve_toeplitz

from avagent.core.actions import Pitch, Speed
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.edit import apply
from avagent.dsp.actions.timescale import PitchReport, SpeedReport
from avagent.dsp.measures.pitch_track import pitch_track

from .sounds import strongest_hz, syllables, tone, vowel, waveform, white

FACTORS = (0.5, 0.8, 24 / 25, 1.001, 1.25, 2.0)


def cents(got: float, wanted: float) -> float:
    return abs(1200.0 * float(np.log2(got / wanted)))


@given(
    length=st.integers(0, 4_000),
    factor=st.floats(0.5, 2.0),
    mode=st.sampled_from(["stretch", "resample"]),
    channels=st.integers(1, 2),
)
@settings(max_examples=40)
def test_speed_gives_exactly_the_length_it_promises(length: int, factor: float, mode: str, channels: int) -> None:
    action = Speed(factor=factor, mode=mode)  # pyright: ignore[reportArgumentType]
    edited = apply(action, Waveform(np.full((channels, length), 0.1, np.float32), 16_000))
    assert edited.waveform.samples.shape == (channels, round(length / factor))
    assert isinstance(edited.report, SpeedReport)
    assert (edited.report.samples_before, edited.report.samples_after) == (length, round(length / factor))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_stretch_keeps_the_pitch(factor: float, rate: int) -> None:
    out = apply(Speed(factor=factor), waveform(tone(rate, 3.0, 220.0), rate)).waveform.samples[0]
    assert cents(strongest_hz(out, rate), 220.0) <= 2.0


@pytest.mark.parametrize("factor", FACTORS)
def test_resample_lets_the_pitch_follow(factor: float) -> None:
    out = apply(Speed(factor=factor, mode="resample"), waveform(tone(16_000, 3.0, 220.0), 16_000)).waveform.samples[0]
    assert cents(strongest_hz(out, 16_000), 220.0 * factor) <= 0.5


@pytest.mark.parametrize("semitones", [-12.0, -4.0, -0.5, 0.5, 3.0, 12.0])
def test_pitch_moves_by_the_interval_and_keeps_the_length(semitones: float) -> None:
    source = waveform(tone(16_000, 3.0, 330.0), 16_000)
    edited = apply(Pitch(semitones=semitones), source)
    assert edited.waveform.length == source.length
    assert isinstance(edited.report, PitchReport)
    assert edited.report.ratio == pytest.approx(2.0 ** (semitones / 12.0))
    assert cents(strongest_hz(edited.waveform.samples[0], 16_000), 330.0 * 2.0 ** (semitones / 12.0)) <= 2.0


def formants_hz(samples: FloatArray, rate: int) -> npt.NDArray[np.float64]:
    """Peaks of the envelope that linear prediction puts over the mean power spectrum."""
    frames = np.lib.stride_tricks.sliding_window_view(samples[rate // 8 : -rate // 8], 1_024)[::256]
    power = np.mean(np.square(np.abs(np.fft.rfft(frames * np.hanning(1_024), 2_048))), axis=0)
    correlation = np.fft.irfft(power)[:15]
    coefficients = solve_toeplitz(correlation[:-1], correlation[1:])
    level = -np.log(np.abs(np.fft.rfft(np.concatenate([[1.0], -coefficients]), 16_384)))
    peaks = np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] >= level[2:])) + 1
    return peaks * rate / 16_384


@pytest.mark.parametrize(
    ("pitch_hz", "formants"), [(110.0, (700.0, 1_220.0, 2_600.0)), (130.0, (500.0, 1_500.0, 2_500.0))]
)
@pytest.mark.parametrize("semitones", [-4.0, -2.0, 2.0, 4.0])
def test_formants_stay_where_asked(pitch_hz: float, formants: tuple[float, ...], semitones: float) -> None:
    rate = 16_000
    source = waveform(vowel(rate, 3.0, pitch_hz, formants), rate)
    before = formants_hz(source.samples[0], rate)[:3]
    ratio = 2.0 ** (semitones / 12.0)
    for mode, wanted in (("keep", before), ("follow", before * ratio)):
        action = Pitch(semitones=semitones, formants=mode)  # pyright: ignore[reportArgumentType]
        out = apply(action, source).waveform
        assert out.length == source.length
        got = formants_hz(out.samples[0], rate)
        error = [float(np.min(np.abs(got - hz))) / hz for hz in wanted]
        assert np.mean(error) <= 0.05
        assert max(error) <= 0.08
        old, new = pitch_track(source).frequency, pitch_track(out).frequency
        both = (old > 0.0) & (new > 0.0)
        assert np.mean(both) > 0.3
        assert cents(float(np.median(new[both] / old[both])), ratio) <= 10.0


@pytest.mark.parametrize("semitones", [-12.0, -3.0, 0.5, 7.0, 12.0])
@pytest.mark.parametrize(("rate", "channels", "length"), [(8_000, 1, 90), (16_000, 2, 8_000), (48_000, 1, 40_000)])
def test_kept_formants_keep_length_image_and_pitch(semitones: float, rate: int, channels: int, length: int) -> None:
    mono = (tone(rate, 1.0, 330.0) + tone(rate, 1.0, 660.0, 0.1))[:, :length]
    source = waveform(np.concatenate([mono, 0.5 * mono][:channels]), rate)
    out = apply(Pitch(semitones=semitones, formants="keep"), source).waveform
    assert out.samples.shape == source.samples.shape
    assert np.isfinite(out.samples).all()
    if channels == 2:
        np.testing.assert_allclose(out.samples[1], 0.5 * out.samples[0], atol=1e-3)
    if length >= 8_000:
        got, fundamental = strongest_hz(out.samples[0], rate), 330.0 * 2.0 ** (semitones / 12.0)
        assert cents(got, fundamental * round(got / fundamental)) <= 2.0


def centre_of_energy(samples: FloatArray, around: int, reach: int) -> float:
    low = max(0, around - reach)
    part = np.square(samples[low : around + reach], dtype=np.float64)
    return low + float(np.arange(part.size) @ part) / float(part.sum())


@pytest.mark.parametrize("action", [Speed(factor=0.8), Speed(factor=1.25), Speed(factor=1.25, mode="resample")])
def test_sounds_stay_where_they_belong(action: Speed) -> None:
    rate = 16_000
    clicks = np.zeros((1, 4 * rate), np.float32)
    for place in range(8_000, 60_000, 8_000):
        clicks[0, place : place + 40] = np.hanning(40)
    out = apply(action, Waveform(clicks, rate)).waveform.samples[0]
    for place in range(8_000, 60_000, 8_000):
        wanted = (place + 19.5) / action.factor
        assert abs(centre_of_energy(out, round(wanted), 1_000) - wanted) <= 0.001 * rate


def test_pitch_does_not_delay() -> None:
    rate = 16_000
    clicks = np.zeros((1, 2 * rate), np.float32)
    clicks[0, 16_000:16_040] = np.hanning(40)
    for semitones in (-5.0, 5.0):
        out = apply(Pitch(semitones=semitones), Waveform(clicks, rate)).waveform.samples[0]
        assert abs(centre_of_energy(out, 16_020, 1_000) - 16_019.5) <= 0.001 * rate


def test_chords_get_a_longer_block_than_speech() -> None:
    rate = 16_000
    chord = tone(rate, 3.0, 220.0) + tone(rate, 3.0, 277.2) + tone(rate, 3.0, 329.6)
    of_chord = apply(Speed(factor=1.1), waveform(chord, rate)).report
    of_speech = apply(Speed(factor=1.1), waveform(syllables(rate, 3.0), rate)).report
    assert isinstance(of_chord, SpeedReport)
    assert isinstance(of_speech, SpeedReport)
    assert of_chord.block_s is not None
    assert of_speech.block_s is not None
    assert of_chord.block_s > of_speech.block_s


@pytest.mark.parametrize("action", [Speed(factor=1.1), Speed(factor=1.1, mode="resample"), Pitch(semitones=2.0)])
def test_both_channels_of_a_panned_sound_stay_in_proportion(action: Speed | Pitch) -> None:
    mono = syllables(16_000, 1.0) + white(16_000, 1.0, 0.01)
    out = apply(action, waveform(np.concatenate([mono, 0.5 * mono]), 16_000)).waveform.samples
    np.testing.assert_allclose(out[1], 0.5 * out[0], atol=2e-4)


@pytest.mark.parametrize("action", [Speed(factor=1.25), Pitch(semitones=-2.0)])
def test_long_sound_has_no_seams(action: Speed | Pitch) -> None:
    rate, seconds = 8_000, 130.0
    source = waveform(syllables(rate, seconds), rate)
    out = apply(action, source).waveform.samples[0]
    power = np.square(out[: out.size // rate * rate]).reshape(-1, rate).mean(axis=1)[1:-1]
    assert power.max() < 2.0 * np.median(power)
    assert power.min() > 0.5 * np.median(power)
    assert np.abs(np.diff(out)).max() < 1.5 * np.abs(np.diff(source.samples[0])).max()


def test_no_change_is_no_change() -> None:
    source = waveform(syllables(16_000, 0.3), 16_000)
    assert apply(Speed(factor=1.0), source).waveform is source
    assert apply(Pitch(semitones=0.0), source).waveform is source


@pytest.mark.parametrize("action", [Speed(factor=1.25), Speed(factor=1.25, mode="resample"), Pitch(semitones=2.0)])
def test_sound_that_may_not_be_written_to_is_edited_all_the_same(action: Speed | Pitch) -> None:
    kept = Waveform(white(16_000, 1.0, 0.1), 16_000)
    wanted = apply(action, kept).waveform
    kept.samples.setflags(write=False)
    assert np.array_equal(apply(action, kept).waveform.samples, wanted.samples)
