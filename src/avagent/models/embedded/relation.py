"""When can tags tell whether a sound belongs to a picture? Only where both are named, and the labels know of both.

Each rule has its reason:

- A sound is named by the classes of things that are heard. Speech, music, weather and rooms are not among them: they
  accompany any picture. What only says "an animal" counts, since it says that nothing else is heard.
- A picture is named where the probable classes mean about the same: the mean of their label vectors is long. It is
  short where the network is unsure between unrelated things.
- What is seen must be something that the audio classes know a sound of: no sound belongs to an envelope.
- Music is told where an instrument is seen; elsewhere it may be a score, which belongs to its film all the same.
- ImageNet has no class of people. A face that is seen while speech is heard is what the labels do not know. Speech
  without a face is a narrator as often as a wrong soundtrack: weak evidence, and not used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from avagent.core.media import FloatArray
from avagent.models.embedded.alignment import GENERIC, similarity
from avagent.models.embedded.imagenet import image_classes
from avagent.models.embedded.labels import LabelTable, label_table
from avagent.models.embedded.yamnet import read_labels

LEAST_CONFIDENCE = 0.3
"""Of both names: the point of the coverage-accuracy curve that is used (`bench/alignment.py`)."""
LEAST_KIN = 0.35
"""Cosine between what is seen and the nearest class of sounds: two of three ImageNet classes have such a one."""
SPEECH = 0.5
FACES = 0.5
"""Share of the pictures that must show a face for it to be taken for the speaker's."""
TALKING_FACE = 0.55
"""As similar as a picture and its own sound, both named, are in the median."""

COARSE = frozenset(
    {"Animal", "Wild animals", "Domestic animals, pets", "Livestock, farm animals, working animals"},
)
AMBIENCE = frozenset(
    {
        "Water",
        "Waterfall",
        "Stream",
        "Rain",
        "Raindrop",
        "Rain on surface",
        "Ocean",
        "Waves, surf",
        "Steam",
        "Hiss",
        "Spray",
        "Wind",
        "Wind noise (microphone)",
        "Rustling leaves",
        "Rustle",
        "Gurgling",
        "Traffic noise, roadway noise",
        "Hum",
        "Mains hum",
        "Rumble",
        "Crackle",
        "Distortion",
        "Sidetone",
        "Cacophony",
        "Throbbing",
        "Vibration",
    }
)
"""Goes with almost any picture, or is what noise is taken for."""
FIRST_NOT_HUMAN, FIRST_NOT_MUSIC = "Animal", "Wind"
"""AudioSet's ontology in the order of the classes: human sounds, animals, music up to here, then all else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """What the tags of a sound and a picture tell of the pair.

    Attributes:
        similarity: in [-1, 1]; None: they cannot tell.
        note: why not: `speaker_unseen`, `sound_unnamed`, `picture_unnamed`, `relation_unknown`; None: they can.
        confidence: with which both are named, in [0, 1]; 0 where what they are says nothing of the pair.
    """

    similarity: float | None
    note: str | None
    confidence: float


def relate(
    heard: FloatArray,
    seen: FloatArray,
    faces: Callable[[], float],
    table: LabelTable,
    least: float = LEAST_CONFIDENCE,
) -> Relation:
    """What the tags tell.

    Args:
        heard: probabilities of the audio classes, float32 [521].
        seen: probabilities of the picture classes, float32 [1000].
        faces: gives the share of the pictures that show a face, in [0, 1]; asked only where speech is heard.
        table: vectors of the labels.
        least: confidence of both names from which on the pair is judged.
    """
    spoken = float(heard[_speech()])
    if spoken >= SPEECH and faces() >= FACES:
        return Relation(similarity=TALKING_FACE, note=None, confidence=spoken)
    picture = named_picture(seen, table)
    thing, music = float((heard * _naming()).max()), float((heard * _music()).max())
    played = min(music, float(seen @ _instruments()))
    kin = float(seen @ _kin()) / max(float(seen.sum()), 1e-9)
    known = min(thing, picture) if kin >= LEAST_KIN else 0.0
    confidence = max(known, played)
    if confidence >= least:
        return Relation(similarity=similarity(heard, seen, table), note=None, confidence=confidence)
    if thing >= least:
        note = "picture_unnamed" if picture < least else "relation_unknown"
    elif spoken >= SPEECH:
        note = "speaker_unseen"
    else:
        note = "relation_unknown" if music >= least else "sound_unnamed"
    return Relation(similarity=None, note=note, confidence=confidence)


def named_picture(seen: FloatArray, table: LabelTable) -> float:
    """How surely a picture is named, [0, 1]: length of the mean of the unit vectors of what it may show."""
    return min(1.0, float(np.linalg.norm(seen @ _unit(table.image))))


def _unit(vectors: FloatArray) -> FloatArray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@cache
def _speech() -> int:
    return read_labels().index("Speech")


@cache
def _naming() -> FloatArray:
    """1 for the audio classes that name a thing, float32 [521]."""
    labels = read_labels()
    human, music = labels.index(FIRST_NOT_HUMAN), _music()
    return np.array(
        [
            label in COARSE or (i > human and not music[i] and label not in GENERIC and label not in AMBIENCE)
            for i, label in enumerate(labels)
        ],
        np.float32,
    )


@cache
def _music() -> FloatArray:
    """1 for music and instruments, float32 [521]."""
    labels = read_labels()
    mask = np.zeros(len(labels), np.float32)
    mask[labels.index("Music") : labels.index(FIRST_NOT_MUSIC)] = 1.0
    return mask


@cache
def _instruments() -> FloatArray:
    """1 for the picture classes of musical instruments, float32 [1000]."""
    return np.array(["musical instrument" in entry.hypernyms for entry in image_classes()], np.float32)


@cache
def _kin() -> npt.NDArray[np.float32]:
    """Of each picture class, the cosine with the nearest audio class that names a thing or music, float32 [1000]."""
    table = label_table()
    known = (_naming() + _music()) > 0.0
    return (_unit(table.image) @ table.audio[known].T).max(axis=1).astype(np.float32)
