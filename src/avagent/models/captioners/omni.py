"""Omni models, which hear and see: Qwen2.5-Omni (arXiv:2503.20215), Qwen3-Omni (arXiv:2509.17765); their text only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from avagent.core.captions import Caption
from avagent.core.errors import ClipError, ParameterError
from avagent.core.media import ByteArray
from avagent.core.ports import ClipView
from avagent.models.captioners.audio_llm import WINDOW_S, audio_modality
from avagent.models.captioners.generative import GenerativeCaptioner, Modality, chat
from avagent.models.captioners.media import seen
from avagent.models.captioners.text import load_prompt
from avagent.models.hf.batching import BatchRunner

_SIDE_PER_TOKEN = 28
"""Pixels a side that become one token, in two pictures at a time."""


@dataclass(frozen=True, kw_only=True)
class OmniCaptioner(GenerativeCaptioner):
    """Captions sound and pictures, each by itself: the caption of one must not colour that of the other.

    Attributes:
        audio_prompt, video_prompt: names of shipped prompts, or text files.
        frames: pictures looked at per clip, an even number.
        max_seconds: of a clip's middle that are listened to, at most 30.
        max_batch_seconds: of sound in a batch.
        max_batch_tokens: of a batch's pictures, about.
    """

    audio_prompt: str = "audio-1"
    video_prompt: str = "video-1"
    frames: int = 8
    max_seconds: float = WINDOW_S
    max_batch_seconds: float = 8 * WINDOW_S
    max_batch_tokens: int = 16_384
    _audio: Modality = field(init=False, repr=False, compare=False)
    _video: Modality = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "omni"
    classes: ClassVar = {
        "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
        "qwen2_5_omni_thinker": "Qwen2_5OmniThinkerForConditionalGeneration",
        "qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration",
        "qwen3_omni_moe_thinker": "Qwen3OmniMoeThinkerForConditionalGeneration",
    }
    processors: ClassVar = {
        "qwen2_5_omni": "Qwen2_5OmniProcessor",
        "qwen2_5_omni_thinker": "Qwen2_5OmniProcessor",
        "qwen3_omni_moe": "Qwen3OmniMoeProcessor",
        "qwen3_omni_moe_thinker": "Qwen3OmniMoeProcessor",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames < 2 or self.frames % 2:
            raise ParameterError(f"frames must be an even number, at least 2, got {self.frames}")
        video = Modality(
            prompt=load_prompt(self.video_prompt),
            media=partial(seen, count=self.frames),
            cost=_tokens,
            encode=_encode,
            runner=BatchRunner(self.max_batch_tokens),
            count=_frames,
        )
        object.__setattr__(self, "_video", video)
        audio = audio_modality(self.audio_prompt, self.max_seconds, self.max_batch_seconds)
        object.__setattr__(self, "_audio", audio)

    @property
    def fingerprint(self) -> str:
        """Weights, prompts, settings."""
        prompts = self._audio.prompt.fingerprint, self._video.prompt.fingerprint
        return self._fingerprint(*prompts, f"seconds={self.max_seconds:g}", f"frames={self.frames}")

    def caption_audio(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        """What is heard."""
        return self._caption(views, self._audio)

    def caption_video(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        """What is seen."""
        return self._caption(views, self._video)


def _encode(processor: Any, prompt: str, videos: Sequence[ByteArray]) -> Any:
    text = chat(processor, "video", prompt)
    return processor(
        text=[text] * len(videos),
        videos=list(videos),
        videos_kwargs={"do_sample_frames": False},
        padding=True,
        return_tensors="pt",
    )


def _tokens(pictures: ByteArray) -> float:
    frames, height, width, _ = pictures.shape
    return max(1.0, frames / 2 * (height / _SIDE_PER_TOKEN) * (width / _SIDE_PER_TOKEN))


def _frames(pictures: ByteArray) -> dict[str, int]:
    return {"frames": len(pictures)}
