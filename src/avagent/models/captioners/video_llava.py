"""Video-LLaVA (Lin et al. 2023, arXiv:2311.10122): the paper's captioner of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from avagent.core.captions import Caption
from avagent.core.errors import ClipError
from avagent.core.ports import ClipView
from avagent.models.captioners.generative import GenerativeCaptioner, Modality
from avagent.models.captioners.media import seen
from avagent.models.captioners.text import load_prompt
from avagent.models.hf.batching import BatchRunner

FRAMES = 8
"""Pictures a clip that the published weights were trained with."""

TOKENS_PER_FRAME = 257


@dataclass(frozen=True, kw_only=True)
class VideoLlavaCaptioner(GenerativeCaptioner):
    """Captions pictures only.

    Attributes:
        prompt: name of a shipped prompt, or a text file.
        max_batch_tokens: of a batch's pictures, 2056 a clip.
    """

    prompt: str = "video-1"
    max_batch_tokens: int = 8 * FRAMES * TOKENS_PER_FRAME
    _video: Modality = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "video-llava"
    classes: ClassVar = {"video_llava": "VideoLlavaForConditionalGeneration"}
    processors: ClassVar = {"video_llava": "VideoLlavaProcessor"}

    def __post_init__(self) -> None:
        super().__post_init__()
        video = Modality(
            prompt=load_prompt(self.prompt),
            media=partial(seen, count=FRAMES),
            cost=_tokens,
            encode=_encode,
            runner=BatchRunner(self.max_batch_tokens),
            count=_frames,
        )
        object.__setattr__(self, "_video", video)

    @property
    def fingerprint(self) -> str:
        """Weights, prompt, settings."""
        return self._fingerprint(self._video.prompt.fingerprint)

    def caption_audio(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        """None for every clip: it does not hear."""
        return [None] * len(views)

    def caption_video(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        """What is seen."""
        return self._caption(views, self._video)


def _encode(processor: Any, prompt: str, videos: Sequence[Any]) -> Any:
    text = f"USER: <video>\n{prompt} ASSISTANT:"
    return processor(text=[text] * len(videos), videos=list(videos), padding=True, return_tensors="pt")


def _tokens(pictures: Any) -> float:
    return float(len(pictures) * TOKENS_PER_FRAME)


def _frames(pictures: Any) -> dict[str, int]:
    return {"frames": len(pictures)}
