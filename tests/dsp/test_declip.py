"""Restoring clipped peaks: what is gained, what stays, what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions import declip as module
from avagent.dsp.actions.declip import MOST_CLIPPED, declip
from avagent.dsp.measures.clipping import clipping_ratio, find_clipping

from .sounds import resonances, si_sdr, syllables, tone, waveform, white

RATE = 16_000


def clipped(clean: FloatArray, drive_db: float) -> FloatArray:
    """The sound under a hard limit that lies so far below its peak."""
    level = float(np.abs(clean).max()) * 10.0 ** (-drive_db / 20.0)
    return np.clip(clean, -level, level).astype(np.float32)


def square(rate: int, seconds: float, hz: float, duty: float) -> FloatArray:
    """float32 [1, samples] of a synthesizer's pulse wave."""
    time = np.arange(round(seconds * rate)) / rate
    return np.where((time * hz) % 1.0 < duty, 0.6, -0.6).astype(np.float32)[None, :]


@pytest.mark.parametrize(
    ("clean", "drive_db", "gain_db"),
    [
        (resonances(RATE, 3.0), 6.0, 6.0),
        (resonances(RATE, 3.0), 9.0, 5.0),
        (syllables(RATE, 3.0), 6.0, 2.0),
        (syllables(RATE, 3.0), 12.0, 2.0),
        (syllables(48_000, 2.0), 15.0, 1.0),
    ],
)
def test_clipped_peaks_are_mended(clean: FloatArray, drive_db: float, gain_db: float) -> None:
    spoilt = clipped(clean, drive_db)
    rate = 48_000 if clean.shape[1] == 96_000 else RATE
    out, count = declip(waveform(spoilt, rate))
    assert count == find_clipping(spoilt[0]).count > 0
    assert si_sdr(clean, out.samples) - si_sdr(clean, spoilt) > gain_db
    assert clipping_ratio(out) == 0.0


@settings(max_examples=15, deadline=None)
@given(st.floats(3.0, 15.0), st.integers(0, 1000), st.sampled_from([16_000, 44_100]))
def test_the_result_would_have_been_clipped_to_what_was_there(drive_db: float, seed: int, rate: int) -> None:
    spoilt = clipped(syllables(rate, 1.0, seed=seed), drive_db)
    out = declip(waveform(spoilt, rate))[0].samples
    level = float(np.abs(spoilt).max())
    np.testing.assert_allclose(np.clip(out, -level, level), spoilt, atol=1e-3 * level)
    found = find_clipping(spoilt[0])
    rest = ~(found.high | found.low)
    np.testing.assert_array_equal(out[0, rest], spoilt[0, rest])


def test_only_the_clipped_channel_and_passage_change() -> None:
    clean = syllables(RATE, 6.0)
    part = clean.copy()
    # Clipped in the first two seconds, below its own peak afterwards.
    level = 0.3 * float(np.abs(clean).max())
    part[0, : 2 * RATE] = np.clip(clean[0, : 2 * RATE], -level, level)
    part[0, 2 * RATE :] *= 0.2
    both = np.concatenate([part, 0.5 * clean])
    out = declip(waveform(both, RATE))[0].samples
    np.testing.assert_array_equal(out[1], both[1])
    np.testing.assert_array_equal(out[0, 2 * RATE :], both[0, 2 * RATE :])
    assert si_sdr(clean[:, : 2 * RATE], out[:1, : 2 * RATE]) > si_sdr(clean[:, : 2 * RATE], both[:1, : 2 * RATE]) + 1.0


def test_long_passages_are_worked_on_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = syllables(RATE, 5.0)
    spoilt = waveform(clipped(clean, 9.0), RATE)
    whole = declip(spoilt)[0].samples
    monkeypatch.setattr(module, "_PIECE_S", 0.5)
    pieces = declip(spoilt)[0].samples
    assert si_sdr(clean, pieces) == pytest.approx(si_sdr(clean, whole), abs=1.0)


def test_clipping_behind_a_lossy_codec_is_mended() -> None:
    clean = resonances(RATE, 4.0)
    spoilt = clipped(clean, 9.0)
    # What a codec leaves of plateaus: ripples of two percent or so.
    ripple = white(RATE, 4.0, 0.012 * float(np.abs(spoilt).max()), seed=5)
    coded = (spoilt + ripple).astype(np.float32)
    out, count = declip(waveform(coded, RATE))
    assert count > 0
    assert si_sdr(clean, out.samples) - si_sdr(clean, coded) > 3.0


def test_sound_that_is_not_clipped_is_left_alone() -> None:
    for clean in (
        syllables(RATE, 2.0),
        tone(RATE, 2.0, 50.0, 0.9),
        white(RATE, 2.0, 0.2),
        square(RATE, 2.0, 220.0, 0.5),
        square(RATE, 2.0, 330.0, 0.125),
        np.tanh(4.0 * syllables(RATE, 2.0)),
        np.zeros((2, RATE), np.float32),
    ):
        sound = waveform(clean.astype(np.float32), RATE)
        out, count = declip(sound)
        assert count == 0
        assert clipping_ratio(sound) == 0.0
        np.testing.assert_array_equal(out.samples, sound.samples)


def test_where_almost_all_is_clipped_nothing_is_invented() -> None:
    spoilt = waveform(clipped(resonances(RATE, 2.0), 30.0), RATE)
    assert find_clipping(spoilt.samples[0]).count > MOST_CLIPPED * spoilt.length
    assert declip(spoilt)[1] == 0


@pytest.mark.parametrize("samples", [1, 5, 40, 700])
def test_very_short_sounds(samples: int) -> None:
    spoilt = clipped(syllables(RATE, 1.0)[:, 1_000 : 1_000 + samples], 12.0)
    out = declip(Waveform(spoilt, RATE))[0].samples
    assert out.shape == spoilt.shape
    assert np.isfinite(out).all()
