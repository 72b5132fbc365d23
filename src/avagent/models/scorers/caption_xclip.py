"""How well a caption of the sound describes the video, by X-CLIP: the data analysis of the paper's Table 1.

It knows no time, so it gives no synchronization; as `evaluation_scorer` it is held out from scorers that compare sound
and pictures themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from avagent.core.captions import Caption
from avagent.core.errors import ClipError, FailureReason, ModelError
from avagent.core.ports import Captioner, ClipView
from avagent.core.scores import RawScores
from avagent.models.hf.loading import ModelSource, Once
from avagent.models.registry import build_captioner
from avagent.models.scorers.calibrated import CalibratedScorer, no_scores
from avagent.models.scorers.texts import XCLIP
from avagent.models.scorers.xclip import XClip


@dataclass(frozen=True, kw_only=True)
class CaptionXClipScorer(CalibratedScorer):
    """Alignment: the cosine of X-CLIP between the pictures and the sound's caption.

    Attributes:
        model, revision, dtype, device: an X-CLIP model; see :class:`~avagent.models.hf.loading.ModelSource`.
        captioner: registered name of what describes the sound, and its options.

    Raises:
        RecipeError: a value out of bounds, a model of another type, an unknown captioner.
        MissingModelError: weights are absent, pickled or damaged.
    """

    model: str = ""
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    captioner: str = "embedded"
    captioner_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    margin_synchronization: float | None = 0.0  # there is no such score, so it has no noise
    _network: Once[XClip] = field(init=False, repr=False, compare=False)
    _captioner: Captioner = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.source.check((XCLIP,))
        object.__setattr__(self, "_network", Once(self.load))
        object.__setattr__(self, "_captioner", build_captioner(self.captioner, self.captioner_options))

    @property
    def name(self) -> str:
        """As registered."""
        return "caption_xclip"

    @property
    def source(self) -> ModelSource:
        """Which X-CLIP."""
        return ModelSource(model=self.model, revision=self.revision, dtype=self.dtype, device=self.device)

    @property
    def lags_ms(self) -> tuple[float, ...]:
        """None: shifted sound has the same caption."""
        return ()

    @property
    def model_fingerprint(self) -> str:
        """Both models."""
        return f"{self.name}({self.source.fingerprint()},captions={self._captioner.fingerprint})"

    def load(self) -> XClip:
        """The network. Raises MissingModelError, RecipeError."""
        return XClip(self.source)

    def warm_up(self) -> None:
        """Load the network now. Raises MissingModelError, RecipeError."""
        _ = self._network()

    def raw(self, views: Sequence[ClipView]) -> list[RawScores | ClipError]:
        """A cosine a clip; a clip that fails does not take the others along."""
        captions = self._captioner.caption_audio(views)
        return [self._compare(view, caption) for view, caption in zip(views, captions, strict=True)]

    def _compare(self, view: ClipView, caption: Caption | ClipError | None) -> RawScores | ClipError:
        if isinstance(caption, ClipError):
            return caption
        if caption is None:
            return no_scores("no_audio")
        try:
            video = view.frames()
            if video is None or video.count == 0:
                return no_scores("no_video")
            cosine = float(self._network().similarities(video, [caption.text])[0])
        except ClipError as error:
            return error
        except RuntimeError as error:
            return ModelError(f"X-CLIP failed: {error}", reason=FailureReason.MODEL_FAILED)
        return RawScores(alignment=cosine, synchronization=None, synchronization_note="caption_has_no_time")
