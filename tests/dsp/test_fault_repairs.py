"""Faults drawn at random, and which actions mend them by measurement."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.actions import FillBlanks, Shift, SpectralGate, Speed, Volume, WaveletDenoise, WienerFilter
from avagent.core.errors import ParameterError
from avagent.core.media import Waveform
from avagent.dsp.faults import (
    FAULTS,
    Clipping,
    Dropouts,
    HumFault,
    Lag,
    Level,
    Muted,
    Noise,
    PitchChange,
    Reverberation,
    SpeedChange,
    inject,
)
from avagent.dsp.faults.draw import CLEAN, SHARES, draw_fault, draw_faults
from avagent.dsp.faults.mending import right_repairs, si_sdr

RATE = 16_000


def bursts(seconds: float = 4.0) -> Waveform:
    """Tones that come and go over a faint floor."""
    time = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(0)
    envelope = np.clip(np.sin(2 * np.pi * 1.3 * time), 0.0, 1.0) ** 2
    tone = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(2 * np.pi * 1230 * time)
    samples = envelope * tone + 1e-4 * rng.standard_normal(time.size)
    return Waveform(samples.astype(np.float32)[None, :], RATE)


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(sorted(FAULTS)))
def test_a_drawn_fault_is_of_its_kind_and_repeatable(seed: int, kind: str):
    first, second = (draw_fault(kind, np.random.default_rng(seed)) for _ in range(2))
    assert first == second
    assert first.kind == kind


@given(seed=st.integers(0, 2**32 - 1))
def test_a_whole_deck_holds_every_kind_in_its_share(seed: int):
    deck = CLEAN + sum(SHARES.values())
    drawn = draw_faults(deck, np.random.default_rng(seed))
    assert Counter(fault.kind for fault in drawn if fault is not None) == dict(SHARES)
    assert drawn.count(None) == CLEAN


def test_every_known_fault_can_be_drawn():
    assert set(SHARES) == set(FAULTS)
    with pytest.raises(ParameterError, match="unknown fault"):
        draw_fault("rust", np.random.default_rng(0))
    with pytest.raises(ParameterError, match="negative"):
        draw_faults(-1, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("fault", "right", "wrong"),
    [
        (Noise(snr_db=5.0), WienerFilter(), Volume()),
        (HumFault(snr_db=5.0), SpectralGate(), Shift(milliseconds=100.0)),
        (Dropouts(lengths_ms=(20.0, 60.0)), FillBlanks(), WienerFilter()),
        (Clipping(drive_db=6.0), Volume(declip=True), WienerFilter()),
        (Level(gain_db=-25.0), Volume(), FillBlanks()),
        (Lag(milliseconds=300.0), Shift(milliseconds=-290.0), Shift(milliseconds=200.0)),
        (SpeedChange(factor=1.08), Speed(factor=0.926), Speed(factor=1.1)),
    ],
)
def test_what_undoes_a_fault_is_told_from_what_does_not(fault, right, wrong):
    clean = bursts()
    repairs = right_repairs(inject(fault, clean, seed=1), clean, [wrong, right])
    assert [r.action for r in repairs] == [right]


@pytest.mark.parametrize("fault", [Muted(), Reverberation()])
def test_nothing_mends_what_cannot_be_mended(fault):
    clean = bursts()
    assert right_repairs(inject(fault, clean, seed=1), clean, [WienerFilter(), Volume(), FillBlanks()]) == ()


def test_a_transposition_whose_amount_nobody_offers_is_not_mended():
    clean = bursts()
    assert right_repairs(inject(PitchChange(semitones=3.0), clean, seed=1), clean, [Volume(), WienerFilter()]) == ()


def test_filters_as_good_as_the_best_are_right_and_come_behind_it():
    clean = bursts()
    injected = inject(Noise(snr_db=5.0), clean, seed=1)
    repairs = right_repairs(injected, clean, [WaveletDenoise(), WienerFilter(), SpectralGate(reduction_db=0.0)])
    gains = [r.gain for r in repairs]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] - gains[-1] <= 3.0
    assert all(r.action.kind != "spectral_gate" for r in repairs)


@given(scale=st.floats(0.01, 100.0), snr=st.floats(0.0, 30.0))
def test_si_sdr_does_not_depend_on_scale(scale: float, snr: float):
    rng = np.random.default_rng(3)
    clean, noise = (rng.standard_normal(RATE).astype(np.float32) for _ in range(2))
    noise -= clean * (noise @ clean) / (clean @ clean)
    noise *= np.sqrt((clean @ clean) / (noise @ noise)) * 10 ** (-snr / 20)
    assert si_sdr(clean, (scale * (clean + noise)).astype(np.float32)) == pytest.approx(snr, abs=0.05)
