"""Facts are right where the truth is known, and say nothing where there is nothing to say."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avagent.core.errors import ParameterError
from avagent.core.facts import Facts, NoiseColour
from avagent.core.media import Motion, StreamInfo, Waveform
from avagent.dsp.faults import Clipping, Dropouts, HumFault, Level, Noise, inject
from avagent.dsp.measures.clipping import clipping_ratio
from avagent.dsp.measures.coded_dropouts import find_coded_dropouts
from avagent.dsp.measures.noise_floor import noise_floor
from avagent.dsp.measures.sound_facts import measure
from avagent.dsp.measures.spectrum import spectrogram

RATE = 16000


def _decode(path: Path) -> Waveform:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        frames = [f.to_ndarray() for frame in container.decode(stream) for f in resampler.resample(frame)]
    return Waveform(np.concatenate(frames, axis=1)[:, : 10 * stream.rate].astype(np.float32), stream.rate)


@pytest.fixture(scope="module")
def speech(media_dir: Path) -> list[Waveform]:
    return [_decode(path) for path in sorted((media_dir / "speech").glob("*.g722"))]


@pytest.fixture(scope="module")
def sounds(media_dir: Path) -> dict[str, Waveform]:
    paths = sorted((media_dir / "stamps").rglob("*.ogg"))
    decoded = {path.stem: _decode(path) for path in paths}
    return {name: sound for name, sound in decoded.items() if np.abs(sound.samples).max() > 0.01}


def _bursts(seconds: float = 4.0, rate: int = RATE, channels: int = 1, seed: int = 0) -> Waveform:
    """Sounds of 0.3 s that swell and fade, with silence between."""
    generator = np.random.default_rng(seed)
    length = int(seconds * rate)
    envelope = np.maximum(0.0, np.sin(2 * np.pi * np.arange(length) / rate / 0.6)) ** 2
    return Waveform((0.2 * envelope * generator.standard_normal((channels, length))).astype(np.float32), rate)


@pytest.mark.parametrize("colour", ["white", "pink", "brown"])
@pytest.mark.parametrize("snr", [0.0, 10.0, 20.0])
def test_snr_and_colour_on_speech(speech: list[Waveform], colour: str, snr: float) -> None:
    errors, colours, confidences = [], [], []
    for seed, clean in enumerate(speech):
        facts = measure(inject(Noise(snr_db=snr, colour=colour), clean, seed=seed).waveform)  # type: ignore[arg-type]
        assert facts.snr is not None
        errors.append(facts.snr.value - snr)
        confidences.append(facts.snr.confidence)
        colours.append(facts.noise_colour == colour)
    assert np.mean(np.abs(errors)) <= 2.0
    assert np.mean(colours) >= 0.9
    assert np.median(confidences) >= 0.5


def test_clean_speech_is_left_alone(speech: list[Waveform]) -> None:
    for facts in map(measure, speech):
        assert facts.snr is not None
        assert facts.snr.value > 20.0
        assert facts.snr.confidence >= 0.5
        assert facts.hum is None or facts.hum.confidence < 0.5
        assert facts.gap_count == 0
        assert facts.clipping == 0.0


CLIPPED_RECORDINGS = {"pig_golden", "pig_golden2", "toilet"}
"""They come so: flat crests of both signs at one level, rippled by the codec."""


def test_clean_sounds_of_all_kinds_seldom_look_noisy(sounds: dict[str, Waveform]) -> None:
    noisy, clipped, gaps = [], [], []
    for name, facts in ((name, measure(sound)) for name, sound in sounds.items()):
        if facts.snr is not None and facts.snr.value < 15.0 and facts.snr.confidence > 0.5:
            noisy.append(name)
        clipped += [name] if facts.clipping > 0.002 else []
        gaps += [name] if facts.gap_count else []
    # What is left was recorded beside running water, wind or other noise.
    assert len(noisy) <= 0.12 * len(sounds), noisy
    assert {name.rsplit("/", 1)[-1].removesuffix(".ogg") for name in clipped} <= CLIPPED_RECORDINGS
    assert gaps == []


def _steady(kind: str, seconds: float = 6.0) -> Waveform:
    generator = np.random.default_rng(0)
    length = int(seconds * RATE)
    noise = generator.standard_normal(length)
    if kind == "engine":
        phase = 2 * np.pi * np.arange(length) * 37.0 / RATE
        sound = sum(np.sin(k * phase + k) / k**0.7 for k in range(1, 60)) + 0.3 * noise
    elif kind == "rain":
        drops = generator.integers(0, length, 3000)
        sound = 0.02 * noise
        sound[drops] += generator.exponential(0.3, drops.size)
        sound = np.convolve(sound, 0.7 ** np.arange(20), "same")
    else:
        sound = noise
    return Waveform((0.3 * sound / np.abs(sound).max()).astype(np.float32)[None], RATE)


@pytest.mark.parametrize("kind", ["engine", "rain", "waterfall"])
def test_steady_sound_does_not_pass_for_noise_with_confidence(kind: str) -> None:
    facts = measure(_steady(kind))
    assert facts.snr is not None
    assert facts.snr.confidence < 0.2


def test_hum_on_speech(speech: list[Waveform]) -> None:
    for seed, clean in enumerate(speech):
        fundamental = (49.8, 60.1)[seed % 2]
        facts = measure(inject(HumFault(snr_db=5.0, fundamental_hz=fundamental), clean, seed=seed).waveform)
        assert facts.hum is not None
        assert abs(facts.hum.value - fundamental) <= 0.2
        assert facts.hum.confidence > 0.5
        assert facts.hum_level == pytest.approx(-6.2, abs=1.5)


def test_gaps_on_speech(speech: list[Waveform]) -> None:
    found = injected = 0
    for seed, clean in enumerate(speech):
        made = inject(Dropouts(lengths_ms=(20.0, 40.0, 60.0, 100.0)), clean, seed=seed)
        facts = measure(made.waveform)
        found += facts.gap_count
        injected += len(made.truth.gaps)
        longest = max(gap.stop - gap.start for gap in made.truth.gaps) / clean.rate
        assert facts.longest_gap == pytest.approx(longest, abs=0.002)
    assert abs(found - injected) <= 0.02 * injected


def _through_residue(waveform: Waveform, seed: int) -> Waveform:
    """As a codec leaves it: noise 40 dB below the local level, spread over 10 ms."""
    generator = np.random.default_rng(seed)
    size = int(0.01 * waveform.rate)
    local = np.sqrt(np.convolve(np.square(waveform.samples[0]), np.ones(size) / size, "same"))
    noise = 0.01 * local * generator.standard_normal(waveform.length)
    return Waveform((waveform.samples + noise).astype(np.float32), waveform.rate)


def test_gaps_behind_a_codec(speech: list[Waveform]) -> None:
    hits = injected = 0
    for seed, clean in enumerate(speech):
        made = inject(Dropouts(lengths_ms=(20.0, 40.0, 60.0, 100.0)), clean, seed=seed)
        assert find_coded_dropouts(_through_residue(clean, seed)) == ()
        found = find_coded_dropouts(_through_residue(made.waveform, seed))
        near = 0.003 * clean.rate
        for gap in made.truth.gaps:
            hits += any(abs(start - gap.start) < near and abs(stop - gap.stop) < near for start, stop in found)
        injected += len(made.truth.gaps)
    assert hits >= 0.85 * injected


@given(drive=st.floats(4.0, 20.0))
@settings(max_examples=20, deadline=None)
def test_clipping_is_counted(drive: float) -> None:
    low = np.convolve(_bursts().samples[0], np.hanning(33) / 8.0, "same").astype(np.float32)
    made = inject(Clipping(drive_db=drive), Waveform(low[None], RATE), seed=0)
    assert clipping_ratio(made.waveform) == pytest.approx(made.truth.clipped, abs=0.01)


def test_clipping_behind_a_codec_is_seen(speech: list[Waveform]) -> None:
    seen = []
    for seed, clean in enumerate(speech):
        made = inject(Clipping(drive_db=12.0), clean, seed=seed)
        assert clipping_ratio(_through_residue(clean, seed)) == 0.0
        ratio = clipping_ratio(_through_residue(made.waveform, seed))
        seen.append(abs(ratio - made.truth.clipped) < 0.05)
    assert np.mean(seen) >= 0.85


@pytest.mark.parametrize("frequency", [50.0, 440.0, 3000.0])
def test_a_tone_is_not_clipped(frequency: float) -> None:
    tone = 0.5 * np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)
    assert clipping_ratio(Waveform(tone.astype(np.float32)[None], RATE)) == 0.0


def test_level_moves_loudness_and_peak_and_nothing_else(speech: list[Waveform]) -> None:
    before = measure(speech[0])
    after = measure(inject(Level(gain_db=-20.0), speech[0], seed=0).waveform)
    assert before.loudness is not None
    assert after.loudness == pytest.approx(before.loudness - 20.0, abs=0.05)
    assert before.true_peak is not None
    assert after.true_peak == pytest.approx(before.true_peak - 20.0, abs=0.01)
    assert before.snr is not None
    assert after.snr is not None
    assert after.snr.value == pytest.approx(before.snr.value, abs=0.1)


def test_true_peak_lies_between_the_samples() -> None:
    # A sine of a quarter of the rate, sampled at 45 degrees, peaks 3 dB above its samples.
    tone = np.sin(2 * np.pi * 0.25 * np.arange(RATE) + np.pi / 4).astype(np.float32)
    facts = measure(Waveform(0.5 * tone[None], RATE))
    assert facts.true_peak == pytest.approx(-6.02, abs=0.1)


def test_bandwidth() -> None:
    spectrum = np.zeros(2 * RATE + 1, complex)
    spectrum[1000 * 4 // 2 : 3000 * 4 // 2] = 1.0
    spectrum *= np.exp(2j * np.pi * np.random.default_rng(0).random(spectrum.size))
    samples = np.fft.irfft(spectrum, 4 * RATE)
    facts = measure(Waveform((0.3 * samples / np.abs(samples).max()).astype(np.float32)[None], RATE))
    edge = 3000.0 * RATE / (4 * RATE) / (2 / 4)
    assert facts.bandwidth == pytest.approx(edge, rel=0.05)


def test_the_lag_of_sound_that_follows_its_picture() -> None:
    times = np.arange(150) / 25.0
    energy = np.zeros(150, np.float32)
    moments = np.array([0.61, 1.4, 1.83, 2.95, 3.3, 4.62])
    energy[np.searchsorted(times, moments)] = 10.0
    samples = 0.001 * np.random.default_rng(0).standard_normal(6 * RATE)
    for moment in moments + 0.3:
        start = round(moment * RATE)
        samples[start : start + 800] += 0.3 * np.exp(-np.arange(800) / 200)
    facts = measure(Waveform(samples.astype(np.float32)[None], RATE), motion=Motion(energy, times))
    assert facts.timing is not None
    assert facts.lag is not None
    # Motion is taken to come before what sounds, by 40 +- 30 ms.
    assert facts.lag.value == pytest.approx(260.0, abs=20.0)
    assert facts.lag.confidence > 0.5


def test_durations() -> None:
    info = StreamInfo(has_audio=True, has_video=True, video_duration=4.5)
    assert measure(_bursts(4.0), streams=info).duration_mismatch == pytest.approx(-0.5)
    sound_only = StreamInfo(has_audio=True, has_video=False)
    assert measure(_bursts(4.0), streams=sound_only).duration_mismatch is None


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_silence_is_muted(level: float) -> None:
    samples = (level * np.random.default_rng(0).standard_normal((2, RATE))).astype(np.float32)
    facts = measure(Waveform(samples, RATE))
    assert facts.muted
    assert facts.snr is None
    assert facts.loudness is None
    assert (facts.true_peak is None) == (level == 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_damaged_samples_are_refused(bad: float) -> None:
    samples = _bursts(0.5).samples.copy()
    samples[0, 100] = bad
    with pytest.raises(ParameterError, match="1 of 8000 samples"):
        measure(Waveform(samples, RATE))


@given(
    seed=st.integers(0, 1000),
    rate=st.sampled_from([1000, 5000, 8000, 11127, 22254, 44100, 48000, 96000]),
    channels=st.integers(1, 6),
    length=st.one_of(st.integers(0, 60), st.integers(60, 3000), st.integers(3000, 40000)),
    kind=st.sampled_from(["noise", "constant", "square", "impulse", "loud"]),
)
@settings(max_examples=80, deadline=None)
def test_any_sound_is_measured(seed: int, rate: int, channels: int, length: int, kind: str) -> None:
    generator = np.random.default_rng(seed)
    shapes = {
        "noise": 0.1 * generator.standard_normal((channels, length)),
        "constant": np.full((channels, length), 0.25),
        "square": np.sign(np.sin(np.arange(length) * 0.3)) * np.ones((channels, 1)),
        "impulse": np.eye(1, length, length // 2) * np.ones((channels, 1)),
        "loud": 30.0 * generator.standard_normal((channels, length)),
    }
    before = shapes[kind].astype(np.float32)
    sound = Waveform(before.copy(), rate)
    facts = measure(sound)
    assert np.array_equal(sound.samples, before)
    assert facts == measure(sound)
    assert facts.duration == pytest.approx(length / rate)
    assert 0.0 <= facts.clipping <= 1.0
    for field in fields(Facts):
        value = getattr(facts, field.name)
        if isinstance(value, float):
            assert np.isfinite(value), field.name
    for estimate in (facts.snr, facts.hum, facts.pitch, facts.lag):
        assert estimate is None or (np.isfinite(estimate.value) and 0.0 <= estimate.confidence <= 1.0)


def test_long_sound_is_measured_by_sections() -> None:
    one = _bursts(61.0, 8000)
    spectra = spectrogram(one)
    assert spectra is not None
    assert spectra.times[-1] > 60.0
    assert spectra.power.shape[0] < 60.0 / 0.016
    floor = noise_floor(spectra)
    assert floor is not None
    assert floor.snr.value > 20.0
    assert measure(one).noise_colour in set(NoiseColour)
