"""Faces in pictures: BlazeFace, the short-range model of MediaPipe, as one ONNX file that ships.

Bazarevsky et al. 2019 (arXiv:1907.05047). The network takes 128 x 128 pixels in [-1, 1] and answers, for each of 896
places, a logit and a box with six landmarks. It is made for faces that fill a fifth of its input or more: a picture is
shown to it whole, and again in overlapping squares, so that smaller faces are found in wide pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import expit

from avagent.core.errors import FailureReason, ModelError, ParameterError
from avagent.core.media import ByteArray, FloatArray
from avagent.models.embedded.packages import ShippedFile
from avagent.models.embedded.sessions import open_session

FACE_DETECTOR = ShippedFile(
    name="blazeface.onnx", digest="1c6edde48af9d5853791232cba98b56af5ef36d3d23a69b4719f1c9c57020f62"
)
"""Made by `tools/convert_faces.py`."""

SIDE = 128
GRIDS = ((16, 2), (8, 6))
"""Places of the answers: cells a side, and boxes a cell."""
LANDMARKS = 6
LEAST_SCORE = 0.8
"""On films without a face, and on animals, no answer reached 0.74; people who face the camera gave 0.83 or more."""
SAME_FACE = 0.3
"""Boxes that share more than this part of their union are one face (MediaPipe's threshold)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One face in a picture; positions in pixels of the picture, from its top left corner.

    Attributes:
        left, top, right, bottom: of the box from the brows to the chin; it may reach beyond the picture.
        landmarks: x and y of right eye, left eye, tip of the nose, mouth, right and left ear (the person's own right).
        score: probability of a face, in (0, 1).
    """

    left: float
    top: float
    right: float
    bottom: float
    landmarks: tuple[tuple[float, float], ...]
    score: float

    @property
    def width(self) -> float:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """In pixels."""
        return self.bottom - self.top


class FaceDetector:
    """The network, loaded on the CPU. Safe to use from several threads.

    Attributes:
        least_score: faces that are less probable are not answered, in (0, 1).
    """

    def __init__(self, least_score: float = LEAST_SCORE) -> None:
        """Raises MissingModelError where the file or onnxruntime is absent, or the file is another one."""
        if not 0.0 < least_score < 1.0:
            raise ParameterError(f"least_score must lie in (0, 1), got {least_score}")
        self.least_score = least_score
        self._session = open_session(FACE_DETECTOR.read())

    def detect(self, picture: ByteArray, *, closely: bool = True) -> tuple[Face, ...]:
        """The faces in a picture, the most probable first.

        Args:
            picture: uint8 [height, width, 3], RGB.
            closely: look at overlapping squares as well, for faces under a fifth of the longer side; 1 ms each.

        Raises:
            ModelError: an empty picture.
        """
        if picture.ndim != 3 or 0 in picture.shape:
            raise ModelError("the picture holds no pixels", reason=FailureReason.UNSUPPORTED_MEDIA)
        height, width = picture.shape[:2]
        views = [(0, 0, width, height)]
        if closely:
            views += squares(width, height)
        return distinct([face for view in views for face in self._look(picture, view)])

    def _look(self, picture: ByteArray, view: tuple[int, int, int, int]) -> list[Face]:
        """The faces in a part of the picture, given by its left, top, right and bottom."""
        left, top, right, bottom = view
        shown, scale, corner = network_input(picture[top:bottom, left:right])
        boxes, logits = self._session.run(["regressors", "classificators"], {"picture": shown[None]})
        scores = expit(logits[0, :, 0].astype(np.float64))
        found: list[Face] = []
        for place in np.flatnonzero(scores >= self.least_score):
            pairs = boxes[0, place].astype(np.float64).reshape(-1, 2)
            # The second pair is the box's size; the others are positions relative to the place's centre.
            wide, high = (pairs[1] / scale).tolist()
            points = np.delete(pairs, 1, axis=0) + places()[place] * SIDE - corner
            (x, y), *landmarks = (points / scale + (left, top)).tolist()
            found.append(
                Face(
                    left=x - wide / 2,
                    top=y - high / 2,
                    right=x + wide / 2,
                    bottom=y + high / 2,
                    landmarks=tuple((a, b) for a, b in landmarks),
                    score=float(scores[place]),
                )
            )
        return found


def squares(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Overlapping squares along the longer side, as left, top, right, bottom; none where it is nearly square."""
    short, long = sorted((width, height))
    if long < 1.2 * short:
        return []
    count = -(-2 * long // short) - 1
    starts = np.linspace(0, long - short, count).round().astype(int).tolist()
    return [(s, 0, s + short, short) if width > height else (0, s, short, s + short) for s in starts]


def distinct(faces: Sequence[Face]) -> tuple[Face, ...]:
    """Without the boxes of faces that a more probable box already stands for."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -f.score):
        if all(overlap(face, other) <= SAME_FACE for other in kept):
            kept.append(face)
    return tuple(kept)


def overlap(one: Face, other: Face) -> float:
    """Intersection over union of both boxes, in [0, 1]."""
    wide = min(one.right, other.right) - max(one.left, other.left)
    high = min(one.bottom, other.bottom) - max(one.top, other.top)
    if wide <= 0.0 or high <= 0.0:
        return 0.0
    shared = wide * high
    return shared / (one.width * one.height + other.width * other.height - shared)


@lru_cache(maxsize=1)
def places() -> npt.NDArray[np.float64]:
    """Centre of each of the 896 places, x and y in shares of the side, float64 [896, 2]."""
    parts: list[npt.NDArray[np.float64]] = []
    for cells, boxes in GRIDS:
        centre = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centre, centre, indexing="ij")
        parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), boxes, axis=0))
    return np.concatenate(parts)


def network_input(picture: ByteArray) -> tuple[FloatArray, float, tuple[float, float]]:
    """What the network is shown: the whole picture, scaled, with black bars around.

    Returns:
        float32 [3, 128, 128] in [-1, 1]; pixels of it a pixel of the picture; where the picture's corner lies, x and y.
    """
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    rows = scaling(height, high) @ picture.reshape(height, -1).astype(np.float32)
    across = scaling(width, wide) @ rows.reshape(high, width, 3).transpose(1, 0, 2).reshape(width, -1)
    x, y = (SIDE - wide) // 2, (SIDE - high) // 2
    shown = np.zeros((3, SIDE, SIDE), np.float32)
    shown[:, y : y + high, x : x + wide] = across.reshape(wide, high, 3).transpose(2, 1, 0)
    return shown / np.float32(127.5) - np.float32(1.0), scale, (float(x), float(y))


@lru_cache(maxsize=64)
def scaling(size: int, wanted: int) -> csr_array:
    """Weights of every pixel in every scaled one, float32 [wanted, size], sparse: linear, widened when reducing."""
    step = size / wanted
    wide = max(step, 1.0)
    centres = (np.arange(wanted) + 0.5) * step
    weights = np.maximum(0.0, 1.0 - np.abs((np.arange(size) + 0.5)[None, :] - centres[:, None]) / wide)
    return csr_array((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))
