"""A talker's mouth over time: the face in a clip's pictures, looked at closely.

FaceMesh (Kartynnik et al. 2019, arXiv:1907.06724; MediaPipe) as one ONNX file that ships. It takes 192 x 192 pixels
with a face in their middle and answers 468 points on it. From one picture to the next the face is where it was; every
half second, and where it is lost, it is looked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter
from scipy.special import expit

from avagent.core.media import ByteArray, FloatArray, Frames
from avagent.core.ports import ClipView
from avagent.core.region import Region
from avagent.dsp.measures.lips import LEAST_RATE, LEAST_SECONDS, LONGEST_GAP_S, Mouth
from avagent.models.embedded.faces import Face, FaceDetector
from avagent.models.embedded.packages import ShippedFile
from avagent.models.embedded.sessions import open_session

FACE_MESH = ShippedFile(name="facemesh.onnx", digest="0f0d02edebee97215052a8c0fecec1eece66beb687c2791c38b8e803705c1abe")
"""Made by `tools/convert_faces.py`."""

SIDE = 192
POINTS = 468
LEAST_FACE_PX = 50.0
"""From forehead to chin, in the clip's own pixels: lips of smaller faces are lost in the coding."""
ROOM = 1.5
"""Side of what the network is shown, in shares of the face's (MediaPipe's margin)."""
LOOK_AGAIN = 15
"""Pictures after which the face is looked for anew, in case that another one has taken its place."""
RIVAL = 0.67
"""A second face of this share of the first one's height: which of them talks, nothing tells."""
MOST_TURNED = 3.0
"""Ratio of the two halves of a face seen from the side: about 45 degrees."""

Points = npt.NDArray[np.float32]
_INNER = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
_OUTER = ((0, 17), (37, 84), (267, 314))
_NOSE, _CHIN, _FOREHEAD, _RIGHT_CHEEK, _LEFT_CHEEK = 1, 152, 10, 234, 454


@dataclass(frozen=True, slots=True)
class Square:
    """A part of a picture in its pixels; it may reach beyond the picture."""

    x: float
    y: float
    side: float


class FaceMesh:
    """The network, loaded on the CPU. Safe to use from several threads."""

    def __init__(self) -> None:
        """Raises MissingModelError where the file or onnxruntime is absent, or the file is another one."""
        self._session = open_session(FACE_MESH.read())

    def points(self, picture: ByteArray, place: Square) -> tuple[Points, float]:
        """Points of the face in that part, float32 [468, 2] in the picture's pixels, and the probability of a face."""
        shown = cut(picture, place)
        shown *= np.float32(1.0 / 127.5)
        shown -= np.float32(1.0)
        found, logit = self._session.run(None, {"picture": shown[None]})
        points = found.reshape(POINTS, 3)[:, :2] * np.float32(place.side / SIDE)
        return points + np.array([place.x, place.y], np.float32), float(expit(float(logit.ravel()[0])))


class LipReader:
    """Finds the one face of a clip that may be talking, and measures its mouth in every picture."""

    def __init__(self, detector: FaceDetector | None = None) -> None:
        """Raises MissingModelError."""
        self._detector = FaceDetector() if detector is None else detector
        self._mesh = FaceMesh()

    def mouth(self, view: ClipView, frames: Frames, met: Sequence[tuple[Face, ...]]) -> Mouth | str:
        """The mouth over time, or why there is none to look at.

        `low_frame_rate`, `no_face`, `several_faces`, `face_too_short`, `face_too_small`.

        Args:
            view: of the clip.
            frames: some of its pictures.
            met: the faces in each of them.

        Raises:
            ClipError: the pictures cannot be decoded.
        """
        streams = view.streams()
        if streams.frame_rate is not None and streams.frame_rate < LEAST_RATE:
            return "low_frame_rate"
        if streams.video_duration is not None and streams.video_duration < LEAST_SECONDS:
            return "face_too_short"
        faces = [sorted(found, key=lambda f: -f.height) for found in met]
        if not any(faces):
            return "no_face"
        if sum(len(f) > 1 and f[1].height > RIVAL * f[0].height for f in faces) > 0.5 * sum(map(bool, faces)):
            return "several_faces"
        length = streams.video_duration
        # Each picture stands for its share of the clip; in one of them the face may have been missed.
        if length is not None and (sum(map(bool, faces)) + 1) / len(faces) * length < LEAST_SECONDS:
            return "face_too_short"
        region = _region(frames, faces)
        pictures = view.region(region)
        if pictures is None:
            return "no_face"
        mouth, height = self._follow(pictures)
        if height == 0.0:
            return "no_face"
        shown = max(pictures.pixels.shape[1] / (region.bottom - region.top), 1.0)
        aspect = frames.pixels.shape[1] / max(frames.pixels.shape[1:3])
        own = max(streams.width or 0, streams.height or 0) * aspect or shown
        return mouth if height * own / shown >= LEAST_FACE_PX else "face_too_small"

    def _follow(self, pictures: Frames) -> tuple[Mouth, float]:
        """The mouth in every picture that is not a repetition, and the face's median height in pixels; 0: no face."""
        place: Square | None = None
        times: list[float] = []
        alike: list[float] = []
        rows: list[tuple[float, float, float, float]] = []
        last: npt.NDArray[np.float32] | None = None
        shown = _Shown(float(pictures.times[0]), float(pictures.times[-1]))
        for pixels, time in zip(pictures.pixels, pictures.times, strict=True):
            small = _small(pixels)
            if last is not None and float(np.abs(small - last).max()) < _REPEATED:
                continue
            alike.append(1.0 if last is None else _alike(last, small))
            if alike[-1] < _CUT_CORRELATION:
                place = None
            last = small
            if place is None or len(times) % LOOK_AGAIN == 0:
                place = self._where(pixels, place)
            points, sure = (None, 0.0) if place is None else self._mesh.points(pixels, place)
            times.append(float(time))
            rows.append(measure(points) if points is not None and sure >= 0.5 else _NOTHING)
            place = around(points) if points is not None and sure >= 0.5 else None
            if not shown.long_enough(float(time), face=rows[-1] is not _NOTHING):
                break
        columns = np.array(rows, np.float32).reshape(-1, 4).T
        height = columns[3]
        mouth = Mouth(
            np.array(times), inner=columns[0], outer=columns[1], jaw=columns[2], cuts=np.array(times)[_cuts(alike)]
        )
        return mouth, float(np.nanmedian(height)) if np.isfinite(height).any() else 0.0

    def _where(self, pixels: ByteArray, before: Square | None) -> Square | None:
        """Where the largest face is; where it was, if that is the same."""
        faces = self._detector.detect(pixels, closely=False)
        if not faces:
            return None
        face = max(faces, key=lambda f: f.height)
        found = _square(face)
        if before is None:
            return found
        moved = abs(found.x + found.side / 2 - before.x - before.side / 2)
        return found if moved > 0.25 * before.side else before


@dataclass(slots=True)
class _Shown:
    """How long a face may be shown at most, from what was seen so far.

    Attributes:
        seen: when it was shown last, in s; before that, the first picture's time.
        stop: the last picture's time.
    """

    seen: float
    stop: float
    _left: float = 0.0

    def __post_init__(self) -> None:
        self._left = self.stop - self.seen

    def long_enough(self, time: float, *, face: bool) -> bool:
        """Whether there may be enough of it in all, after a picture with or without it."""
        gap = time - self.seen
        left = self._left - (gap if gap > LONGEST_GAP_S else 0.0)
        if face:
            self._left, self.seen = left, time
        return face or left >= LEAST_SECONDS


_NOTHING = (np.nan, np.nan, np.nan, np.nan)
_REPEATED = 1.0
"""Grey levels by which a part of a picture must differ, or it is the one before, encoded again."""
_CUT_CORRELATION, _STEADY, _AROUND_CUT = 0.5, 0.75, 9
"""Of two pictures in a row, below which a cut lies between them, amid so many that are more alike: the face after it is
another one, or elsewhere."""


def measure(points: Points) -> tuple[float, float, float, float]:
    """Opening of the inner and the outer lips and length from nose to chin, in shares of the face's height; and that.

    All NaN for a face that is turned to the side.
    """
    height = _distance(points, _FOREHEAD, _CHIN)
    right, left = (abs(float(points[_NOSE, 0] - points[c, 0])) for c in (_RIGHT_CHEEK, _LEFT_CHEEK))
    if height <= 0.0 or max(right, left) > MOST_TURNED * min(right, left):
        return _NOTHING
    inner = float(np.mean([_distance(points, a, b) for a, b in _INNER]))
    outer = float(np.mean([_distance(points, a, b) for a, b in _OUTER]))
    return inner / height, outer / height, _distance(points, _NOSE, _CHIN) / height, height


def _distance(points: Points, one: int, other: int) -> float:
    x, y = (points[one] - points[other]).tolist()
    return float(np.hypot(x, y))


def around(points: Points) -> Square:
    """What the network is to be shown of the next picture."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = ROOM * float((high - low).max())
    x, y = (0.5 * (low + high)).tolist()
    return Square(x - side / 2, y - side / 2, side)


def _square(face: Face) -> Square:
    """The detector's box goes from the brows to the chin: a little more above."""
    side = 1.1 * ROOM * max(face.width, face.height)
    x, y = 0.5 * (face.left + face.right), 0.5 * (face.top + face.bottom) - 0.05 * face.height
    return Square(x - side / 2, y - side / 2, side)


def cut(picture: ByteArray, place: Square) -> FloatArray:
    """A part of a picture as float32 [3, 192, 192], 0 to 255, by linear interpolation; its edge goes on beyond it."""
    rows, down = _between(place.y, place.side, picture.shape[0])
    columns, right = _between(place.x, place.side, picture.shape[1])
    first, last = columns[0], min(columns[-1] + 2, picture.shape[1])
    part = picture[:, first:last]
    upper = part[rows].astype(np.float32)
    lower = part[np.minimum(rows + 1, picture.shape[0] - 1)].astype(np.float32)
    lower -= upper
    lower *= down[:, None, None]
    upper += lower
    # Columns first: whole ones are copied faster than many pixels.
    turned = np.ascontiguousarray(upper.transpose(1, 2, 0))
    columns = columns - first
    found = turned[columns]
    beside = turned[np.minimum(columns + 1, len(turned) - 1)]
    beside -= found
    beside *= right[:, None, None]
    found += beside
    return np.ascontiguousarray(found.transpose(1, 2, 0))


def _between(start: float, side: float, size: int) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """For each of the network's pixels the picture's one before it, and how far it lies on the way to the next."""
    at = np.clip(start + (np.arange(SIDE) + 0.5) * (side / SIDE) - 0.5, 0.0, size - 1.0)
    before = np.floor(at).astype(np.intp)
    return before, (at - before).astype(np.float32)


def _alike(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> float:
    """Correlation of two pictures; 1 for pictures without content."""
    first, second = before - before.mean(), after - after.mean()
    spread = float(np.sqrt((first * first).mean() * (second * second).mean()))
    return float((first * second).mean()) / spread if spread > 1.0 else 1.0


def _cuts(alike: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Which pictures are other ones altogether than those before; not where a camera shakes, and each is."""
    found = np.array(alike)
    return (found < _CUT_CORRELATION) & (median_filter(found, _AROUND_CUT, mode="nearest") > _STEADY)


def _small(pixels: ByteArray) -> npt.NDArray[np.float32]:
    """Means over squares of 8 by 8 pixels, green alone."""
    high, wide = (max(1, n // 8) for n in pixels.shape[:2])
    part = pixels[: high * 8, : wide * 8, 1]
    rows = part.reshape(high, -1, part.shape[1]).sum(axis=1, dtype=np.float32)
    means: FloatArray = rows.reshape(high, wide, -1).sum(axis=2, dtype=np.float32) / np.float32(part.size / high / wide)
    return means


def _region(frames: Frames, faces: Sequence[Sequence[Face]]) -> Region:
    """Where the largest faces are, with room around, from a little before the first of them."""
    height, wide = frames.pixels.shape[1:3]
    largest = [f[0] for f in faces if f]
    box = np.array([(f.left / wide, f.top / height, f.right / wide, f.bottom / height) for f in largest])
    room_x, room_y = (float(np.median(box[:, i + 2] - box[:, i])) for i in (0, 1))
    left, top = box[:, 0].min() - 0.6 * room_x, box[:, 1].min() - 0.7 * room_y
    right, bottom = box[:, 2].max() + 0.6 * room_x, box[:, 3].max() + 0.6 * room_y
    first = next(index for index, found in enumerate(faces) if found)
    return Region(
        left=float(np.clip(left, 0.0, 0.95)),
        top=float(np.clip(top, 0.0, 0.95)),
        right=float(np.clip(right, 0.05, 1.0)),
        bottom=float(np.clip(bottom, 0.05, 1.0)),
        start=None if first == 0 else float(frames.times[first - 1]),
    )
