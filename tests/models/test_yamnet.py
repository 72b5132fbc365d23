from __future__ import annotations

import numpy as np
import pytest
from views import sound

from avagent.core.errors import FailureReason, ModelError
from avagent.core.media import Waveform
from avagent.models.embedded import yamnet
from avagent.models.embedded.yamnet import Yamnet, level, log_mel, mel_matrix, pool, read_labels, to_model_rate


@pytest.fixture(scope="module")
def network() -> Yamnet:
    return Yamnet()


def tone(hertz: float, seconds: float, rate: int = yamnet.RATE) -> Waveform:
    t = np.arange(round(seconds * rate)) / rate
    return Waveform((0.3 * np.sin(2 * np.pi * hertz * t))[None].astype(np.float32), rate)


def test_mel_bands_cover_the_range_and_no_more():
    mel = mel_matrix()
    frequencies = np.linspace(0, yamnet.RATE / 2, mel.shape[0])
    assert mel.shape == (257, 64)
    assert np.all(mel >= 0)
    assert np.all(mel.max(axis=0) > 0.2)
    assert not mel[(frequencies < yamnet.MEL_LOW) | (frequencies > yamnet.MEL_HIGH)].any()
    inside = (frequencies > 200) & (frequencies < 7000)
    # Neighbouring triangles overlap so that their sum is one between the first and the last centre.
    np.testing.assert_allclose(mel[inside].sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("hertz", [250.0, 1000.0, 4000.0])
def test_a_tone_lights_its_band(hertz):
    spectrum = log_mel(to_model_rate(tone(hertz, 1.0)), mel_matrix())
    low, high = (1127 * np.log1p(f / 700) for f in (yamnet.MEL_LOW, yamnet.MEL_HIGH))
    expected = (1127 * np.log1p(hertz / 700) - low) / (high - low) * 65 - 1
    assert abs(spectrum.mean(axis=0).argmax() - expected) <= 1


def test_frames_are_counted_without_padding():
    assert log_mel(np.zeros(400, np.float32), mel_matrix()).shape == (1, 64)
    assert log_mel(np.zeros(16_000, np.float32), mel_matrix()).shape == (98, 64)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.05, 0.9])
def test_short_sounds_are_repeated(rate, seconds):
    assert to_model_rate(tone(440, seconds, rate)).size == 3 * yamnet.RATE


@pytest.mark.parametrize("seconds", [0.01, 0.5, 1.0, 2.4])
def test_every_length_is_tagged(network, seconds):
    posteriors = network.posteriors(tone(440, seconds))
    assert posteriors.shape[0] >= 1
    assert posteriors.shape[1] == 521
    assert np.all((posteriors >= 0) & (posteriors <= 1))


def test_blocks_change_nothing(network, monkeypatch):
    rng = np.random.default_rng(0)
    waveform = Waveform(rng.standard_normal((1, 7 * yamnet.RATE + 123)).astype(np.float32) * 0.1, yamnet.RATE)
    whole = network.posteriors(waveform)
    monkeypatch.setattr(yamnet, "BLOCK_PATCHES", 3)
    np.testing.assert_array_equal(network.posteriors(waveform), whole)


def test_what_a_sound_is_does_not_depend_on_its_level(network):
    loud = tone(440, 2.0)
    soft = Waveform(loud.samples * np.float32(0.03), loud.rate)
    np.testing.assert_allclose(pool(network.posteriors(soft)), pool(network.posteriors(loud)), atol=0.02)


def test_silence_stays_silence(network):
    silence = Waveform(np.zeros((2, yamnet.RATE), np.float32), yamnet.RATE)
    assert not level(silence.mono()).any()
    assert read_labels()[int(pool(network.posteriors(silence)).argmax())] == "Silence"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(network, bad):
    waveform = Waveform(np.full((1, 100), bad, np.float32), yamnet.RATE)
    with pytest.raises(ModelError, match="NaN or infinite") as caught:
        network.posteriors(waveform)
    assert caught.value.reason is FailureReason.NON_FINITE_SAMPLES


def test_no_samples_are_refused(network):
    with pytest.raises(ModelError, match="no samples"):
        network.posteriors(Waveform(np.zeros((1, 0), np.float32), yamnet.RATE))


@pytest.mark.parametrize(
    ("stem", "label"),
    [
        ("vehicles/emergency/firetruck", "Siren"),
        ("animals/birds/rooster", "Chicken, rooster"),
        ("animals/mammals/bovines/cow_white", "Moo"),
        ("hobbies/music/percussion/drumkit", "Percussion"),
    ],
)
def test_real_sounds_get_their_names(network, media_dir, stem, label):
    heard = pool(network.posteriors(sound(media_dir / "stamps" / f"{stem}.ogg")))
    strongest = [read_labels()[i] for i in np.argsort(-heard)[:8]]
    assert label in strongest


def test_speech_is_speech(network, media_dir):
    path = min((media_dir / "speech").iterdir())
    assert read_labels()[int(pool(network.posteriors(sound(path))).argmax())] == "Speech"
