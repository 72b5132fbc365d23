"""One space for what is heard and what is seen: the labels' sentence embeddings.

The table `labels.npz` is made from all-MiniLM-L6-v2 by `bench/calibrate_embedded.py`; computing it at start-up would
cost every worker process 8 to 10 s.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from avagent.core.errors import MissingModelError
from avagent.core.media import FloatArray
from avagent.models.embedded.imagenet import image_classes

HYPERNYM_WEIGHT, HYPERNYM_DECAY = 0.3, 0.7
"""Weight of the nearest hypernym beside the class itself, and of each next one beside the one before."""

Embed = Callable[[Sequence[str]], FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class LabelTable:
    """Vectors of the tags of both networks.

    Attributes:
        audio: float32 [521, n], unit length.
        image: float32 [1000, n]: each class with its hypernyms.
        fingerprint: 12 hexadecimal digits over the table's file.
    """

    audio: FloatArray
    image: FloatArray
    fingerprint: str = ""


def make_table(embed: Embed, audio_labels: Sequence[str]) -> LabelTable:
    """Embed all labels; every group is centred on its own mean, which is what all labels of a kind have in common."""
    classes = image_classes()
    hypernyms = sorted({h for c in classes for h in c.hypernyms})
    audio = _centred(embed(audio_labels))
    image = _centred(embed([", ".join(c.lemmas[:2]) for c in classes]))
    above = dict(zip(hypernyms, _centred(embed(hypernyms)), strict=True))
    for i, entry in enumerate(classes):
        for depth, name in enumerate(entry.hypernyms):
            image[i] += HYPERNYM_WEIGHT * HYPERNYM_DECAY**depth * above[name]
    return LabelTable(audio, image)


def _centred(vectors: FloatArray) -> FloatArray:
    centred = vectors - vectors.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


@cache
def label_table() -> LabelTable:
    """The shipped table. Raises MissingModelError where it cannot be read."""
    file = importlib.resources.files("avagent.models.embedded.data").joinpath("labels.npz")
    try:
        data = file.read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            audio, image = arrays["audio"].astype(np.float32), arrays["image"].astype(np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise MissingModelError(
            f"the table of label embeddings cannot be read ({error}); install avagent again"
        ) from error
    return LabelTable(audio, image, hashlib.sha256(data).hexdigest()[:12])
