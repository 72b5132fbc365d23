"""A captioner behind an OpenAI-compatible endpoint: a service, or vLLM with any omni model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from avagent.core.captions import Caption
from avagent.core.errors import ClipError, ParameterError, Stage
from avagent.core.ports import ClipView
from avagent.models.captioners.media import RATE, heard, seen
from avagent.models.captioners.text import Prompt, caption_error, load_prompt, parse_caption
from avagent.models.remote.client import ChatClient, Endpoint
from avagent.models.remote.media import audio_part, image_part


@dataclass(frozen=True, kw_only=True)
class RemoteCaptioner:
    """Sends sound as WAV, pictures as JPEG, each with its own question.

    Attributes:
        base_url, model, revision, api_key_env, timeout_s, max_retries, requests_per_minute, concurrency, max_tokens,
            price_in, price_out: see :class:`~avagent.models.remote.client.Endpoint`.
        audio_prompt, video_prompt: names of shipped prompts, or text files.
        frames: pictures sent per clip.
        max_seconds: of a clip's middle that are sent.

    Raises:
        RecipeError: an option that cannot be.
        MissingModelError: the key's variable is not set.
    """

    base_url: str
    model: str
    revision: str = ""
    api_key_env: str | None = None
    timeout_s: float = 60.0
    max_retries: int = 5
    requests_per_minute: float | None = None
    concurrency: int = 4
    max_tokens: int = 128
    price_in: float = 0.0
    price_out: float = 0.0
    audio_prompt: str = "audio-1"
    video_prompt: str = "video-1"
    frames: int = 8
    max_seconds: float = 30.0
    client: ChatClient = field(init=False, repr=False, compare=False)
    _audio: Prompt = field(init=False, repr=False, compare=False)
    _video: Prompt = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= 64 or not 1.0 <= self.max_seconds <= 600.0:
            raise ParameterError(
                f"frames must lie in [1, 64], max_seconds in [1, 600]: {self.frames}, {self.max_seconds}"
            )
        endpoint = Endpoint(**{name: getattr(self, name) for name in Endpoint.__dataclass_fields__})
        endpoint.key()
        object.__setattr__(self, "client", ChatClient(endpoint, Stage.CAPTION))
        object.__setattr__(self, "_audio", load_prompt(self.audio_prompt))
        object.__setattr__(self, "_video", load_prompt(self.video_prompt))

    @property
    def fingerprint(self) -> str:
        """Endpoint, model, prompts, settings."""
        prompts = f"{self._audio.fingerprint},{self._video.fingerprint}"
        return f"remote({self.client.endpoint.fingerprint},{prompts},frames={self.frames},seconds={self.max_seconds:g})"

    def warm_up(self) -> None:
        """Ask whether the model is served. Raises MissingModelError."""
        self.client.check()

    def take_usage(self) -> Mapping[str, int]:
        """Requests, retries, tokens and cost since the last call."""
        return self.client.usage.take()

    def caption_audio(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        """What is heard."""
        return self._caption(views, self._listen)

    def caption_video(self, views: Sequence[ClipView]) -> list[Caption | ClipError | None]:
        """What is seen."""
        return self._caption(views, self._look)

    def _listen(self, view: ClipView) -> list[dict[str, Any]] | None:
        sound = heard(view, self.max_seconds)
        if sound is None:
            return None
        self.client.usage.add({"audio_ms": round(1000 * sound.size / RATE)})
        return [audio_part(sound, RATE), {"type": "text", "text": self._audio.text}]

    def _look(self, view: ClipView) -> list[dict[str, Any]] | None:
        pictures = seen(view, self.frames)
        if pictures is None:
            return None
        self.client.usage.add({"frames": len(pictures)})
        return [*(image_part(picture) for picture in pictures), {"type": "text", "text": self._video.text}]

    def _caption(
        self, views: Sequence[ClipView], content: Callable[[ClipView], list[dict[str, Any]] | None]
    ) -> list[Caption | ClipError | None]:
        parts = [_attempt(content, view) for view in views]
        places = [i for i, part in enumerate(parts) if isinstance(part, list)]
        captions: list[Any] = [None if i in places else part for i, part in enumerate(parts)]
        for i, answer in zip(
            places, self.client.ask([[{"role": "user", "content": parts[i]}] for i in places]), strict=True
        ):
            captions[i] = _parsed(answer, views[i].ref.key)
        return captions


def _attempt(
    content: Callable[[ClipView], list[dict[str, Any]] | None], view: ClipView
) -> list[dict[str, Any]] | ClipError | None:
    try:
        return content(view)
    except ClipError as error:
        return error


def _parsed(answer: str | ClipError, key: str) -> Caption | ClipError:
    if isinstance(answer, ClipError):
        return caption_error(f"clip {key!r}: {answer}")
    try:
        return parse_caption(answer, key)
    except ClipError as error:
        return error
