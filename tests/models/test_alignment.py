from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avagent.core.facts import Estimate, Facts
from avagent.models.embedded.alignment import GENERIC, audio_weights, combine, similarity
from avagent.models.embedded.imagenet import image_classes
from avagent.models.embedded.labels import label_table
from avagent.models.embedded.purity import FLOOR, MENDABLE, factors, purity
from avagent.models.embedded.scorer import load_calibration
from avagent.models.embedded.yamnet import read_labels

CLEAN = Facts(duration=6.0, rate=16_000, channels=1, loudness=-23.0, true_peak=-6.0, snr=Estimate(45.0, 1.0))
share = st.floats(0, 1)


def heard(**tags: float) -> np.ndarray:
    labels = read_labels()
    out = np.full(len(labels), 1e-8, np.float32)
    for name, value in tags.items():
        out[next(i for i, label in enumerate(labels) if label.split(",")[0].lower() == name)] = value
    return out


def seen(**tags: float) -> np.ndarray:
    names = [c.label.replace(" ", "_") for c in image_classes()]
    out = np.full(len(names), 1e-5, np.float32)
    for name, value in tags.items():
        out[names.index(name)] = value
    return out


PAIRS = [
    (heard(siren=0.9, **{"emergency vehicle": 0.7, "fire engine": 0.4}), seen(fire_engine=0.8)),
    (heard(fowl=0.9, crowing=0.7), seen(cock=0.8)),
    (heard(violin=0.9), seen(violin=0.8)),
    (heard(sheep=0.9, bleat=0.8), seen(ram=0.8)),
    (heard(bee=0.9), seen(bee=0.8)),
]


@pytest.mark.parametrize("i", range(len(PAIRS)))
def test_a_sound_fits_its_own_picture_best(i):
    table = label_table()
    scores = [similarity(PAIRS[i][0], picture, table) for _, picture in PAIRS]
    assert int(np.argmax(scores)) == i
    assert load_calibration("alignment")(scores[i]) > 0.4


def test_generic_classes_say_little():
    table = label_table()
    bark, picture = heard(dog=0.5), seen(golden_retriever=0.8)
    with_speech = heard(dog=0.5, speech=0.9)
    assert similarity(with_speech, picture, table) > 0.6 * similarity(bark, picture, table)
    assert set(read_labels()) >= GENERIC
    assert audio_weights().min() == pytest.approx(0.1)


def test_nothing_heard_fits_nothing():
    assert similarity(np.zeros(521, np.float32), seen(violin=1.0), label_table()) == 0.0


@given(share, share, share)
def test_combined_score_rises_with_both(match: float, purity_before: float, purity_after: float):
    low, high = sorted((purity_before, purity_after))
    assert 0.0 <= combine(match, low) <= combine(match, high) <= 1.0
    assert combine(low, match) <= combine(high, match)


FAULTY = {
    "noise": replace(CLEAN, snr=Estimate(10.0, 1.0)),
    "hum": replace(CLEAN, hum=Estimate(50.0, 1.0), hum_level=-15.0),
    "dropouts": replace(CLEAN, gap_count=1, gap_seconds=0.02, longest_gap=0.02),
    "clipping": replace(CLEAN, clipping=0.003),
    "quiet": replace(CLEAN, loudness=-43.0, true_peak=-26.0),
    "loud": replace(CLEAN, loudness=-4.0, true_peak=5.0),
}


def test_clean_sound_is_pure():
    assert purity(CLEAN) == 1.0


@pytest.mark.parametrize("fault", FAULTY)
def test_every_fault_lowers_its_own_factor_below_the_threshold(fault):
    found = factors(FAULTY[fault])
    assert found.pop(fault) <= MENDABLE
    assert set(found.values()) == {1.0}


@pytest.mark.parametrize("duration", [0.5, 6.0, 600.0])
def test_even_one_dropout_in_a_long_clip_counts(duration):
    one = replace(CLEAN, duration=duration, gap_count=1, gap_seconds=0.02)
    assert purity(one) <= MENDABLE


def test_what_is_measured_without_confidence_counts_nothing():
    assert purity(replace(CLEAN, snr=Estimate(-5.0, 0.0), hum=Estimate(50.0, 0.0), hum_level=0.0)) == 1.0


@given(
    st.builds(
        Facts,
        duration=st.floats(0.05, 600),
        rate=st.just(16_000),
        channels=st.just(1),
        loudness=st.none() | st.floats(-70, 10),
        true_peak=st.none() | st.floats(-90, 20),
        snr=st.none() | st.builds(Estimate, st.floats(-20, 80), share),
        hum=st.none() | st.builds(Estimate, st.floats(45, 65), share),
        hum_level=st.none() | st.floats(-60, 0),
        gap_count=st.integers(0, 100),
        gap_seconds=st.floats(0, 10),
        clipping=share,
    ),
    st.floats(0, 30),
)
def test_purity_is_bounded_and_less_noise_is_never_worse(facts: Facts, better: float):
    assert FLOOR <= purity(facts) <= 1.0
    if facts.snr is not None:
        cleaner = replace(facts, snr=Estimate(facts.snr.value + better, facts.snr.confidence))
        assert purity(cleaner) >= purity(facts)


@pytest.mark.parametrize("name", ["alignment", "synchronization"])
def test_the_shipped_calibrations_tell_pairs_apart(name):
    calibration = load_calibration(name)
    assert calibration.auc > 0.7
    assert calibration.matched > 30
    assert 0.0 < calibration.min_gain < 0.1
    assert len(calibration.data_sha256) == 64
    assert np.all(np.diff(calibration.value) > 0)
