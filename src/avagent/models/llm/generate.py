"""An LLM writes a plan with parameters as JSON, token by token held to the schema (llguidance, MIT)."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from avagent.core.decide import base_actions
from avagent.core.errors import MissingModelError, ParameterError
from avagent.core.plan import Plan
from avagent.core.ports import PlanRequest
from avagent.models.hf.loading import require
from avagent.models.llm.chat import encode_prompt
from avagent.models.llm.loading import LanguageModel
from avagent.models.llm.prompt import render, repair_text, system_text
from avagent.models.llm.schema import parse_plan, plan_schema
from avagent.models.usage import Usage

MAX_TOKENS = 96
"""A plan of two actions takes about 45."""
ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Written:
    """What came of an LLM's attempts.

    Attributes:
        plan: the first answer that holds; None: all were refused.
        refused: why the others were, in order.
    """

    plan: Plan | None
    refused: tuple[str, ...] = ()


class PlanWriter:
    """Writes plans with one LLM, greedily, one at a time.

    Args:
        model: the LLM; its tokenizer must be a fast one.
        template: chat format.
        usage: where tokens are counted.

    Raises:
        MissingModelError: llguidance is not installed, or cannot use the tokenizer.
    """

    def __init__(self, model: LanguageModel, template: str = "model", usage: Usage | None = None) -> None:
        self._model = model
        self._template = template
        self._usage = usage or Usage()
        self._lock = threading.Lock()
        self._llguidance = require("llguidance")
        try:
            self._vocabulary = require("llguidance.hf").from_tokenizer(
                model.tokenizer, n_vocab=max(_width(model), len(model.tokenizer))
            )
        except ValueError as error:
            raise MissingModelError(f"decoding `generate` cannot use this tokenizer: {error}") from error

    def write(self, request: PlanRequest) -> Written:
        """A plan that keeps to the schema, the bounds and what was not tried yet; one repair attempt."""
        text, refused = render(request), []
        for _ in range(ATTEMPTS):
            answer = self.complete(text, request.allowed)
            try:
                return Written(_new(parse_plan(answer, request.allowed), request), tuple(refused))
            except ParameterError as error:
                refused.append(str(error))
                text = f"{render(request)}\n{repair_text(answer, str(error))}"
        return Written(None, tuple(refused))

    def complete(self, text: str, allowed: Collection[str], max_tokens: int = MAX_TOKENS) -> str:
        """The LLM's answer, held to the schema; cut where it is longer than `max_tokens`."""
        with self._lock:
            return self._complete(text, frozenset(allowed), max_tokens)

    def _complete(self, text: str, allowed: frozenset[str], max_tokens: int) -> str:
        torch = require("torch")
        matcher = self._matcher(allowed)
        prompt = encode_prompt(self._model.tokenizer, system_text("generate"), text, self._template)
        step, cache, written = prompt, None, []
        with torch.inference_mode():
            while len(written) < max_tokens and not matcher.is_stopped():
                output = self._model.network(
                    input_ids=torch.tensor([step], device=self._model.device),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                cache = output.past_key_values
                token = _best(output.logits[0, -1], matcher)
                matcher.consume_token(token)
                step = [token, *matcher.compute_ff_tokens()]
                if len(step) > 1:
                    matcher.consume_tokens(step[1:])
                written += step
        self._usage.add({"tokens_in": len(prompt), "tokens_out": len(written)})
        return self._model.tokenizer.decode(written, skip_special_tokens=True)

    def _matcher(self, allowed: frozenset[str]) -> Any:
        matcher = self._llguidance.LLMatcher(self._vocabulary, _grammar(allowed), log_level=0)
        if matcher.is_error():
            raise MissingModelError(f"this release of llguidance cannot hold the LLM to a plan: {matcher.get_error()}")
        return matcher


def _best(logits: Any, matcher: Any) -> int:
    """The likeliest token that the schema allows."""
    allowed = np.frombuffer(matcher.compute_bitmask(), np.uint8)
    bits = np.unpackbits(allowed, bitorder="little")[: logits.shape[0]]
    values = logits.float().cpu().numpy()[: bits.size]
    return int(np.where(bits.astype(np.bool_), values, -np.inf).argmax())


def _new(plan: Plan, request: PlanRequest) -> Plan:
    """The plan unless it was tried already. Raises ParameterError."""
    before = base_actions(request.history, request.base)
    if not plan.empty and request.history.tried(plan, before + plan.actions):
        raise ParameterError("this plan was tried already; write another one")
    return plan


def _width(model: LanguageModel) -> int:
    """Number of logits, which may be more than the tokenizer has tokens."""
    return int(model.network.config.get_text_config().vocab_size)


@lru_cache(maxsize=32)
def _grammar(allowed: frozenset[str]) -> str:
    matcher = require("llguidance").LLMatcher
    return matcher.grammar_from_json_schema(plan_schema(allowed), overrides={"whitespace_flexible": False})
