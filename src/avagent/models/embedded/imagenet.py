"""Picture tags: EfficientNet-lite2 (ImageNet-1000), and the classes' lemmas and hypernyms from WordNet 3.0.

Tan & Le 2019 (arXiv:1905.11946); the lite variants take 260 x 260 pixels scaled by (x - 127) / 128.
"""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from avagent.core.errors import FailureReason, ModelError
from avagent.core.media import ByteArray, FloatArray, Frames
from avagent.models.embedded.packages import EFFICIENTNET_CODE, EFFICIENTNET_WEIGHTS, require

SIDE = 260
CLASSES = 1000
CROP = 0.875
"""Central share of the shorter side that is shown to the network, as in its training's evaluation."""


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


class ImageNetTagger:
    """The network, loaded on the CPU. Safe to use from several threads."""

    def __init__(self) -> None:
        """Raises MissingModelError where the weights, the network's code or torch are absent."""
        EFFICIENTNET_CODE.locate()
        weights = EFFICIENTNET_WEIGHTS.locate()
        torch = self._torch = require("torch")
        # One clip after the other, many processes beside each other: threads within one would only contend.
        torch.set_num_threads(1)
        network = require("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite2", num_classes=CLASSES)
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self._network: Any = network.eval()

    def probabilities(self, frames: Frames) -> FloatArray:
        """Mean over the frames of the class probabilities, float32 [1000].

        Raises:
            ModelError: no frame at all, or an empty picture.
        """
        if frames.count == 0 or 0 in frames.pixels.shape:
            raise ModelError("the clip's frames hold no pixels", reason=FailureReason.UNSUPPORTED_MEDIA)
        torch = self._torch
        total = np.zeros(CLASSES, np.float64)
        with torch.inference_mode():
            for picture in frames.pixels:
                shown = torch.from_numpy(np.ascontiguousarray(square(picture))).permute(2, 0, 1)[None].float()
                shown = torch.nn.functional.interpolate(shown, (SIDE, SIDE), mode="bicubic", antialias=True)
                logits = self._network((shown.clamp(0, 255) - 127.0) / 128.0)
                total += torch.softmax(logits[0], dim=0).double().numpy()
        return (total / frames.count).astype(np.float32)


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
