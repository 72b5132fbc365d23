"""What a worker process holds once: the networks, and the tags of the clips it worked on last."""

from __future__ import annotations

import threading
from functools import cache

import numpy as np

from avagent.core.errors import FailureReason, ModelError
from avagent.core.media import FloatArray
from avagent.core.ports import ClipView
from avagent.dsp.measures.lips import Mouth
from avagent.models.cache import BoundedCache, picture_key
from avagent.models.embedded.faces import Face, FaceDetector
from avagent.models.embedded.imagenet import ImageNetTagger, pick
from avagent.models.embedded.lips import LipReader
from avagent.models.embedded.yamnet import Yamnet, pool

CACHED_CLIPS = 512
"""Tags kept per modality: 2 KB and 4 KB a clip."""


class Tagger:
    """The networks, loaded when first used, and their answers by content."""

    def __init__(self, cached_clips: int = CACHED_CLIPS) -> None:
        self._lock = threading.Lock()
        self._yamnet: Yamnet | None = None
        self._imagenet: ImageNetTagger | None = None
        self._detector: FaceDetector | None = None
        self._heard: BoundedCache[FloatArray | None] = BoundedCache(cached_clips)
        self._seen: BoundedCache[FloatArray | None] = BoundedCache(cached_clips)
        self._faces: BoundedCache[tuple[tuple[Face, ...], ...]] = BoundedCache(cached_clips)
        self._lip_reader: LipReader | None = None
        self._mouths: BoundedCache[Mouth | str] = BoundedCache(cached_clips)

    def yamnet(self) -> Yamnet:
        """The audio network. Raises MissingModelError."""
        with self._lock:
            if self._yamnet is None:
                self._yamnet = Yamnet()
            return self._yamnet

    def imagenet(self) -> ImageNetTagger:
        """The picture network. Raises MissingModelError."""
        with self._lock:
            if self._imagenet is None:
                self._imagenet = ImageNetTagger()
            return self._imagenet

    def detector(self) -> FaceDetector:
        """The network that finds faces. Raises MissingModelError."""
        with self._lock:
            if self._detector is None:
                self._detector = FaceDetector()
            return self._detector

    def heard(self, view: ClipView) -> FloatArray | None:
        """Probability of every audio class in the (edited) sound, float32 [521]; None: no sound.

        Raises:
            ClipError: the sound cannot be decoded, edited or used.
        """
        return self._heard.get((view.ref.content_sha256, view.actions), lambda: self._hear(view))

    def seen(self, view: ClipView, frames: int) -> FloatArray | None:
        """Probability of every picture class over at most `frames` frames, float32 [1000]; None: no picture.

        Raises:
            ClipError: the picture cannot be decoded or used.
        """
        return self._seen.get((picture_key(view), frames), lambda: self._see(view, frames))

    def faces(self, view: ClipView, frames: int) -> float:
        """Share of at most `frames` frames that show a face, in [0, 1]; 0: no picture.

        Raises:
            ClipError: the picture cannot be decoded or used.
        """
        met = self._met(view, frames)
        return sum(map(bool, met)) / max(1, len(met))

    def lip_reader(self) -> LipReader:
        """The network that reads a face's mouth. Raises MissingModelError."""
        detector = self.detector()
        with self._lock:
            if self._lip_reader is None:
                self._lip_reader = LipReader(detector)
            return self._lip_reader

    def mouth(self, view: ClipView, frames: int) -> Mouth | str:
        """The mouth of the clip's one face over time, or why there is none; faces are looked for in `frames` pictures.

        Raises:
            ClipError: the picture cannot be decoded.
        """
        return self._mouths.get((picture_key(view), frames), lambda: self._read(view, frames))

    def _read(self, view: ClipView, frames: int) -> Mouth | str:
        met, shown = self._met(view, frames), view.frames()
        if shown is None or not any(met):
            return "no_face"
        return self.lip_reader().mouth(view, pick(shown, frames), met)

    def _hear(self, view: ClipView) -> FloatArray | None:
        waveform = view.audio()
        if waveform is None:
            return None
        posteriors = self.yamnet().posteriors(waveform)
        return _finite(pool(posteriors), view)

    def _see(self, view: ClipView, frames: int) -> FloatArray | None:
        shown = view.frames()
        if shown is None or shown.count == 0:
            return None
        return _finite(self.imagenet().probabilities(pick(shown, frames)), view)

    def _met(self, view: ClipView, frames: int) -> tuple[tuple[Face, ...], ...]:
        """Faces in each of at most `frames` pictures."""
        return self._faces.get((picture_key(view), frames), lambda: self._meet(view, frames))

    def _meet(self, view: ClipView, frames: int) -> tuple[tuple[Face, ...], ...]:
        shown = view.frames()
        if shown is None or shown.count == 0:
            return ()
        detector = self.detector()
        return tuple(detector.detect(picture) for picture in pick(shown, frames).pixels)


def _finite(values: FloatArray, view: ClipView) -> FloatArray:
    if not np.isfinite(values).all():
        raise ModelError(f"the tags of clip {view.ref.key!r} are not finite", reason=FailureReason.MODEL_FAILED)
    values.setflags(write=False)
    return values


@cache
def process_tagger() -> Tagger:
    """The one tagger of this process."""
    return Tagger()
