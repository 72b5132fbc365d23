"""Audio LLMs of the Qwen2-Audio family (Chu et al. 2024, arXiv:2407.10759)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from avagent.core.captions import Caption
from avagent.core.errors import ClipError, ParameterError
from avagent.core.media import FloatArray
from avagent.core.ports import ClipView
from avagent.models.captioners.generative import GenerativeCaptioner, Modality, chat
from avagent.models.captioners.media import RATE, heard
from avagent.models.captioners.text import load_prompt
from avagent.models.hf.batching import BatchRunner

WINDOW_S = 30.0
"""What the encoder hears at once."""


@dataclass(frozen=True, kw_only=True)
class AudioLLMCaptioner(GenerativeCaptioner):
    """Captions sound only.

    Attributes:
        prompt: name of a shipped prompt, or a text file.
        max_seconds: of a clip's middle that are listened to, at most 30.
        max_batch_seconds: of sound in a batch.
    """

    prompt: str = "audio-1"
    max_seconds: float = WINDOW_S
    max_batch_seconds: float = 8 * WINDOW_S
    _audio: Modality = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "audio-llm"
    classes: ClassVar = {"qwen2_audio": "Qwen2AudioForConditionalGeneration"}
    processors: ClassVar = {"qwen2_audio": "Qwen2AudioProcessor"}

    def __post_init__(self) -> None:
        super().__post_init__()
        audio = audio_modality(self.prompt, self.max_seconds, self.max_batch_seconds)
        object.__setattr__(self, "_audio", audio)

    @property
    def fingerprint(self) -> str:
        """Weights, prompt, settings."""
        return self._fingerprint(self._audio.prompt.fingerprint, f"seconds={self.max_seconds:g}")

    def caption_audio(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        """What is heard."""
        return self._caption(views, self._audio)

    def caption_video(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        """None for every clip: it does not see."""
        return [None] * len(views)


def audio_modality(prompt: str, max_seconds: float, max_batch_seconds: float) -> Modality:
    """Sound at 16 kHz through the processor's chat template. Raises ParameterError, RecipeError."""
    if not 1.0 <= max_seconds <= WINDOW_S:
        raise ParameterError(f"max_seconds must lie in [1, {WINDOW_S:g}], got {max_seconds}")
    return Modality(
        prompt=load_prompt(prompt),
        media=partial(heard, max_seconds=max_seconds),
        cost=_seconds,
        encode=_encode,
        runner=BatchRunner(max_batch_seconds),
        count=_milliseconds,
    )


def _encode(processor: Any, prompt: str, sounds: Sequence[FloatArray]) -> Any:
    text = chat(processor, "audio", prompt)
    return processor(
        text=[text] * len(sounds), audio=list(sounds), sampling_rate=RATE, padding=True, return_tensors="pt"
    )


def _seconds(sound: FloatArray) -> float:
    return sound.size / RATE


def _milliseconds(sound: FloatArray) -> dict[str, int]:
    return {"audio_ms": round(1000 * sound.size / RATE)}
