"""Windows and contrast, the Kaldi front end, batches: what needs no network."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function
from views import ArrayView, events, grey, movement

from avagent.core.calibration import Calibration, Calibrations
from avagent.core.errors import CalibrationError, FailureReason, MediaError, ModelError, RecipeError
from avagent.core.media import Frames, Motion, Waveform
from avagent.models.scorers.fbank import log_mel
from avagent.models.scorers.scoring import EmbeddingScorer, encode_bounded
from avagent.models.scorers.windows import WindowPlan, unit

PLAN = WindowPlan()
BROKEN = MediaError("the mp4 is truncated", reason=FailureReason.CORRUPT_MEDIA)


@given(st.floats(0.0, 60.0))
def test_windows_lie_in_the_clip(duration: float):
    starts = PLAN.starts(duration)
    assert all(start >= 0.0 and start + PLAN.length <= duration + 0.03 for start in starts)
    assert starts.size == 0 or starts[-1] + PLAN.hop + PLAN.length > duration


def test_a_cut_has_the_windows_length_also_where_the_sound_has_ended():
    sound = Waveform(np.ones((1, 48_000), np.float32), 16_000)
    cut = PLAN.cut(sound, 2.0)
    assert cut.length == 32_000
    assert cut.samples[0, 15_999] == 1.0
    assert cut.samples[0, 16_001] == 0.0


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, 64)).astype(np.float32))


@pytest.mark.parametrize("moved", [1, 2, -1])
def test_what_is_in_time_contrasts_with_what_is_not(moved: int):
    starts, pictures = PLAN.starts(12.0), vectors(11)
    in_time = PLAN.contrast(pictures, pictures, starts)
    late = PLAN.contrast(np.roll(pictures, moved, axis=0), pictures, starts)
    assert in_time is not None
    assert late is not None
    assert in_time > 0.8
    assert late < 0.1


def test_what_is_common_to_the_whole_clip_drops_out():
    starts, pictures = PLAN.starts(12.0), vectors(11)
    same = np.tile(pictures[:1], (11, 1))
    contrast = PLAN.contrast(same, same, starts)
    assert contrast == pytest.approx(0.0, abs=1e-6)


def test_windows_that_are_all_near_each_other_say_nothing():
    close = replace(PLAN, hop=0.25)
    assert close.contrast(vectors(3), vectors(3), np.array([0.0, 0.25, 0.5])) is None
    assert not PLAN.far_apart(PLAN.starts(2.5))
    assert PLAN.far_apart(PLAN.starts(3.0))


@pytest.mark.parametrize("seconds", [0.025, 0.5, 2.0])
def test_log_mels_equal_the_reference_with_imagebinds_options(seconds: float):
    samples = (0.1 * np.random.default_rng(0).standard_normal(round(16_000 * seconds))).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # 128 filters leave the lowest empty, in Kaldi as well
        filters = mel_filter_bank(257, 128, 20, 8000, 16_000, None, "kaldi", triangularize_in_mel_space=True)
    expected = spectrogram(
        samples,
        window_function(400, "hann", periodic=False),
        frame_length=400,
        hop_length=160,
        fft_length=512,
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=filters,
        mel_floor=1.192092955078125e-07,
        log_mel="log",
        remove_dc_offset=True,
    ).T
    np.testing.assert_allclose(log_mel(samples, 16_000, 128), expected, atol=1e-5)


KALDI = {(0, 13): 3.1687, (0, 14): 3.8482, (20, 40): -15.9424, (60, 14): 3.8482, (60, 52): 6.5403, (97, 53): 5.3363}
"""kaldi-native-fbank 1.23.0 on the sound below: samp_freq 16000, dither 0, window_type hanning, num_bins 80,
low_freq 20, high_freq 0, use_energy off (it takes no 128 filters at this rate)."""


def test_log_mels_equal_kaldis_own():
    t = np.arange(16_000) / 16_000
    tones = 0.4 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * 3000 * t) * (t > 0.5) + 0.01
    found = log_mel(tones.astype(np.float32), 16_000, 80)
    assert found.shape == (98, 80)
    assert {place: float(found[place]) for place in KALDI} == pytest.approx(KALDI, abs=2e-4)


@dataclass(frozen=True)
class Counting:
    """Vectors that tell which second of a counting sound, or picture, they are of."""

    most: int = 100
    batches: list[int] = field(default_factory=list)

    def sounds(self, sounds):
        self._count(sounds)
        return np.stack([_second(float(s.samples[0, s.length // 4])) for s in sounds])

    def pictures(self, shots):
        self._count(shots)
        return np.stack([_second(float(s.pixels[0, 0, 0, 0]) / 20.0) for s in shots])

    def _count(self, items):
        if len(items) > self.most:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate")
        self.batches.append(len(items))


def _second(value: float) -> np.ndarray:
    if value < -0.2:
        return np.full(8, np.nan, np.float32)
    vector = np.full(8, 0.1, np.float32)
    vector[round(abs(value) * 10.0) % 8] = 1.0
    return vector


@dataclass(frozen=True, kw_only=True)
class CountingScorer(EmbeddingScorer):
    encoder: Counting = field(default_factory=Counting)
    name = "counting"
    weights = "none"

    def load(self) -> Counting:
        return self.encoder


def counting(key: str = "a", *, late: int = 0, seconds: int = 8) -> ArrayView:
    """Sound and pictures that count the seconds alike, or the sound late; it moves."""
    heard = np.repeat(np.arange(seconds) - late, 16_000).clip(0).astype(np.float32) / 10.0 + 1e-3
    noise = 1e-3 * np.random.default_rng(0).standard_normal(heard.size).astype(np.float32)
    sound = Waveform((heard + noise)[None].astype(np.float32).clip(-1, 1), 16_000)
    times = np.arange(seconds * 4) / 4
    pixels = np.repeat((np.floor(times) * 2).astype(np.uint8), 4 * 4 * 3).reshape(-1, 4, 4, 3)
    return ArrayView(key=key, sound=sound, pictures=Frames(pixels, times), movement=movement([1.0, 2.0, 3.0], seconds))


UNCALIBRATED = {"uncalibrated": True, "margin_alignment": 0.05, "margin_synchronization": 0.1}


def test_a_late_sound_contrasts_less():
    scorer = CountingScorer(**UNCALIBRATED)
    in_time, late = scorer.score([counting(), counting("b", late=2)])
    assert in_time.synchronization > late.synchronization + 0.2


def test_memory_that_does_not_suffice_halves_the_batch():
    wide, narrow = Counting(), Counting(most=3)
    views = [counting(), counting("b", late=1)]
    scores = CountingScorer(encoder=wide, **UNCALIBRATED).score(views)
    assert CountingScorer(encoder=narrow, **UNCALIBRATED).score(views) == scores
    assert max(wide.batches) > 3 >= max(narrow.batches)


def test_one_item_that_does_not_fit_is_an_error_of_its_own():
    with pytest.raises(ModelError, match="memory does not suffice"):
        encode_bounded(Counting(most=0).sounds, [counting().sound], 4)


def test_other_runtime_errors_are_bugs_and_raise():
    def broken(_items):
        raise RuntimeError("shapes do not agree")

    with pytest.raises(RuntimeError, match="shapes"):
        encode_bounded(broken, [1, 2], 2)


def test_a_vector_that_is_not_finite_fails_its_clip_only():
    bad = counting("bad")
    bad = replace(bad, sound=Waveform(bad.sound.samples - 1.0, 16_000), asked=[])
    first, failed, last = CountingScorer(**UNCALIBRATED).raw([counting(), bad, counting("c", late=1)])
    assert isinstance(failed, ModelError)
    assert (first, last) == tuple(CountingScorer(**UNCALIBRATED).raw([counting(), counting("c", late=1)]))


def test_pictures_are_encoded_once_over_the_rounds():
    encoder = Counting()
    scorer = CountingScorer(encoder=encoder, **UNCALIBRATED)
    first = scorer.score([counting()])
    known = len(encoder.batches)
    assert scorer.score([counting()]) == first
    assert len(encoder.batches) == known + 1


STILL = Motion(np.zeros(100, np.float32), np.arange(100) / 25)
SILENT = Waveform(np.zeros((1, 64_000), np.float32), 16_000)
NOT_EVALUABLE = {
    "no sound": (ArrayView(pictures=grey()), "no_audio", "no_audio"),
    "muted": (ArrayView(sound=SILENT, pictures=grey(), movement=movement([1.0], 4.0)), "muted", "muted"),
    "no picture": (ArrayView(sound=events([0.5], 4.0)), "no_video", "no_video"),
    "a photograph": (ArrayView(sound=events([0.5], 4.0), pictures=grey()), None, "still_picture"),
    "still": (ArrayView(sound=events([0.5], 4.0), pictures=grey(), movement=STILL), None, "still_picture"),
    "short": (ArrayView(sound=events([0.5], 2.5), pictures=grey(), movement=movement([1.0], 2.5)), None, "too_short"),
    "short sound": (
        ArrayView(sound=events([0.5], 2.0), pictures=grey(), movement=movement([1.0], 9.0)),
        None,
        "too_short",
    ),
}


@pytest.mark.parametrize("case", NOT_EVALUABLE)
def test_what_cannot_be_evaluated_says_why(case):
    view, alignment_note, synchronization_note = NOT_EVALUABLE[case]
    (answer,) = CountingScorer(**UNCALIBRATED).score([view])
    assert (answer.alignment is None) == (alignment_note is not None)
    assert answer.synchronization is None
    assert (answer.alignment_note, answer.synchronization_note) == (alignment_note, synchronization_note)


def test_a_clip_that_cannot_be_decoded_fails_alone():
    views = [counting(), ArrayView(key="b", broken=BROKEN), counting("c", late=1)]
    together = CountingScorer(**UNCALIBRATED).score(views)
    assert together[1] is BROKEN
    assert together[::2] == CountingScorer(**UNCALIBRATED).score(views[::2])


LINE = Calibration(name="x", raw=(-1.0, 1.0), value=(0.0, 1.0), auc=0.9, matched=9, mismatched=9, min_gain=0.03)


def calibrations(scorer: EmbeddingScorer, **parts: Calibration) -> Calibrations:
    return Calibrations(scorer="counting", model=scorer.model_fingerprint, **parts)


def test_without_a_calibration_it_is_refused():
    for ask in (lambda s: s.margins, lambda s: s.score([counting()])):
        with pytest.raises(CalibrationError, match="has no calibration"):
            ask(CountingScorer())


def test_the_override_needs_margins():
    with pytest.raises(RecipeError, match="margin_alignment and"):
        _ = CountingScorer(uncalibrated=True).margins
    assert CountingScorer(**UNCALIBRATED).margins == (0.05, 0.1)


def test_a_calibration_of_other_windows_is_refused():
    other = calibrations(CountingScorer(window_s=1.0), alignment=LINE)
    with pytest.raises(CalibrationError, match="another model or other options"):
        _ = CountingScorer(calibration=other).margins


def test_scores_go_through_the_calibration():
    plain = CountingScorer()
    scorer = CountingScorer(calibration=calibrations(plain, alignment=LINE))
    (raw,), (score,) = plain.raw([counting()]), scorer.score([counting()])
    assert score.alignment == pytest.approx(LINE(raw.alignment))
    assert (score.synchronization, score.synchronization_note) == (None, "uncalibrated")
    assert scorer.margins == (0.03, 0.0)
    assert scorer.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    "options", [{"batch": 0}, {"window_s": 0.0}, {"hop_s": -1.0}, {"frames_per_window": 0}, {"margin_alignment": 1.0}]
)
def test_options_out_of_bounds_are_refused(options):
    with pytest.raises(RecipeError):
        CountingScorer(**options)
