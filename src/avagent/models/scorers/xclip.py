"""X-CLIP (Ni et al., ECCV 2022, arXiv:2208.02816): how well texts describe a video.

The scorer `caption_xclip` compares videos with captions of their sound by it; `clap_clip` can take it for its seeing
side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from avagent.core.media import FloatArray, Frames
from avagent.models.hf.loading import ModelSource, load_model, load_processor, require
from avagent.models.scorers.texts import XCLIP, softmax


class XClip:
    """A loaded X-CLIP.

    Args:
        source: its weights.

    Raises:
        RecipeError: a model of another type.
        MissingModelError: weights or libraries are absent.
    """

    def __init__(self, source: ModelSource) -> None:
        self._torch: Any = require("torch")
        self._network = load_model(source, "XCLIPModel", model_types=(XCLIP,))
        self._features = load_processor(source, "AutoImageProcessor")
        self._tokenizer = load_processor(source, "AutoTokenizer")

    @property
    def frames(self) -> int:
        """Pictures that the network takes of a video."""
        return int(self._network.config.vision_config.num_frames)

    def similarities(self, video: Frames, texts: Sequence[str]) -> FloatArray:
        """Cosine between the video and each text, float32 [texts], [-1, 1].

        X-CLIP bends each text's vector by what the video shows, so texts are compared per video.
        """
        output = self._compare(video, texts)
        seen, said = output.video_embeds[0].float(), output.text_embeds[0].float()
        return (said @ seen).cpu().numpy()

    def probabilities(self, video: Frames, texts: Sequence[str]) -> FloatArray:
        """How likely each text is, if one of them is right, float32 [texts]."""
        return softmax(self._compare(video, texts).logits_per_video[0].float().cpu().numpy())

    def _compare(self, video: Frames, texts: Sequence[str]) -> Any:
        places = np.linspace(0, video.count - 1, self.frames).round().astype(int)
        pictures = [self._torch.from_numpy(video.pixels[p].copy()).permute(2, 0, 1) for p in places]
        pixels = self._features(pictures, return_tensors="pt")["pixel_values"][None]
        tokens = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        network = self._network
        with self._torch.inference_mode():
            return network(
                input_ids=tokens["input_ids"].to(network.device),
                attention_mask=tokens["attention_mask"].to(network.device),
                pixel_values=pixels.to(device=network.device, dtype=network.dtype),
            )


class XClipLabeller:
    """Videos to probabilities of labels.

    Args:
        source: an X-CLIP model.
        labels: what is asked for.
    """

    def __init__(self, source: ModelSource, labels: Sequence[str]) -> None:
        self._network = XClip(source)
        self._labels = tuple(labels)

    def probabilities(self, shots: Sequence[Frames]) -> FloatArray:
        """float32 [n, labels]."""
        return np.stack([self._network.probabilities(shot, self._labels) for shot in shots])
