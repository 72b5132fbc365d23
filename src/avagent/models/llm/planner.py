"""The planner LLM (paper section 3.1: Vicuna-v1.5-7b with a LoRA adapter): any causal LM that transformers runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from avagent.core.errors import ClipError, FailureReason, ModelError, RecipeError, Stage
from avagent.core.plan import Plan
from avagent.core.ports import PlanRequest
from avagent.models.embedded.planner import EmbeddedPlanner, rank_plans
from avagent.models.hf.batching import out_of_memory
from avagent.models.hf.loading import Once
from avagent.models.llm.adapters import adapter_folder
from avagent.models.llm.admissible import admissible
from avagent.models.llm.chat import TEMPLATES
from avagent.models.llm.generate import PlanWriter, Written
from avagent.models.llm.likelihood import NORMALIZATIONS, Normalization
from avagent.models.llm.loading import LanguageModel, LanguageModelSource
from avagent.models.llm.prompt import prompt_fingerprint
from avagent.models.llm.ranker import AnswerRanker, ranked_plans
from avagent.models.usage import Usage

REVISION = 1
"""Raised with every change that changes plans and shows in no other part of the fingerprint."""

CARD = "card.json"
"""In an adapter's folder, written by `avagent train-planner`."""
DECODINGS = ("rank", "generate")


@dataclass(frozen=True, kw_only=True)
class LLMPlanner:
    """Plans by a causal LLM, which is loaded once, at first use or by :meth:`warm_up`.

    Attributes:
        decoding: `rank`: every admissible answer, ordered by its likelihood, with amounts from measured facts;
            `generate`: the LLM writes a plan with amounts as JSON, held to the schema; where it cannot, the embedded
            planner decides and the plan's rationale says so.
        template: chat format, see :data:`~avagent.models.llm.chat.TEMPLATES`.
        normalization: of likelihoods, see :data:`~avagent.models.llm.likelihood.Normalization`.
        batch_tokens: of one forward pass at most, padding included.
        model, package, gguf_file, adapter, revision, dtype, device, quantization: which LLM; see
            :class:`~avagent.models.llm.loading.LanguageModelSource`.

    Raises:
        RecipeError: an option that cannot be; later, another architecture, or an adapter for another prompt.
        MissingModelError: later, weights, a library or the device are absent.
    """

    decoding: str = "rank"
    template: str = "model"
    normalization: str = "sum"
    batch_tokens: int = 8192
    model: str | None = None
    package: str | None = None
    gguf_file: str | None = None
    adapter: str | None = None
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    quantization: str = "none"
    _usage: Usage = field(init=False, repr=False, compare=False)
    _model: Once[LanguageModel] = field(init=False, repr=False, compare=False)
    _ranker: Once[AnswerRanker] = field(init=False, repr=False, compare=False)
    _writer: Once[PlanWriter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, known in (("decoding", DECODINGS), ("template", TEMPLATES), ("normalization", NORMALIZATIONS)):
            if (value := getattr(self, name)) not in known:
                raise RecipeError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if not (isinstance(self.batch_tokens, int) and self.batch_tokens >= 1):
            raise RecipeError(f"batch_tokens must be a whole number of at least 1, got {self.batch_tokens!r}")
        object.__setattr__(self, "_usage", Usage())
        object.__setattr__(self, "_model", Once(self.source.load))
        object.__setattr__(self, "_ranker", Once(self._make_ranker))
        object.__setattr__(self, "_writer", Once(self._make_writer))

    @property
    def source(self) -> LanguageModelSource:
        """Which LLM."""
        return LanguageModelSource(
            model=self.model,
            package=self.package,
            gguf_file=self.gguf_file,
            adapter=self.adapter,
            revision=self.revision,
            dtype=self.dtype,
            device=self.device,
            quantization=self.quantization,
        )

    @property
    def fingerprint(self) -> str:
        """Weights, adapter, prompt, decoding. Raises RecipeError, MissingModelError: see `LanguageModelSource`."""
        self._check_card()
        parts = [f"r{REVISION}", self.source.fingerprint(), prompt_fingerprint(self.decoding), self.template]
        parts.append(f"rank/{self.normalization}" if self.decoding == "rank" else "generate")
        if self.decoding == "generate":
            parts.append(EmbeddedPlanner().fingerprint)
        return f"llm({','.join(parts)})"

    def warm_up(self) -> None:
        """Load what the decoding needs. Raises RecipeError, MissingModelError."""
        self._check_card()
        _ = self._ranker() if self.decoding == "rank" else self._writer()

    def take_usage(self) -> Mapping[str, int]:
        """Tokens read and written, and fallbacks to the embedded planner, since the last call."""
        return self._usage.take()

    def plan(self, requests: Sequence[PlanRequest]) -> list[Sequence[Plan] | ClipError]:
        """Candidates for each request, best first; where there is but one admissible answer, the LLM is not asked."""
        if self.decoding == "rank":
            return self._rank(requests)
        return [self._write(request) for request in requests]

    def _rank(self, requests: Sequence[PlanRequest]) -> list[Sequence[Plan] | ClipError]:
        if all(len(admissible(request)) == 1 for request in requests):
            return [(Plan(rationale="llm: no action is admissible"),)] * len(requests)
        return [
            _model_error(request, ranked) if isinstance(ranked, Exception) else ranked_plans(request, ranked)
            for request, ranked in zip(requests, self._ranker().rank(requests), strict=True)
        ]

    def _write(self, request: PlanRequest) -> Sequence[Plan] | ClipError:
        if request.facts is None or request.facts.muted:
            return (Plan(rationale="llm: there is no sound to repair"),)
        try:
            written = self._writer().write(request)
        except (RuntimeError, ValueError, IndexError, MemoryError) as error:
            return _model_error(request, error)
        self._usage.add({"fallbacks": int(written.plan is None)})
        return _written_plans(request, written)

    def _check_card(self) -> None:
        """See that an adapter of ours was trained on the prompt that it will be asked with."""
        if self.adapter is None or self.decoding != "rank":
            return
        card = adapter_folder(self.adapter) / CARD
        if not card.is_file():
            return
        try:
            trained = json.loads(card.read_text("utf-8"))["prompt"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RecipeError(f"{card} is no card of an adapter ({error!r}): train it again, or remove it") from error
        if trained != prompt_fingerprint():
            raise RecipeError(
                f"the adapter {self.adapter} was trained on {trained}, this release asks with {prompt_fingerprint()}:"
                " train it again (avagent train-planner)"
            )

    def _make_ranker(self) -> AnswerRanker:
        normalization = cast("Normalization", self.normalization)
        return AnswerRanker(self._model(), self.template, normalization, self.batch_tokens, self._usage)

    def _make_writer(self) -> PlanWriter:
        return PlanWriter(self._model(), self.template, self._usage)


def _written_plans(request: PlanRequest, written: Written) -> tuple[Plan, ...]:
    """The LLM's plan, or the embedded planner's where every attempt was refused."""
    note = f" (refused before: {written.refused[-1]})" if written.refused else ""
    if written.plan is not None:
        return (replace(written.plan, rationale=f"llm{note}"),)
    reason = written.refused[-1] if written.refused else "no answer"
    fallback = rank_plans(request) or (Plan(),)
    return tuple(
        replace(plan, rationale=f"fallback: embedded planner: {reason}; {plan.rationale}".rstrip("; "))
        for plan in fallback
    )


def _model_error(request: PlanRequest, error: Exception) -> ModelError:
    what = "ran out of memory" if out_of_memory(error) else f"failed: {error}"
    return ModelError(
        f"the planner LLM {what} on clip {request.key!r}", reason=FailureReason.MODEL_FAILED, stage=Stage.PLAN
    )
