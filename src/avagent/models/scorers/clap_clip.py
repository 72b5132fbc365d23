"""CLAP for sound, CLIP or X-CLIP for pictures, bridged by one list of labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avagent.core.media import FloatArray, Frames, Waveform
from avagent.models.hf.loading import ModelSource
from avagent.models.scorers.scoring import EmbeddingScorer
from avagent.models.scorers.texts import CLAP, CLIP, XCLIP, ClapLabeller, ClipLabeller, read_labels
from avagent.models.scorers.xclip import XClipLabeller


@dataclass(frozen=True, kw_only=True)
class ClapClipScorer(EmbeddingScorer):
    """Scores by how alike the labels are that sound and pictures suggest.

    Attributes:
        audio_model, audio_revision: a CLAP model; see :class:`~avagent.models.hf.loading.ModelSource`.
        picture_model, picture_revision: a CLIP or X-CLIP model.
        labels: file with one label a line; None: the list that ships, of things that are seen and heard.
        dtype, device: of both.

    Raises:
        RecipeError: a value out of bounds, a model of another type, no usable labels.
        MissingModelError: weights are absent, pickled or damaged.
    """

    audio_model: str = ""
    audio_revision: str | None = None
    picture_model: str = ""
    picture_revision: str | None = None
    labels: str | None = None
    dtype: str = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        read_labels(self.labels)
        self.audio_source.check((CLAP,))
        self.picture_source.check((CLIP, XCLIP))

    @property
    def name(self) -> str:
        """As registered."""
        return "clap_clip"

    @property
    def weights(self) -> str:
        """Both models and the labels."""
        labels = hashlib.sha256("\n".join(read_labels(self.labels)).encode()).hexdigest()[:12]
        return f"{self.audio_source.fingerprint()},{self.picture_source.fingerprint()},labels={labels}"

    @property
    def audio_source(self) -> ModelSource:
        """Which CLAP."""
        return ModelSource(model=self.audio_model, revision=self.audio_revision, dtype=self.dtype, device=self.device)

    @property
    def picture_source(self) -> ModelSource:
        """Which CLIP or X-CLIP."""
        return ModelSource(
            model=self.picture_model, revision=self.picture_revision, dtype=self.dtype, device=self.device
        )

    def load(self) -> LabelEncoder:
        """Both networks, and the labels' vectors."""
        labels = read_labels(self.labels)
        video = self.picture_source.check().model_type == XCLIP
        seeing = XClipLabeller(self.picture_source, labels) if video else ClipLabeller(self.picture_source, labels)
        return LabelEncoder(ClapLabeller(self.audio_source, labels), seeing)


class LabelEncoder:
    """Square roots of the labels' probabilities: unit vectors whose cosine is the Bhattacharyya coefficient, [0, 1].

    Args:
        hearing, seeing: what gives the probabilities.
    """

    def __init__(self, hearing: ClapLabeller, seeing: ClipLabeller | XClipLabeller) -> None:
        self._hearing = hearing
        self._seeing = seeing

    def sounds(self, sounds: Sequence[Waveform]) -> FloatArray:
        """float32 [n, labels]."""
        return np.sqrt(self._hearing.probabilities(sounds))

    def pictures(self, shots: Sequence[Frames]) -> FloatArray:
        """float32 [n, labels]."""
        return np.sqrt(self._seeing.probabilities(shots))
