"""Does the sound fit the picture? Tags of both in one label space, times how pure the sound is."""

from __future__ import annotations

from functools import cache

import numpy as np

from avagent.core.media import FloatArray
from avagent.dsp.products import energy, inner, matrix_product
from avagent.models.embedded.labels import LabelTable
from avagent.models.embedded.yamnet import read_labels

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
    """Cosine between the label vectors of both sides' tags, weighted by their probabilities, [-1, 1].

    All tags take part: cut to the strongest, the value jumps as tags change places. Of the audio tags' probabilities
    the square root counts, which evens out the steps of the 8-bit network.

    Args:
        heard: probabilities of the audio classes, float32 [521].
        seen: probabilities of the picture classes, float32 [1000].
        table: vectors of the labels.
    """
    audio = matrix_product(np.sqrt(heard * audio_weights())[None, :], table.audio)
    image = matrix_product(seen[None, :], table.image)
    length = float(np.sqrt(energy(audio)) * np.sqrt(energy(image)))
    return inner(audio, image) / length if length > 0.0 else 0.0


def combine(match: float, purity: float) -> float:
    """sqrt(match) x purity, [0, 1].

    A product, so that a wrong soundtrack cannot be redeemed by its purity, nor a fitting one hide its faults: every
    audible fault takes the score below the threshold of 0.85, however well the tags agree. The match enters by its
    root for two reasons. It is an opinion of small networks where the purity is measured, and the root halves its
    jitter around 0.5. And it keeps the slope up where the match is unsure: at a match of 0.1, mending the purity from
    0.4 to 0.9 still lifts the score by 0.16, three times its noise, where the plain product would give 0.05.
    """
    return float(np.sqrt(max(match, 0.0)) * max(purity, 0.0))
