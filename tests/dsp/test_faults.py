"""Every fault is put in as it says, repeatably, and its truth is true."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avagent.core.actions import Shift
from avagent.core.errors import ParameterError
from avagent.core.media import Waveform
from avagent.dsp.actions.edit import apply_all
from avagent.dsp.faults import (
    FAULTS,
    Babble,
    Clipping,
    Dropouts,
    Fault,
    HumFault,
    Lag,
    Level,
    Muted,
    Noise,
    PitchChange,
    Reverberation,
    SpeedChange,
    Truncated,
    WrongSoundtrack,
    inject,
)

RATE = 16000
EXAMPLES: tuple[Fault, ...] = (
    Noise(snr_db=5.0),
    Noise(snr_db=5.0, colour="pink"),
    Noise(snr_db=5.0, colour="violet"),
    Babble(snr_db=5.0),
    HumFault(snr_db=5.0),
    Reverberation(),
    Dropouts(),
    Clipping(),
    Level(gain_db=-20.0),
    SpeedChange(factor=1.1),
    SpeedChange(factor=0.96, mode="resample"),
    PitchChange(semitones=2.0),
    Lag(milliseconds=200.0),
    Muted(),
    Truncated(kept=0.25),
    WrongSoundtrack(),
)


def _programme(seconds: float = 2.0, channels: int = 2, rate: int = RATE, seed: int = 1) -> Waveform:
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((channels, int(seconds * rate)))
    envelope = 0.2 + np.abs(np.sin(np.arange(noise.shape[1]) * 2 * np.pi * 2.0 / rate))
    return Waveform((0.1 * noise * envelope).astype(np.float32), rate)


def _other() -> Waveform:
    return _programme(0.7, 1, 22050, seed=9)


def _power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def test_every_fault_has_an_example() -> None:
    assert {fault.kind for fault in EXAMPLES} == set(FAULTS)


@pytest.mark.parametrize("fault", EXAMPLES, ids=lambda f: f.kind)
def test_faults_are_repeatable_and_finite_and_leave_their_input_alone(fault: Fault) -> None:
    programme = _programme()
    before = programme.samples.copy()
    first = inject(fault, programme, seed=3, other=_other())
    second = inject(fault, programme, seed=3, other=_other())
    assert np.array_equal(first.waveform.samples, second.waveform.samples)
    assert first.truth == second.truth
    assert np.array_equal(programme.samples, before)
    assert first.waveform.rate == RATE
    assert first.waveform.channels == 2
    assert np.isfinite(first.waveform.samples).all()
    assert {action.kind for action in first.truth.actions} <= first.truth.repairs
    assert not np.array_equal(first.waveform.samples, before)


@given(
    snr=st.floats(-10.0, 40.0),
    colour=st.sampled_from(["white", "pink", "brown", "blue", "violet"]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_noise_has_the_power_that_was_asked_for(snr: float, colour: str, seed: int) -> None:
    programme = _programme(0.5)
    fault = Noise(snr_db=snr, colour=colour)  # type: ignore[arg-type]
    added = inject(fault, programme, seed=seed).waveform.samples - programme.samples
    assert 10 * np.log10(_power(programme.samples) / _power(added)) == pytest.approx(snr, abs=0.05)


@pytest.mark.parametrize(("colour", "slope"), [("white", 0), ("pink", -3), ("brown", -6), ("blue", 3), ("violet", 6)])
def test_noise_has_its_colour(colour: str, slope: float) -> None:
    programme = _programme(8.0, 1)
    fault = Noise(snr_db=-20.0, colour=colour)  # type: ignore[arg-type]
    added = (inject(fault, programme, seed=5).waveform.samples - programme.samples)[0]
    power = np.square(np.abs(np.fft.rfft(added)))
    edges = (np.array([200, 400, 800, 1600, 3200, 6400]) * 8.0).astype(int)
    octaves = [10 * np.log10(power[a:b].mean()) for a, b in pairwise(edges)]
    assert np.polyfit(np.arange(5), octaves, 1)[0] == pytest.approx(slope, abs=0.3)


def test_seeds_differ() -> None:
    programme = _programme()
    one, two = (inject(Noise(snr_db=0.0), programme, seed=s).waveform.samples for s in (1, 2))
    assert not np.array_equal(one, two)


@given(lengths=st.lists(st.floats(1.0, 150.0), min_size=1, max_size=6), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_dropouts_are_silent_where_they_say_and_nowhere_else(lengths: list[float], seed: int) -> None:
    programme = _programme(3.0)
    made = inject(Dropouts(lengths_ms=tuple(lengths)), programme, seed=seed)
    inside = np.zeros(programme.length, bool)
    for gap in made.truth.gaps:
        assert not inside[gap.start : gap.stop].any()
        inside[gap.start : gap.stop] = True
    assert (made.waveform.samples[:, inside] == 0.0).all()
    assert np.array_equal(made.waveform.samples[:, ~inside], programme.samples[:, ~inside])
    assert inside.sum() == sum(gap.stop - gap.start for gap in made.truth.gaps)
    assert len(made.truth.gaps) <= len(lengths)


def test_no_dropouts_in_silence() -> None:
    made = inject(Dropouts(), Waveform(np.zeros((1, RATE), np.float32), RATE), seed=0)
    assert made.truth.gaps == ()
    assert made.truth.repairs == frozenset()


@given(milliseconds=st.floats(-300.0, 300.0))
@settings(max_examples=25, deadline=None)
def test_lag_moves_the_sound_and_its_repair_moves_it_back(milliseconds: float) -> None:
    programme = _programme(1.0, 1)
    made = inject(Lag(milliseconds=milliseconds), programme, seed=0)
    assert made.truth.actions == (Shift(milliseconds=-milliseconds),)
    mended = apply_all(made.waveform, made.truth.actions).samples[0]
    count = abs(round(milliseconds * RATE / 1000))
    middle = slice(count, programme.length - count)
    assert np.array_equal(mended[middle], programme.samples[0][middle])
    assert made.waveform.length == programme.length


def test_speed_changes_the_length_and_its_repair_restores_it() -> None:
    programme = _programme()
    made = inject(SpeedChange(factor=1.25), programme, seed=0)
    assert made.waveform.length == round(programme.length / 1.25)
    assert apply_all(made.waveform, made.truth.actions).length == programme.length


def test_clipping_keeps_the_peak_and_counts_what_it_limited() -> None:
    programme = _programme()
    made = inject(Clipping(drive_db=6.0), programme, seed=0)
    peak = np.abs(programme.samples).max()
    assert np.abs(made.waveform.samples).max() == pytest.approx(peak, rel=1e-5)
    at_limit = np.mean(np.abs(made.waveform.samples) > 0.9999 * peak)
    assert made.truth.clipped == pytest.approx(at_limit, abs=1e-4)


def test_babble_and_wrong_soundtrack_need_another_recording() -> None:
    for fault in (Babble(snr_db=0.0), WrongSoundtrack()):
        with pytest.raises(ParameterError, match="other"):
            inject(fault, _programme(), seed=0)
    silent = Waveform(np.zeros((1, 100), np.float32), RATE)
    with pytest.raises(ParameterError, match="silent"):
        inject(Babble(snr_db=0.0), _programme(), seed=0, other=silent)
    empty = Waveform(np.zeros((1, 0), np.float32), RATE)
    with pytest.raises(ParameterError, match="empty"):
        inject(WrongSoundtrack(), _programme(), seed=0, other=empty)


def test_wrong_soundtrack_is_the_other_at_this_rate_and_length() -> None:
    programme = _programme()
    tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000).astype(np.float32)
    made = inject(WrongSoundtrack(), programme, seed=0, other=Waveform(tone[None], 48000)).waveform
    assert made.samples.shape == programme.samples.shape
    spectrum = np.abs(np.fft.rfft(made.samples[0]))
    assert np.argmax(spectrum) * RATE / made.length == pytest.approx(440.0, abs=1.0)


def test_reverberation_keeps_the_power_and_adds_a_tail() -> None:
    click = np.zeros((1, RATE), np.float32)
    click[0, 100] = 1.0
    wet = inject(Reverberation(rt60_s=0.5), Waveform(click, RATE), seed=2).waveform.samples[0]
    assert _power(wet) == pytest.approx(_power(click), rel=1e-3)
    early, late = _power(wet[200:1800]), _power(wet[4200:5800])
    # 0.25 s apart: half of the 60 dB.
    assert 10 * np.log10(early / late) == pytest.approx(30.0, abs=2.0)


@pytest.mark.parametrize(
    ("fault", "value"),
    [(Noise, float("nan")), (Babble, 61.0), (Level, -61.0), (PitchChange, 13.0), (Lag, 1e5), (SpeedChange, 0.1)],
)
def test_parameters_out_of_bounds_are_refused(fault: type, value: float) -> None:
    with pytest.raises(ParameterError, match=fault.__name__):
        fault(**{next(f for f in fault.__dataclass_fields__ if f != "kind"): value})
    with pytest.raises(ParameterError, match="Dropouts"):
        Dropouts(lengths_ms=())


def test_empty_sound_stays_empty() -> None:
    empty = Waveform(np.zeros((1, 0), np.float32), RATE)
    for fault in EXAMPLES:
        assert inject(fault, empty, seed=0, other=_other()).waveform.length == 0
