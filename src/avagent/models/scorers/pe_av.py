"""PE-AV (Perception Encoder, audio-visual; Apache-2.0) by transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from avagent.core.media import FloatArray, Frames, Waveform
from avagent.dsp.resampling import resample_single
from avagent.models.hf.loading import ModelSource, load_model, load_processor, require
from avagent.models.scorers.scoring import EmbeddingScorer

MODEL_TYPE = "pe_audio_video"

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, kw_only=True)
class PeAvScorer(EmbeddingScorer):
    """Scores by PE-AV's contrastive vectors of sound and video.

    Attributes:
        model, revision, dtype, device: see :class:`~avagent.models.hf.loading.ModelSource`.

    Raises:
        RecipeError: a value out of bounds, or a model of another type.
        MissingModelError: weights are absent, pickled or damaged.
    """

    model: str = ""
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.source.check((MODEL_TYPE,))

    @property
    def name(self) -> str:
        """As registered."""
        return "pe_av"

    @property
    def weights(self) -> str:
        """Repository and commit, or model type and digest; dtype."""
        return self.source.fingerprint()

    @property
    def source(self) -> ModelSource:
        """Which weights."""
        return ModelSource(model=self.model, revision=self.revision, dtype=self.dtype, device=self.device)

    def load(self) -> PeAvEncoder:
        """The network and its processors."""
        return PeAvEncoder(
            load_model(self.source, "PeAudioVideoModel", model_types=(MODEL_TYPE,)),
            load_processor(self.source, "PeAudioFeatureExtractor"),
            load_processor(self.source, "PeVideoVideoProcessor"),
        )


class PeAvEncoder:
    """Sound and video through their own encoders and contrastive heads.

    What is of one length goes through together: nothing is padded, so that no vector depends on its neighbours.

    Args:
        network: `PeAudioVideoModel`.
        hearing: `PeAudioFeatureExtractor`.
        seeing: `PeVideoVideoProcessor`.
    """

    def __init__(self, network: Any, hearing: Any, seeing: Any) -> None:
        self._torch: Any = require("torch")
        self._network = network
        self._hearing = hearing
        self._seeing = seeing

    def sounds(self, sounds: Sequence[Waveform]) -> FloatArray:
        """float32 [n, d]."""
        rate = self._hearing.sampling_rate
        mono = [resample_single(sound.mono(), sound.rate, rate) for sound in sounds]
        return by_shape(self._hear, mono, len)

    def pictures(self, shots: Sequence[Frames]) -> FloatArray:
        """float32 [n, d]."""
        return by_shape(self._see, [shot.pixels for shot in shots], lambda pixels: pixels.shape)

    def _hear(self, mono: Sequence[FloatArray]) -> FloatArray:
        inputs = self._hearing(list(mono), sampling_rate=self._hearing.sampling_rate, return_tensors="pt")
        audio = self._network.audio_model
        with self._torch.inference_mode():
            values = inputs["input_values"].to(device=self._network.device, dtype=self._network.dtype)
            return _array(audio.audio_head(audio.audio_encoder(values).pooler_output))

    def _see(self, pixels: Sequence[Any]) -> FloatArray:
        videos = [self._torch.from_numpy(p.copy()).permute(0, 3, 1, 2) for p in pixels]
        inputs = self._seeing(videos, do_sample_frames=False, return_tensors="pt")
        video = self._network.video_model
        with self._torch.inference_mode():
            values = inputs["pixel_values_videos"].to(device=self._network.device, dtype=self._network.dtype)
            return _array(video.video_head(video.video_encoder(values).pooler_output))


def by_shape(
    encode: Callable[[Sequence[ItemT]], FloatArray], items: Sequence[ItemT], shape: Callable[[ItemT], object]
) -> FloatArray:
    """Encode items of equal shape together; the answers are in the order of the items, float32 [n, d]."""
    groups: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(shape(item), []).append(index)
    rows: dict[int, FloatArray] = {}
    for indices in groups.values():
        rows.update(zip(indices, encode([items[i] for i in indices]), strict=True))
    return np.stack([rows[i] for i in range(len(items))])


def _array(tensor: Any) -> FloatArray:
    return tensor.float().cpu().numpy()
