"""Picture tags: EfficientNet-lite2 (ImageNet-1000), and the classes' lemmas and hypernyms from WordNet 3.0.

Tan & Le 2019 (arXiv:1905.11946); this lite variant takes 260 x 260 pixels scaled by (x - 127) / 128. The ONNX file
comes with AVAgent: `tools/convert_picture_tagger.py` makes it of the packaged PyTorch weights, and compares the two.
"""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from scipy.sparse import csr_array
from scipy.special import softmax

from avagent.core.errors import FailureReason, ModelError
from avagent.core.media import ByteArray, FloatArray, Frames
from avagent.models.embedded.packages import PICTURE_TAGGER
from avagent.models.embedded.sessions import open_session

SIDE = 260
CLASSES = 1000
CROP = 0.875
"""Central share of the shorter side that is shown to the network, as in its training's evaluation."""
MEAN, SCALE = np.float32(127.0), np.float32(128.0)


@dataclass(frozen=True, slots=True)
class ImageClass:
    """An ImageNet class: its WordNet identifier, lemmas, and hypernyms, nearest first."""

    wnid: str
    lemmas: tuple[str, ...]
    hypernyms: tuple[str, ...]

    @property
    def label(self) -> str:
        """The first lemma."""
        return self.lemmas[0]


@cache
def image_classes() -> tuple[ImageClass, ...]:
    """The 1,000 classes in the order of the network's outputs."""
    text = importlib.resources.files("avagent.models.embedded.data").joinpath("imagenet.tsv").read_text("ascii")
    rows = (line.split("\t") for line in text.splitlines()[1:])
    return tuple(ImageClass(wnid, tuple(lemmas.split("|")), tuple(up.split("|"))) for _, wnid, lemmas, up in rows)


@cache
def image_labels() -> tuple[str, ...]:
    """The classes' first lemmas, in the order of the network's outputs."""
    return tuple(entry.label for entry in image_classes())


class ImageNetTagger:
    """The network, loaded on the CPU. Safe to use from several threads."""

    def __init__(self) -> None:
        """Raises MissingModelError where the file or onnxruntime is absent, or the file is another one."""
        self._session = open_session(PICTURE_TAGGER.read())

    def probabilities(self, frames: Frames) -> FloatArray:
        """Mean over the frames of the class probabilities, float32 [1000].

        Raises:
            ModelError: no frame at all, or an empty picture.
        """
        if frames.count == 0 or 0 in frames.pixels.shape:
            raise ModelError("the clip's frames hold no pixels", reason=FailureReason.UNSUPPORTED_MEDIA)
        total = np.zeros(CLASSES, np.float64)
        # One by one: a batch takes as long on one thread, and more memory.
        for picture in frames.pixels:
            logits = self._session.run(None, {"pictures": network_input(picture)[None]})[0][0]
            total += softmax(logits.astype(np.float64))
        return (total / frames.count).astype(np.float32)


def network_input(picture: ByteArray) -> FloatArray:
    """What the network is shown of a picture: the central square, scaled, float32 [3, 260, 260] in about [-1, 1]."""
    shown = square(picture).astype(np.float32)
    side = len(shown)
    scale = _bicubic(side)
    upright = (scale @ shown.reshape(side, -1)).reshape(SIDE, side, 3)
    across = (scale @ upright.transpose(1, 0, 2).reshape(side, -1)).reshape(SIDE, SIDE, 3)
    return np.ascontiguousarray((np.clip(across, 0.0, 255.0).transpose(2, 1, 0) - MEAN) / SCALE, dtype=np.float32)


@lru_cache(maxsize=64)
def _bicubic(side: int) -> csr_array:
    """Weights of every pixel in every scaled one, float32 [260, side], sparse.

    Keys' cubic kernel (1981, doi:10.1109/TASSP.1981.1163711) with a = -0.5, widened by the factor of a reduction, which
    keeps it free of aliases: what Pillow calls bicubic.
    """
    step = side / SIDE
    wide = max(step, 1.0)
    centres = (np.arange(SIDE) + 0.5) * step
    distance = np.abs((np.arange(side) + 0.5)[None, :] - centres[:, None]) / wide
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    weights = np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))
    return csr_array((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


def square(picture: ByteArray) -> ByteArray:
    """The central square, uint8 [n, n, 3] of uint8 [height, width, 3]."""
    height, width = picture.shape[:2]
    side = max(1, round(min(height, width) * CROP))
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def pick(frames: Frames, count: int) -> Frames:
    """At most `count` frames, evenly spread; pictures equal to the one before are left out (a still needs one look)."""
    places = np.unique(np.linspace(0, frames.count - 1, min(count, frames.count)).round().astype(int))
    kept = [
        p for i, p in enumerate(places) if i == 0 or not np.array_equal(frames.pixels[p], frames.pixels[places[i - 1]])
    ]
    return Frames(frames.pixels[kept], frames.times[kept])
