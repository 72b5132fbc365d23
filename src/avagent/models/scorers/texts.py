"""Sound and pictures compared through texts: how likely each label is, to either side.

CLAP (Wu et al., ICASSP 2023, arXiv:2211.06687) compares sound with text, CLIP (Radford et al., ICML 2021,
arXiv:2103.00020) pictures and X-CLIP (Ni et al., ECCV 2022, arXiv:2208.02816) videos with text. Their spaces differ, so
each side becomes a distribution over one list of labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from avagent.core.errors import RecipeError
from avagent.core.media import FloatArray, Frames, Waveform
from avagent.dsp.resampling import resample_single
from avagent.models.hf.loading import ModelSource, load_model, load_processor, require

CLAP, CLIP, XCLIP = "clap", "clip", "xclip"
LEAST_LABELS = 2


def read_labels(path: str | None) -> tuple[str, ...]:
    """One label a line; None: the list that ships. Raises RecipeError."""
    if path is None:
        text = (resources.files("avagent.models.scorers.data") / "labels.txt").read_text("utf-8")
    else:
        try:
            text = Path(path).expanduser().read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"the list of labels {path} cannot be read: {error}") from error
    labels = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if len(labels) < LEAST_LABELS:
        raise RecipeError(f"the list of labels {path} must hold {LEAST_LABELS} different lines at least")
    return labels


def softmax(logits: FloatArray) -> FloatArray:
    """Along the last axis."""
    exponent = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True), np.float32)


class ClapLabeller:
    """Sound to probabilities of labels.

    Args:
        source: a CLAP model.
        labels: what is asked for.
    """

    def __init__(self, source: ModelSource, labels: Sequence[str]) -> None:
        self._torch: Any = require("torch")
        self._network = load_model(source, "ClapModel", model_types=(CLAP,))
        self._features = load_processor(source, "ClapFeatureExtractor")
        tokenizer = load_processor(source, "AutoTokenizer")
        with self._torch.inference_mode():
            tokens = tokenizer(list(labels), padding=True, truncation=True, return_tensors="pt")
            texts = self._network.get_text_features(**tokens.to(self._network.device)).pooler_output
            self._texts = self._torch.nn.functional.normalize(texts.float(), dim=-1)
            self._scale = self._network.logit_scale_a.exp().float()

    def probabilities(self, sounds: Sequence[Waveform]) -> FloatArray:
        """float32 [n, labels]: the mean over parts as long as the network hears at once, at most; no random crops."""
        pieces = [self._pieces(sound) for sound in sounds]
        single = self._hear([piece for parts in pieces for piece in parts])
        ends = np.cumsum([len(parts) for parts in pieces])
        return np.stack([part.mean(axis=0) for part in np.split(single, ends[:-1])])

    def _pieces(self, sound: Waveform) -> list[FloatArray]:
        rate, longest = self._features.sampling_rate, self._features.nb_max_samples
        mono = resample_single(sound.mono(), sound.rate, rate)
        count = -(-mono.size // longest)
        return list(np.array_split(mono, max(1, count)))

    def _hear(self, pieces: Sequence[FloatArray]) -> FloatArray:
        inputs = self._features(list(pieces), sampling_rate=self._features.sampling_rate, return_tensors="pt")
        with self._torch.inference_mode():
            mels = inputs["input_features"].to(device=self._network.device, dtype=self._network.dtype)
            # The extractor marks one sound at random as longer than the network hears: here none is.
            longer = self._torch.zeros((len(pieces), 1), dtype=self._torch.bool, device=self._network.device)
            sound = self._network.get_audio_features(mels, is_longer=longer).pooler_output.float()
            logits = self._torch.nn.functional.normalize(sound, dim=-1) @ self._texts.T * self._scale
            return softmax(logits.cpu().numpy())


class ClipLabeller:
    """Pictures to probabilities of labels: the mean over a shot's pictures. Arguments as :class:`ClapLabeller`."""

    def __init__(self, source: ModelSource, labels: Sequence[str]) -> None:
        self._torch: Any = require("torch")
        self._network = load_model(source, "CLIPModel", model_types=(CLIP,))
        self._features = load_processor(source, "AutoImageProcessor")
        tokenizer = load_processor(source, "AutoTokenizer")
        with self._torch.inference_mode():
            tokens = tokenizer(list(labels), padding=True, truncation=True, return_tensors="pt")
            texts = self._network.get_text_features(**tokens.to(self._network.device)).pooler_output
            self._texts = self._torch.nn.functional.normalize(texts.float(), dim=-1)
            self._scale = self._network.logit_scale.exp().float()

    def probabilities(self, shots: Sequence[Frames]) -> FloatArray:
        """float32 [n, labels]."""
        pictures = [self._torch.from_numpy(p.copy()).permute(2, 0, 1) for shot in shots for p in shot.pixels]
        inputs = self._features(pictures, return_tensors="pt")
        with self._torch.inference_mode():
            pixels = inputs["pixel_values"].to(device=self._network.device, dtype=self._network.dtype)
            seen = self._network.get_image_features(pixels).pooler_output.float()
            logits = self._torch.nn.functional.normalize(seen, dim=-1) @ self._texts.T * self._scale
            single = softmax(logits.cpu().numpy())
        ends = np.cumsum([shot.count for shot in shots])
        return np.stack([part.mean(axis=0) for part in np.split(single, ends[:-1])])
