"""Sentence embeddings: all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957; Reimers & Gurevych, arXiv:1908.10084)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from avagent.core.media import FloatArray
from avagent.models.embedded.packages import MINILM_CONFIG, MINILM_TOKENIZER, MINILM_WEIGHTS, require

DIMENSIONS = 384
BATCH = 64
MAX_TOKENS = 128


class SentenceEncoder:
    """The network, loaded on the CPU."""

    def __init__(self) -> None:
        """Raises MissingModelError where the weights or a library are absent."""
        weights, config, tokenizer = (f.locate() for f in (MINILM_WEIGHTS, MINILM_CONFIG, MINILM_TOKENIZER))
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
