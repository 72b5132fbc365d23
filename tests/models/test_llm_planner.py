"""The planner LLM's ranking of admissible answers, on a tiny random Llama."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plan_requests import BROKEN, CLEAN, LATE, NOISY, WORSE, after, asked
from tiny_llm import save_tiny_llm

from avagent.core.actions import EXTENDED_ACTIONS
from avagent.core.decide import choose_plan
from avagent.core.errors import ModelError, ParameterError, RecipeError, Stage
from avagent.models.llm.admissible import admissible
from avagent.models.llm.likelihood import (
    NORMALIZATIONS,
    answer_scores,
    honours_packing,
    score_each,
    score_packed,
    shares,
)
from avagent.models.llm.loading import LanguageModel, LanguageModelSource
from avagent.models.llm.planner import LLMPlanner
from avagent.models.llm.ranker import AnswerRanker
from avagent.models.llm.tree import pack_answers
from avagent.models.registry import build_planner

REQUESTS = (asked(BROKEN), asked(NOISY), asked(LATE), asked(CLEAN))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> LanguageModel:
    return LanguageModelSource(model=str(folder), dtype="float32", device="cpu").load()


def ranker(model: LanguageModel, normalization: Any = "sum", batch_tokens: int = 8192) -> AnswerRanker:
    return AnswerRanker(model, "model", normalization, batch_tokens)


@contextmanager
def forward_passes(model: LanguageModel) -> Iterator[list[tuple[int, ...]]]:
    """Shapes of what the network is given."""
    seen: list[tuple[int, ...]] = []

    def note(_module: Any, _args: Any, inputs: dict[str, Any]) -> None:
        seen.append(tuple(inputs["input_ids"].shape))

    hook = model.network.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6).map(tuple), min_size=1, max_size=12, unique=True))
def test_a_tree_holds_every_answer_and_each_beginning_once(answers):
    tree = pack_answers(answers)
    assert [tuple(tree.tokens[n] for n in path) for path in tree.paths] == answers
    assert tree.size == len({a[:i] for a in answers for i in range(1, len(a) + 1)})
    assert all(parent < node for node, parent in enumerate(tree.parents))


@pytest.mark.parametrize("answers", [[[]], [[1, 2], [1, 2]]])
def test_answers_must_differ(answers):
    with pytest.raises(ParameterError, match="must differ"):
        pack_answers(answers)


def assert_same_as_one_by_one(model: LanguageModel, tolerance: float) -> None:
    rank = ranker(model)
    prompts = [rank.prompt(r) for r in REQUESTS]
    trees = [rank.tree(admissible(r)) for r in REQUESTS]
    for prompt, tree, packed in zip(prompts, trees, score_packed(model, prompts, trees), strict=True):
        plain = score_each(model, prompt, tree)
        for ours, theirs in zip(packed, plain, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=tolerance)
        for normalization in NORMALIZATIONS:
            ours, theirs = (answer_scores(tree, nodes, normalization) for nodes in (packed, plain))
            assert np.argsort(-ours).tolist() == np.argsort(-theirs).tolist()


def test_packed_scores_are_those_of_each_answer_by_itself(tiny: LanguageModel):
    """A batch of unlike lengths; the same order for every normalization."""
    assert_same_as_one_by_one(tiny, 1e-4)


def test_likelihoods_are_what_the_definition_says(tiny: LanguageModel):
    tree = pack_answers([[5, 6], [5, 7], [8]])
    free, among = score_packed(tiny, [[1, 2, 3]], [tree])[0]
    with torch.inference_mode():
        first = torch.log_softmax(tiny.network(torch.tensor([[1, 2, 3]])).logits[0, -1], -1)
        second = torch.log_softmax(tiny.network(torch.tensor([[1, 2, 3, 5]])).logits[0, -1], -1)
    expected = [first[5] + second[6], first[5] + second[7], first[8]]
    np.testing.assert_allclose(answer_scores(tree, (free, among), "sum"), expected, atol=1e-5)
    np.testing.assert_allclose(answer_scores(tree, (free, among), "mean"), np.divide(expected, (2, 2, 1)), atol=1e-5)
    np.testing.assert_allclose(np.exp(answer_scores(tree, (free, among), "tree")).sum(), 1.0, atol=1e-6)
    assert shares(np.array([-1e4, -1e4])).tolist() == [0.5, 0.5]


def test_one_forward_pass_ranks_all_answers(tiny: LanguageModel):
    rank = ranker(tiny)
    request = REQUESTS[0]
    prompt, tree = rank.prompt(request), rank.tree(admissible(request))
    with forward_passes(tiny) as passes:
        (ranked,) = rank.rank([request])
    assert passes == [(1, len(prompt) + tree.size)]
    assert len(ranked) == 25
    assert tree.size < sum(map(len, tree.paths)) / 2
    assert sum(r.share for r in ranked) == pytest.approx(1.0)


def test_batches_keep_to_their_tokens_and_change_no_answer(tiny: LanguageModel):
    apart, together = ranker(tiny, batch_tokens=1), ranker(tiny)
    with forward_passes(tiny) as passes:
        one_by_one = apart.rank(REQUESTS)
    assert [shape[0] for shape in passes] == [1] * len(REQUESTS)
    with forward_passes(tiny) as passes:
        answers = together.rank(REQUESTS)
    assert [shape[0] for shape in passes] == [len(REQUESTS)]
    for ours, theirs in zip(answers, one_by_one, strict=True):
        assert [r.choice for r in ours] == [r.choice for r in theirs]


def test_a_network_that_ignores_the_mask_is_found_out(tiny: LanguageModel, caplog):
    class Deaf(torch.nn.Module):
        """Causal whatever it is told."""

        def __init__(self) -> None:
            super().__init__()
            self.config, self.dtype = tiny.network.config, tiny.network.dtype

        def forward(self, input_ids: Any, attention_mask: Any = None, position_ids: Any = None, **options: Any) -> Any:
            return tiny.network(input_ids=input_ids, **options)

    deaf = LanguageModel(Deaf(), tiny.tokenizer, "cpu")
    assert honours_packing(tiny)
    assert not honours_packing(deaf)
    slow = ranker(deaf)
    assert "each is scored by itself" in caplog.text
    assert [r.choice for r in slow.rank([REQUESTS[2]])[0]] == [r.choice for r in ranker(tiny).rank([REQUESTS[2]])[0]]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_short_floats_pack_as_well(folder: Path, dtype: str):
    assert honours_packing(LanguageModelSource(model=str(folder), dtype=dtype, device="cpu").load())


def test_plans_are_ranked_and_a_pickled_copy_ranks_alike(folder: Path):
    planner = build_planner("llm", {"model": str(folder), "device": "cpu"})
    answers = planner.plan([*REQUESTS, asked(None)])
    copy = pickle.loads(pickle.dumps(planner))  # noqa: S301
    assert copy.fingerprint == planner.fingerprint
    assert copy.plan([*REQUESTS, asked(None)]) == answers
    assert [len(a) for a in answers] == [25, 5, 10, 5, 1]
    assert all(plan.rationale.startswith("llm: ") for plan in answers[0])
    assert answers[-1][0].empty
    assert planner.take_usage()["tokens_in"] > 4 * 100
    assert not planner.take_usage()


def test_the_next_round_takes_the_next_best(folder: Path):
    planner = LLMPlanner(model=str(folder), device="cpu")
    request, tried = asked(BROKEN, allowed=EXTENDED_ACTIONS - {"volume", "speed"}), []
    for _ in range(3):
        candidates = [plan for plan in planner.plan([request])[0] if not plan.empty]
        tried.append(choose_plan(candidates, request.history, request.base, request.allowed))
        request = after(request, tried[-1], WORSE)
    assert len(set(tried)) == 3


def test_no_llm_is_loaded_where_there_is_nothing_to_choose(tmp_path: Path):
    planner = LLMPlanner(model=str(tmp_path / "absent"))
    assert all(plans[0].empty for plans in planner.plan([asked(None), asked(replace(NOISY, muted=True))]))


@pytest.mark.parametrize("error", [RuntimeError("shapes"), torch.OutOfMemoryError("full")])
def test_a_failure_of_the_llm_fails_its_clip_only(folder: Path, error: Exception):
    planner = LLMPlanner(model=str(folder), device="cpu")
    planner.warm_up()
    doomed = str(ranker(planner._model()).prompt(asked(CLEAN)))[1:-1]

    def fail(_module: Any, _args: Any, inputs: dict[str, Any]) -> None:
        if any(doomed in str(row) for row in inputs["input_ids"].tolist()):
            raise error

    planner._model().network.register_forward_pre_hook(fail, with_kwargs=True)
    good, bad = planner.plan([asked(LATE), asked(CLEAN)])
    assert isinstance(bad, ModelError)
    assert bad.stage is Stage.PLAN
    assert len(good) == 10


def test_likelihoods_that_are_no_numbers_are_refused(folder: Path):
    planner = LLMPlanner(model=str(folder), device="cpu")
    torch.nn.init.constant_(planner._model().network.lm_head.weight, float("nan"))
    (answer,) = planner.plan([asked(NOISY)])
    assert isinstance(answer, ModelError)
    assert "not finite" in str(answer)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give `model`"),
        ({"model": "/m", "package": "p"}, "one of them"),
        ({"model": "/m", "decoding": "sample"}, "decoding must be one of"),
        ({"model": "/m", "template": "alpaca"}, "template must be one of"),
        ({"model": "/m", "normalization": "max"}, "normalization must be one of"),
        ({"model": "/m", "batch_tokens": 0}, "batch_tokens"),
        ({"model": "/m", "gguf_file": "../x.gguf"}, "gguf_file"),
        ({"package": "p", "gguf_file": "x.gguf"}, "found by itself"),
        ({"package": "p", "quantization": "8bit"}, "own quantization"),
        ({"model": "owner/name", "revision": "main"}, "full commit"),
        ({"model": "/m", "temperature": 1.0}, "temperature"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str):
    with pytest.raises(RecipeError, match=said):
        build_planner("llm", options)


def test_the_fingerprint_tells_what_plans_depend_on(folder: Path, tmp_path: Path):
    other = save_tiny_llm(tmp_path / "other", seed=1)
    options = [
        {"model": str(folder)},
        {"model": str(other)},
        {"model": str(folder), "decoding": "generate"},
        {"model": str(folder), "template": "plain"},
        {"model": str(folder), "normalization": "tree"},
        {"model": str(folder), "dtype": "bfloat16"},
    ]
    prints = [LLMPlanner(**o).fingerprint for o in options]
    assert len(set(prints)) == len(prints)
    assert LLMPlanner(model=str(folder), batch_tokens=5).fingerprint == prints[0]
