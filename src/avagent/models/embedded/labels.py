"""One space for what is heard and what is seen: the labels' sentence embeddings.

The table `labels.npz` is made from all-MiniLM-L6-v2 by `tools/make_label_table.py`: no run needs the sentence encoder,
nor waits the 8 to 10 s that it would take.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import io
from dataclasses import dataclass
from functools import cache

import numpy as np

from avagent.core.errors import MissingModelError
from avagent.core.media import FloatArray


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
