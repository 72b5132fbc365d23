"""Fill blanks: what is a dropout, and how it is restored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avagent.core.actions import FillBlanks
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.edit import apply
from avagent.dsp.actions.fill import FillReport
from avagent.dsp.measures.dropouts import Gap, find_dropouts

from .sounds import syllables, tone, waveform, white

RATE = 16_000


def sounding(seconds: float = 2.0) -> FloatArray:
    """Sound without a pause."""
    return tone(RATE, seconds, 187.0, 0.2) + tone(RATE, seconds, 374.0, 0.05) + white(RATE, seconds, 0.005)


def with_gap(samples: FloatArray, start: int, length: int) -> FloatArray:
    out = samples.copy()
    out[:, start : start + length] = 0.0
    return out


def fill(samples: FloatArray, action: FillBlanks | None = None) -> tuple[FloatArray, FillReport]:
    edited = apply(action or FillBlanks(), waveform(samples, RATE))
    assert isinstance(edited.report, FillReport)
    return edited.waveform.samples, edited.report


@given(st.integers(1_000, 20_000), st.integers(33, 7_900))
@settings(max_examples=40)
def test_a_cut_is_found_to_the_sample(start: int, length: int) -> None:
    found = find_dropouts(waveform(with_gap(sounding(), start, length), RATE))
    assert len(found) == 1
    assert abs(found[0].start - start) <= 2
    assert abs(found[0].stop - start - length) <= 2


def test_two_cuts_are_two() -> None:
    spoilt = with_gap(with_gap(sounding(), 5_000, 400), 12_000, 900)
    assert find_dropouts(waveform(spoilt, RATE)) == (Gap(5_000, 5_400), Gap(12_000, 12_900))


@pytest.mark.parametrize(
    "samples",
    [
        with_gap(sounding(), 0, 3_000),
        with_gap(sounding(), 30_000, 2_000),
        with_gap(sounding(), 8_000, 9_000),
        with_gap(sounding(), 8_000, 20),
        np.zeros((1, 16_000), np.float32),
        syllables(RATE, 3.0),
        sounding(),
    ],
    ids=["leading", "trailing", "too long", "too short", "silence", "pauses", "none"],
)
def test_what_is_no_dropout_stays_bit_identical(samples: FloatArray) -> None:
    out, report = fill(samples)
    np.testing.assert_array_equal(out, samples)
    assert report == FillReport(gaps=())


@pytest.mark.parametrize("fade_ms", [2, 5, 20])
def test_silence_into_which_the_programme_fades_is_left_alone(fade_ms: int) -> None:
    fade = fade_ms * RATE // 1000
    samples = with_gap(sounding(), 8_000, 3_000)
    samples[:, 8_000 - fade : 8_000] *= np.linspace(1, 0, fade, dtype=np.float32)
    samples[:, 11_000 : 11_000 + fade] *= np.linspace(0, 1, fade, dtype=np.float32)
    assert find_dropouts(waveform(samples, RATE)) == ()


def test_silence_of_one_channel_alone_is_no_dropout() -> None:
    pair = np.concatenate([sounding(), with_gap(sounding(), 8_000, 800)])
    assert find_dropouts(waveform(pair, RATE)) == ()


def test_lengths_are_parameters() -> None:
    spoilt = waveform(with_gap(sounding(), 8_000, 800), RATE)
    assert find_dropouts(spoilt, min_gap_ms=51.0) == ()
    assert find_dropouts(spoilt, max_gap_ms=49.0) == ()
    assert fill(with_gap(sounding(), 8_000, 800), FillBlanks(min_gap_ms=60.0))[1].gaps == ()


@pytest.mark.parametrize(("length", "wanted_db"), [(80, 14.0), (320, 12.0), (960, 6.0)])
def test_steady_sound_is_restored(length: int, wanted_db: float) -> None:
    clean = sounding()
    out, report = fill(with_gap(clean, 15_000, length))
    gap = slice(15_000, 15_000 + length)
    rest = np.sum(np.square(out[:, gap] - clean[:, gap]))
    assert 10.0 * np.log10(np.sum(np.square(clean[:, gap])) / rest) > wanted_db
    assert report.gaps == (Gap(15_000, 15_000 + length),)
    assert report.samples == length
    outside = np.ones(clean.shape[1], bool)
    outside[gap] = False
    np.testing.assert_array_equal(out[:, outside], clean[:, outside])


def test_long_gaps_end_in_the_noise_floor() -> None:
    rate = RATE
    clean = syllables(rate, 4.0) + white(rate, 4.0, 0.01)
    start = 20_000 + int(np.argmax(np.abs(clean[0, 20_000:24_000])))
    out, report = fill(with_gap(clean, start, 7_000))
    assert len(report.gaps) == 1
    middle = out[0, start + 3_000 : start + 4_000]
    level_db = 20.0 * np.log10(np.sqrt(np.mean(np.square(middle))) / 0.01)
    assert -6.0 < level_db < 6.0


def test_the_fill_is_never_louder_than_what_is_around_it() -> None:
    for seed in range(5):
        noise = white(RATE, 1.0, 0.1, seed=seed)
        spoilt = with_gap(noise, 6_000, 1_600)
        out, _ = fill(spoilt)
        assert np.abs(out).max() <= np.abs(spoilt).max()


def test_a_panned_sound_stays_panned() -> None:
    spoilt = with_gap(sounding(), 9_000, 640)
    out, _ = fill(np.concatenate([spoilt, 0.5 * spoilt]))
    np.testing.assert_allclose(out[1], 0.5 * out[0], atol=1e-4)


def test_filled_sound_has_no_dropouts_left() -> None:
    out, _ = fill(with_gap(sounding(), 9_000, 640))
    assert find_dropouts(Waveform(out, RATE)) == ()
    np.testing.assert_array_equal(fill(out)[0], out)


def test_a_cut_that_a_codec_smeared_is_found_whole() -> None:
    # A lossy codec leaves faint sound, under a frame long, between the programme and the silence.
    spoilt = with_gap(sounding(), 10_000, 1_600)
    spoilt[:, 10_000:10_250] = white(RATE, 250 / RATE, 0.0005)
    spoilt[:, 11_400:11_600] = white(RATE, 200 / RATE, 0.0005)
    found = find_dropouts(waveform(spoilt, RATE))
    assert len(found) == 1
    assert abs(found[0].start - 10_000) <= 8
    assert abs(found[0].stop - 11_600) <= 8


def test_a_sound_that_starts_out_of_silence_is_no_cut() -> None:
    # Faint breath, then a voice that takes 20 ms to come up: silence before it belongs to the programme.
    samples = with_gap(sounding(), 8_000, 3_000)
    samples[:, 8_000:8_200] = white(RATE, 200 / RATE, 0.0005)
    samples[:, 10_800:11_000] = white(RATE, 200 / RATE, 0.0005)
    samples[:, 7_680:8_000] *= np.linspace(1, 0, 320, dtype=np.float32)
    samples[:, 11_000:11_320] *= np.linspace(0, 1, 320, dtype=np.float32)
    assert find_dropouts(waveform(samples, RATE)) == ()
