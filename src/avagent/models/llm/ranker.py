"""Admissible answers of clips, ordered by an LLM."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avagent.core.plan import Plan
from avagent.core.ports import PlanRequest
from avagent.models.hf.batching import BatchRunner
from avagent.models.llm.admissible import Choice, admissible
from avagent.models.llm.chat import encode_answer, encode_prompt
from avagent.models.llm.likelihood import (
    Nodes,
    Normalization,
    answer_scores,
    honours_packing,
    score_each,
    score_packed,
    shares,
)
from avagent.models.llm.loading import LanguageModel
from avagent.models.llm.prompt import render, system_text
from avagent.models.llm.tree import AnswerTree, pack_answers
from avagent.models.usage import Usage

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A choice and its share of the likelihood among all choices, in [0, 1]."""

    choice: Choice
    share: float


class AnswerRanker:
    """Ranks with one LLM; one batch at a time.

    Args:
        model: the LLM.
        template: chat format.
        normalization: of likelihoods.
        batch_tokens: of one forward pass, padding included.
        usage: where tokens are counted.
    """

    def __init__(
        self,
        model: LanguageModel,
        template: str,
        normalization: Normalization,
        batch_tokens: int,
        usage: Usage | None = None,
    ) -> None:
        self._model = model
        self._template = template
        self._normalization: Normalization = normalization
        self._runner: BatchRunner[Nodes] = BatchRunner(batch_tokens)
        self._usage = usage or Usage()
        self._packs = honours_packing(model)
        if not self._packs:
            name = type(model.network).__name__
            _log.warning(
                "%s cannot score packed answers: each is scored by itself, which takes many times longer", name
            )

    def rank(self, requests: Sequence[PlanRequest]) -> list[tuple[Ranked, ...] | Exception]:
        """For each request every admissible choice, the likeliest first; an exception where the LLM failed."""
        choices = [admissible(request) for request in requests]
        asked = [i for i, found in enumerate(choices) if len(found) > 1]
        prompts = [self.prompt(requests[i]) for i in asked]
        trees = [self.tree(choices[i]) for i in asked]

        def score(batch: list[int]) -> list[Nodes]:
            if self._packs:
                return score_packed(self._model, [prompts[i] for i in batch], [trees[i] for i in batch])
            return [score_each(self._model, prompts[i], trees[i]) for i in batch]

        costs = [len(prompt) + tree.size for prompt, tree in zip(prompts, trees, strict=True)]
        scored = self._runner.run(costs, score)
        self._usage.add({"tokens_in": sum(costs)})
        answers: list[tuple[Ranked, ...] | Exception] = [_alone(found) for found in choices]
        for at, i in enumerate(asked):
            nodes = scored[at]
            answers[i] = nodes if isinstance(nodes, Exception) else self._order(choices[i], trees[at], nodes)
        return answers

    def prompt(self, request: PlanRequest) -> list[int]:
        """Token ids of the request."""
        return encode_prompt(self._model.tokenizer, system_text(), render(request), self._template)

    def tree(self, choices: Sequence[Choice]) -> AnswerTree:
        """Token ids of the answers."""
        return pack_answers([encode_answer(self._model.tokenizer, choice.answer) for choice in choices])

    def _order(self, choices: Sequence[Choice], tree: AnswerTree, nodes: Nodes) -> tuple[Ranked, ...] | Exception:
        scores = answer_scores(tree, nodes, self._normalization)
        if not np.isfinite(scores).all():
            return ValueError("its likelihoods are not finite: try another dtype")
        part = shares(scores)
        order = sorted(range(len(choices)), key=lambda i: (-scores[i], i))
        return tuple(Ranked(choice=choices[i], share=float(part[i])) for i in order)


def _alone(choices: Sequence[Choice]) -> tuple[Ranked, ...]:
    return tuple(Ranked(choice=choice, share=1.0) for choice in choices)


def ranked_plans(request: PlanRequest, ranked: Sequence[Ranked]) -> tuple[Plan, ...]:
    """The plans that these choices stand for, in order, without repetition."""
    plans: dict[Plan, Plan] = {}
    for entry in ranked:
        plan = entry.choice.plan(request)
        why = f"llm: {entry.choice.answer} ({entry.share:.2f})"
        plans.setdefault(plan, replace(plan, rationale=why))
    return tuple(plans.values())
