"""What holds for every action: shape, dtype, finite values, determinism, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from avagent.core.actions import (
    ACTIONS,
    NOISE_FILTERS,
    Action,
    FillBlanks,
    Pitch,
    Shift,
    SpectralGate,
    SpectralSubtraction,
    Speed,
    Volume,
    WaveletDenoise,
    WienerFilter,
)
from avagent.core.errors import EditError, FailureReason, ParameterError, Stage
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.edit import DspEditor, apply, apply_all

from .sounds import syllables, waveform, white

ALL: tuple[Action, ...] = (
    SpectralSubtraction(),
    WienerFilter(),
    WaveletDenoise(),
    SpectralGate(),
    Speed(factor=1.25),
    Speed(factor=24 / 25, mode="resample"),
    Pitch(semitones=3.0),
    Pitch(semitones=-2.0),
    Volume(),
    Volume(mode="dynamic", declip=True),
    FillBlanks(),
    Shift(milliseconds=15.0),
    Shift(milliseconds=-15.0, edge="reflect"),
)
RATES = (8_000, 11_025, 16_000, 44_100, 48_000, 96_000)
same = pytest.mark.parametrize("action", ALL, ids=lambda a: f"{a.kind}-{getattr(a, 'mode', getattr(a, 'edge', ''))}")


def check(action: Action, sound: Waveform) -> Waveform:
    """Apply twice, compare, and check what every action promises."""
    before = sound.samples.copy()
    first, second = apply(action, sound), apply(action, sound)
    out = first.waveform
    assert out.rate == sound.rate
    assert out.samples.dtype == np.float32
    assert np.isfinite(out.samples).all()
    length = round(sound.length / action.factor) if isinstance(action, Speed) else sound.length
    assert out.samples.shape == (sound.channels, length)
    np.testing.assert_array_equal(out.samples, second.waveform.samples)
    assert first.report == second.report
    np.testing.assert_array_equal(sound.samples, before)
    return out


def test_all_kinds_are_tried_here() -> None:
    assert {action.kind for action in ALL} == set(ACTIONS)


@same
@given(
    samples=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(0, 700)),
        elements=st.floats(-2.0, 2.0, width=32),
        fill=st.just(np.float32(0.0)),
    ),
    rate=st.sampled_from(RATES),
)
@settings(max_examples=20)
def test_any_short_sound_is_survived(action: Action, samples: FloatArray, rate: int) -> None:
    check(action, waveform(samples, rate))


@same
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_second_of_sound_at_every_rate(action: Action, rate: int, channels: int) -> None:
    mono = syllables(rate, 1.0)
    check(action, waveform(np.repeat(mono, channels, axis=0) + white(rate, 1.0, 0.01, channels=channels), rate))


@same
@pytest.mark.parametrize("length", [0, 1, 2, 800, 16_000])
def test_silence_stays_silence(action: Action, length: int) -> None:
    out = check(action, Waveform(np.zeros((2, length), np.float32), 16_000))
    assert not out.samples.any()


@same
@pytest.mark.parametrize("level", [1.0, -0.3])
def test_a_constant_is_survived(action: Action, level: float) -> None:
    check(action, Waveform(np.full((1, 8_000), level, np.float32), 16_000))


@same
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_damaged_samples_are_refused_and_counted(action: Action, bad: float) -> None:
    samples = np.zeros((2, 50), np.float32)
    samples[1, 7:9] = bad
    with pytest.raises(ParameterError, match="2 of 100 samples are NaN or infinite"):
        apply(action, Waveform(samples, 16_000))


@same
@pytest.mark.parametrize("rate", [1, 7_999, 96_001, 192_000])
def test_unsupported_rates_are_refused_with_what_was_got(action: Action, rate: int) -> None:
    with pytest.raises(ParameterError, match=rf"\[8000, 96000\] Hz, got {rate}"):
        apply(action, Waveform(np.zeros((1, 100), np.float32), rate))


@same
def test_no_channel_is_refused(action: Action) -> None:
    with pytest.raises(ParameterError, match="no channel"):
        apply(action, Waveform(np.zeros((0, 100), np.float32), 16_000))


def test_integers_cannot_be_handed_in() -> None:
    with pytest.raises(ParameterError, match=r"float32 .* got int16"):
        Waveform(np.zeros((1, 100), np.int16), 16_000)  # pyright: ignore[reportArgumentType]


def test_actions_are_applied_in_order() -> None:
    sound = waveform(syllables(16_000, 0.5), 16_000)
    shift, louder = Shift(milliseconds=10), Volume(target_lufs=-16.0)
    step_by_step = apply(louder, apply(shift, sound).waveform).waveform
    np.testing.assert_array_equal(apply_all(sound, [shift, louder]).samples, step_by_step.samples)
    np.testing.assert_array_equal(DspEditor().edit(sound, (shift, louder)).samples, step_by_step.samples)
    assert apply_all(sound, []) is sound


def test_the_editor_turns_bad_sound_into_a_clip_error() -> None:
    with pytest.raises(EditError, match="wiener_filter: 1 of 10 samples are NaN") as caught:
        DspEditor().edit(Waveform(np.array([[np.nan] + [0.0] * 9], np.float32), 16_000), [WienerFilter()])
    assert caught.value.reason is FailureReason.EDIT_FAILED
    assert caught.value.stage is Stage.EDIT


@pytest.mark.parametrize("action", [*(cls() for cls in NOISE_FILTERS.values()), Volume(), FillBlanks()])
def test_twice_is_much_like_once(action: Action) -> None:
    noisy = syllables(16_000, 3.0) + white(16_000, 3.0, 0.02)
    noisy[:, 20_000:20_500] = 0.0
    once = apply(action, waveform(noisy, 16_000)).waveform
    twice = apply(action, once).waveform
    change = np.sqrt(np.mean(np.square(once.samples - noisy)))
    further = np.sqrt(np.mean(np.square(twice.samples - once.samples)))
    assert further < 0.35 * change


@pytest.mark.parametrize("rate", [1_000, 4_000, 7_999, 100_001, 176_400, 384_000])
@pytest.mark.parametrize("samples", [1, 2, 997])
@same
def test_the_editor_works_at_any_rate(action: Action, samples: int, rate: int) -> None:
    rng = np.random.default_rng(rate)
    sound = Waveform(rng.uniform(-0.5, 0.5, (2, samples)).astype(np.float32), rate)
    edited = DspEditor().edit(sound, [action])
    length = round(samples / action.factor) if isinstance(action, Speed) else samples
    assert edited.samples.shape == (2, length)
    assert edited.rate == rate
    assert np.isfinite(edited.samples).all()


@pytest.mark.parametrize("rate", [6_000, 7_350, 176_400, 192_000])
def test_a_filter_does_at_other_rates_what_it_does_at_its_own(rate: int) -> None:
    speech, noise = syllables(rate, 3.0), white(rate, 3.0, 0.02)
    edited = DspEditor().edit(waveform(speech + noise, rate), [WienerFilter()]).samples
    mean = np.abs(speech).mean()
    assert np.sqrt(np.mean((edited - speech) ** 2)) < 0.7 * np.sqrt(np.mean(noise**2))
    correlation = np.correlate(edited[0, : rate // 2], speech[0, : rate // 2], "full") if mean else np.zeros(1)
    assert int(correlation.argmax()) == rate // 2 - 1


def test_what_is_no_sound_any_more_is_refused_but_can_be_moved() -> None:
    slow = Waveform(np.full((1, 50), 0.1, np.float32), 999)
    with pytest.raises(EditError, match="got 999"):
        DspEditor().edit(slow, [WienerFilter()])
    assert DspEditor().edit(slow, [Shift(milliseconds=10.0)]).length == 50


@pytest.mark.parametrize("rate", [6_000, 192_000, 384_000])
def test_moving_sound_changes_no_sample_at_any_rate(rate: int) -> None:
    sound = waveform(white(rate, 0.5, 0.1), rate)
    moved = DspEditor().edit(sound, [Shift(milliseconds=10.0)]).samples
    np.testing.assert_array_equal(moved[:, rate // 100 :], sound.samples[:, : -rate // 100])
