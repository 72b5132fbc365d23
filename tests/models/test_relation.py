"""When tags can tell whether a sound belongs to a picture, and why they cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_alignment import heard, seen

from avagent.models.embedded.labels import label_table
from avagent.models.embedded.relation import (
    AMBIENCE,
    COARSE,
    FIRST_NOT_HUMAN,
    FIRST_NOT_MUSIC,
    LEAST_CONFIDENCE,
    TALKING_FACE,
    named_picture,
    relate,
)
from avagent.models.embedded.yamnet import read_labels

TOLD = {
    "a dog that barks": (heard(dog=0.8, bark=0.6), seen(beagle=0.4, basset=0.3), 0.0),
    "a dog that quacks": (heard(duck=0.9), seen(beagle=0.4, basset=0.3), 0.0),
    "music of an instrument": (heard(music=0.9), seen(violin=0.4, cello=0.3), 0.0),
    "some animal, and one": (heard(animal=0.8), seen(tabby=0.7), 0.0),
    "a talking face": (heard(speech=0.9), seen(suit=0.2), 1.0),
}
NOT_TOLD = {
    "nothing heard": (heard(dog=0.1), seen(beagle=0.9), 0.0, "sound_unnamed"),
    "rain on anything": (heard(rain=0.9), seen(beagle=0.9), 0.0, "sound_unnamed"),
    "noise": (heard(**{"white noise": 0.9}), seen(beagle=0.9), 0.0, "sound_unnamed"),
    "a laugh": (heard(laughter=0.9), seen(beagle=0.9), 0.0, "sound_unnamed"),
    "a score": (heard(music=0.9, trumpet=0.8), seen(beagle=0.9), 0.0, "relation_unknown"),
    "what makes no sound": (heard(dog=0.9), seen(envelope=0.9), 0.0, "relation_unknown"),
    "unrelated guesses": (heard(dog=0.9), seen(violin=0.1, beagle=0.1, envelope=0.1), 0.0, "picture_unnamed"),
    "a narrator": (heard(speech=0.9), seen(beagle=0.9), 0.0, "speaker_unseen"),
    "a face now and then": (heard(speech=0.9), seen(beagle=0.9), 0.25, "speaker_unseen"),
    "a face and no voice": (heard(dog=0.1, speech=0.2), seen(suit=0.9), 1.0, "sound_unnamed"),
}


@pytest.mark.parametrize("case", TOLD)
def test_what_can_be_told(case):
    sound, picture, faces = TOLD[case]
    found = relate(sound, picture, lambda: faces, label_table())
    assert found.note is None
    assert found.similarity is not None
    assert found.confidence >= LEAST_CONFIDENCE
    assert (found.similarity > 0.3) == (case != "a dog that quacks")


@pytest.mark.parametrize("case", NOT_TOLD)
def test_what_cannot_be_told_says_why(case):
    sound, picture, faces, note = NOT_TOLD[case]
    found = relate(sound, picture, lambda: faces, label_table())
    assert (found.similarity, found.note) == (None, note)


def test_faces_are_looked_for_only_where_speech_is_heard():
    def look() -> float:
        raise AssertionError("nobody speaks")

    assert relate(heard(dog=0.9), seen(beagle=0.9), look, label_table()).similarity is not None
    assert relate(heard(speech=0.9), seen(beagle=0.9), lambda: 1.0, label_table()).similarity == TALKING_FACE


@given(st.floats(0, 1), st.floats(0, 1))
def test_without_a_bound_every_pair_is_told_and_the_bound_is_one_of_confidence(bark: float, beagle: float):
    pair = heard(dog=bark), seen(beagle=beagle), lambda: 0.0, label_table()
    least = relate(*pair).confidence
    assert 0.0 <= least <= 1.0
    assert relate(*pair, least=0.0).similarity is not None
    assert (relate(*pair).similarity is None) == (least < LEAST_CONFIDENCE)


def test_a_picture_is_named_by_classes_of_one_meaning():
    table = label_table()
    dogs = named_picture(seen(beagle=0.25, basset=0.25, bloodhound=0.25, whippet=0.25), table)
    things = named_picture(seen(beagle=0.25, violin=0.25, envelope=0.25, seashore=0.25), table)
    assert dogs > 0.7
    assert things < 0.55
    assert named_picture(np.zeros(1000, np.float32), table) == 0.0


def test_the_rules_speak_of_classes_that_there_are():
    labels = read_labels()
    assert set(labels) >= COARSE | AMBIENCE
    assert (
        labels.index("Speech") < labels.index(FIRST_NOT_HUMAN) < labels.index("Music") < labels.index(FIRST_NOT_MUSIC)
    )
