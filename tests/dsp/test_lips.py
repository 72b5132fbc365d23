"""Lips against a voice: a mouth that makes the sound is in time with it, and no other is."""

from __future__ import annotations

import numpy as np
import pytest

from avagent.core.errors import ParameterError
from avagent.core.media import Waveform
from avagent.core.timing import lag_grid, tempo_grid
from avagent.dsp.measures.lips import LEAD_MS, Mouth, lip_cue, picture_rate, voice_level

RATE = 16_000
FPS = 30.0


def openings(seconds: float, seed: int, rate: float = 200.0) -> np.ndarray:
    """How far a mouth is open that speaks about four syllables a second, with pauses."""
    random = np.random.default_rng(seed)
    clock = np.arange(round(seconds * rate)) / rate
    curve, at = np.zeros(clock.size), 0.2
    while at < seconds - 0.3:
        at += random.uniform(0.15, 0.35) + (random.uniform(0.3, 0.7) if random.random() < 0.12 else 0.0)
        curve = np.maximum(
            curve, random.uniform(0.3, 1.0) * np.exp(-0.5 * ((clock - at) / random.uniform(0.04, 0.08)) ** 2)
        )
    return curve


def mouth_of(curve: np.ndarray, *, fps: float = FPS, noise: float = 0.03, rate: float = 200.0) -> Mouth:
    times = np.arange(round(curve.size / rate * fps)) / fps
    shown = np.interp(times, np.arange(curve.size) / rate, curve)
    random = np.random.default_rng(7)
    inner, outer, jaw = (shown * s + noise * s * random.standard_normal(shown.size) for s in (0.1, 0.12, 0.08))
    return Mouth(times, inner.astype(np.float32), (0.1 + outer).astype(np.float32), (0.5 + jaw).astype(np.float32))


def voice_of(curve: np.ndarray, *, late_ms: float = LEAD_MS, tempo: float = 1.0, rate: float = 200.0) -> Waveform:
    """Noise that is as loud as the mouth is open; lips are ahead of a voice that is in time."""
    count = round(curve.size / rate * RATE)
    at = (np.arange(count) / RATE - late_ms / 1000.0) * tempo
    level = np.interp(at, np.arange(curve.size) / rate, curve, left=0.0, right=0.0)
    noise = np.random.default_rng(3).standard_normal(count)
    return Waveform((0.1 * (level + 0.003) * noise)[None].astype(np.float32), RATE)


def best(cue) -> tuple[float, float]:
    return float(lag_grid()[cue.at_tempo_one.argmax()]), float(cue.at_tempo_one.max())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("moved", [-1200, -400, -200, 0, 200, 400, 1200])
def test_the_lag_is_found_wherever_it_is(seed, moved):
    curve = openings(9.0, seed)
    cue = lip_cue(mouth_of(curve), voice_of(curve, late_ms=LEAD_MS + moved))
    lag, height = best(cue)
    assert lag == pytest.approx(moved, abs=30)
    assert height > 5.0
    assert cue.surrogates <= 0.02


@pytest.mark.parametrize("gain", [1.0, 100.0])
def test_another_voice_however_loud_is_no_evidence(gain):
    mean, peaks = [], []
    for seed in range(20):
        voice = voice_of(openings(9.0, 100 + seed))
        cue = lip_cue(mouth_of(openings(9.0, seed)), Waveform(voice.samples * np.float32(gain), RATE))
        mean.append(float(np.exp(cue.at_tempo_one.astype(np.float64)).mean()))
        peaks.append(cue.surrogates)
    assert np.mean(mean) < 3.0
    assert np.mean(np.array(mean) > 20.0) <= 0.05
    assert np.mean(np.array(peaks) <= 0.1) <= 0.3


def test_level_and_channels_do_not_count():
    curve = openings(8.0, 1)
    voice = voice_of(curve)
    other = Waveform(np.concatenate([voice.samples, voice.samples]) * np.float32(0.3), RATE)
    assert np.allclose(lip_cue(mouth_of(curve), voice).log_ratio, lip_cue(mouth_of(curve), other).log_ratio, atol=0.05)


@pytest.mark.parametrize("tempo", [0.88, 1.12])
def test_a_voice_at_another_tempo_fits_at_that_tempo(tempo):
    curve = openings(9.0, 2)
    cue = lip_cue(mouth_of(curve), voice_of(curve, tempo=tempo))
    row, column = np.unravel_index(int(cue.log_ratio.argmax()), cue.log_ratio.shape)
    assert tempo_grid()[row] == pytest.approx(tempo, rel=0.02)
    assert abs(lag_grid()[column]) <= 80
    assert cue.log_ratio.max() > cue.at_tempo_one.max() + 3.0


def test_digital_silence_is_not_taken_for_a_voice_that_rests():
    curve = openings(9.0, 4)
    voice = voice_of(curve)
    samples = voice.samples.copy()
    for start in (1.3, 3.1, 4.9, 6.6):
        samples[:, round(start * RATE) : round((start + 0.3) * RATE)] = 0.0
    holed = Waveform(samples, RATE)
    _, heard = voice_level(holed)
    assert heard.mean() == pytest.approx(1.0 - 1.2 / 9.0, abs=0.02)
    assert best(lip_cue(mouth_of(curve), holed))[0] == pytest.approx(0.0, abs=30)
    assert best(lip_cue(mouth_of(curve), holed))[1] > 4.0


def test_a_face_that_goes_away_is_passed_over():
    curve = openings(10.0, 5)
    mouth = mouth_of(curve)
    away = (mouth.times > 4.0) & (mouth.times < 5.5)
    parts = [np.where(away, np.nan, part).astype(np.float32) for part in (mouth.inner, mouth.outer, mouth.jaw)]
    cue = lip_cue(Mouth(mouth.times, *parts), voice_of(curve, late_ms=LEAD_MS + 300))
    assert best(cue)[0] == pytest.approx(300, abs=30)


def test_a_cut_is_no_movement_of_the_lips():
    curve = openings(9.0, 8)
    mouth, voice = mouth_of(curve), voice_of(curve, late_ms=LEAD_MS - 300)
    # From the cut on another face is shown, or the same one from nearer.
    after = mouth.times >= 4.6
    parts = [(part + after * 0.5).astype(np.float32) for part in (mouth.inner, mouth.outer, mouth.jaw)]
    whole, blind = best(lip_cue(mouth, voice)), best(lip_cue(Mouth(mouth.times, *parts), voice))
    told = best(lip_cue(Mouth(mouth.times, *parts, cuts=np.array([mouth.times[after][0]])), voice))
    assert told[0] == whole[0] == pytest.approx(-300, abs=30)
    assert blind[1] < told[1]
    assert told[1] > whole[1] - 2.0


def test_shots_that_are_short_are_not_counted():
    curve = openings(9.0, 6)
    mouth = mouth_of(curve)
    shots = Mouth(mouth.times, mouth.inner, mouth.outer, mouth.jaw, cuts=np.arange(1.5, 9.0, 1.5))
    assert lip_cue(shots, voice_of(curve)).reason == "face_too_short"


def test_who_cannot_tell_says_why():
    curve = openings(9.0, 6)
    voice = voice_of(curve)
    assert lip_cue(mouth_of(curve[:800]), voice).reason == "face_too_short"
    assert lip_cue(mouth_of(curve, fps=12.0), voice).reason == "low_frame_rate"
    still = mouth_of(np.zeros(curve.size), noise=0.0)
    assert lip_cue(still, voice).reason == "no_onsets"
    assert lip_cue(mouth_of(curve), Waveform(np.zeros((1, 9 * RATE), np.float32), RATE)).reason == "no_onsets"
    assert lip_cue(mouth_of(curve), Waveform(np.zeros((1, 0), np.float32), RATE)).reason == "no_onsets"
    nobody = np.full(270, np.nan, np.float32)
    assert lip_cue(Mouth(np.arange(270) / FPS, nobody, nobody, nobody), voice).reason == "face_too_short"
    assert picture_rate(mouth_of(curve)) == pytest.approx(FPS)


def test_a_mouth_needs_as_many_values_as_times():
    values = np.zeros(4, np.float32)
    with pytest.raises(ParameterError, match="as many values as times"):
        Mouth(np.arange(5.0), values, values, values)
