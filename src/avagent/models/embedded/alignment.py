"""Does the sound fit the picture? Tags of both in one label space, times how pure the sound is."""

from __future__ import annotations

from functools import cache

import numpy as np

from avagent.core.calibration import Calibration
from avagent.core.media import FloatArray
from avagent.models.embedded.labels import LabelTable
from avagent.models.embedded.yamnet import read_labels

TOP_AUDIO, TOP_IMAGE = 8, 10
GENERIC_WEIGHT = 0.1
GENERIC = frozenset(
    {
        "Speech",
        "Music",
        "Animal",
        "Vehicle",
        "Musical instrument",
        "Inside, small room",
        "Inside, large room or hall",
        "Inside, public space",
        "Outside, urban or manmade",
        "Outside, rural or natural",
        "Wild animals",
        "Domestic animals, pets",
        "Livestock, farm animals, working animals",
        "Sound effect",
        "Silence",
        "Noise",
        "Environmental noise",
        "Static",
        "White noise",
        "Pink noise",
        "Field recording",
        "Echo",
        "Reverberation",
        "Radio",
        "Television",
    }
)
"""Classes that go with almost any picture: they say little about a pair."""


@cache
def audio_weights() -> FloatArray:
    """Weight of every audio class, float32 [521]."""
    return np.array([GENERIC_WEIGHT if label in GENERIC else 1.0 for label in read_labels()], np.float32)


def similarity(heard: FloatArray, seen: FloatArray, table: LabelTable) -> float:
    """Cosine between the weighted label vectors of the strongest tags, [-1, 1].

    Args:
        heard: probabilities of the audio classes, float32 [521].
        seen: probabilities of the picture classes, float32 [1000].
        table: vectors of the labels.
    """
    audio = _strongest(heard * audio_weights(), table.audio, TOP_AUDIO)
    image = _strongest(seen, table.image, TOP_IMAGE)
    length = float(np.linalg.norm(audio) * np.linalg.norm(image))
    return float(audio @ image) / length if length > 0.0 else 0.0


def _strongest(weights: FloatArray, vectors: FloatArray, count: int) -> FloatArray:
    top = np.argsort(-weights, kind="stable")[:count]
    return weights[top] @ vectors[top]


def combine(match: float, purity: float) -> float:
    """Geometric mean of the two, [0, 1].

    A product form, so that a wrong soundtrack cannot be redeemed by its purity, nor a fitting one hide its faults. The
    root keeps the slope up where one factor is small: with an unsure match of 0.1, mending the purity from 0.4 to 0.9
    still lifts the score by 0.1, well above its noise; in the plain product the gain would be half of that.
    """
    return float(np.sqrt(max(match, 0.0) * max(purity, 0.0)))


def alignment(heard: FloatArray, seen: FloatArray, purity: float, table: LabelTable, calibration: Calibration) -> float:
    """The alignment score, [0, 1]."""
    return combine(calibration(similarity(heard, seen, table)), purity)
