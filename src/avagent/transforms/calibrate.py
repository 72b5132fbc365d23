"""Shards to scored pairs, on references: what a calibration is fitted on."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from avagent.core.calibration_fit import ScoredPair
from avagent.core.clip import ClipRef
from avagent.core.errors import ClipError
from avagent.core.ports import RawScorer
from avagent.core.state import ClipState
from avagent.media.pair_views import Example, examples
from avagent.media.store import MediaStore
from avagent.records.calibration_files import write_pairs
from avagent.runs.run_plan import ShardTask
from avagent.transforms.loop import PortLoader
from avagent.transforms.metrics import NAMESPACE, count_cache, stage_latency
from avagent.transforms.progress import report_progress
from avagent.transforms.read import STATES, ReadShards
from avagent.transforms.run_inference import ModelHandler, RunInference
from avagent.transforms.store import StoreConfig, process_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Which pairs are made.

    Attributes:
        clips: matched pairs at most.
        others: other clips' sounds put under each picture.
        lags: of the scorer's lags, how many each clip's sound is moved by.
        changed: clips whose sound is also changed harmlessly, at most.
    """

    clips: int = 300
    others: int = 3
    lags: int = 3
    changed: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTask:
    """A clip to score in all its pairs.

    Attributes:
        ref: whose picture.
        others: whose sounds do not belong to it.
        place: in the shuffled order, from 0.
    """

    ref: ClipRef
    others: tuple[ClipRef, ...]
    place: int


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What scores the pairs.

    Attributes:
        scorer: loads it.
        store: the worker's media store.
        sampling: which pairs.
        progress: file that local workers report scored clips to; None: no such report.
    """

    scorer: PortLoader[RawScorer]
    store: StoreConfig
    sampling: Sampling
    progress: str | None = None


class ScorePairs(beam.PTransform):
    """Shards to one file of scored pairs."""

    def __init__(self, scoring: Scoring, output: str, pairs: str) -> None:
        super().__init__()
        self._scoring = scoring
        self._output = output
        self._pairs = pairs

    def expand(self, tasks: PCollection[ShardTask]) -> PCollection[int]:
        """ShardTask -> number of pairs, once."""
        sampling = self._scoring.sampling
        read: Any = tasks | "ReadShards" >> ReadShards(self._scoring.store, self._output)
        chosen: Any = (
            read[STATES]
            | "Readable" >> beam.FlatMap(_readable)
            | "Choose" >> beam.combiners.Top.Of(sampling.clips, key=shuffled, reverse=True)
            | "Pair" >> beam.FlatMap(pair_up, sampling=sampling)
        )
        written: Any = (
            chosen
            | "Spread" >> beam.Reshuffle()
            | "Score" >> RunInference(_PairHandler(self._scoring))
            | "Together" >> beam.combiners.ToList()
            | "Write" >> beam.Map(_write, url=self._pairs)
        )
        return written


def shuffled(ref: ClipRef) -> str:
    """A clip's place in an order that its content alone decides, and that looks random."""
    return hashlib.sha256(f"calibrate {ref.content_sha256}".encode()).hexdigest()


def pair_up(refs: Sequence[ClipRef], sampling: Sampling) -> Iterator[PairTask]:
    """Every clip with the next ones of other content, around the end; in the shuffled order."""
    unique = sorted({ref.content_sha256: ref for ref in refs}.values(), key=shuffled)
    count = min(sampling.others, len(unique) - 1)
    for place, ref in enumerate(unique):
        others = tuple(unique[(place + step) % len(unique)] for step in range(1, count + 1))
        yield PairTask(ref=ref, others=others, place=place)


def score_task(task: PairTask, scorer: RawScorer, store: MediaStore, sampling: Sampling) -> list[ScoredPair]:
    """All pairs of a clip that could be scored."""
    made = _examples(task, scorer, store, sampling)
    answers = scorer.raw([example.view for example in made])
    for answer in answers:
        if isinstance(answer, ClipError):
            Metrics.counter(NAMESPACE, f"pairs_failed_{answer.reason}").inc()
    return [
        ScoredPair(
            key=task.ref.key,
            content_sha256=task.ref.content_sha256,
            kind=example.kind,
            detail=example.detail,
            raw=answer,
        )
        for example, answer in zip(made, answers, strict=True)
        if not isinstance(answer, ClipError)
    ]


def _examples(task: PairTask, scorer: RawScorer, store: MediaStore, sampling: Sampling) -> list[Example]:
    lags = scorer.lags_ms
    first = int(shuffled(task.ref)[:8], 16)
    step = max(1, len(lags) // max(1, sampling.lags))
    chosen = sorted({lags[(first + i * step) % len(lags)] for i in range(min(sampling.lags, len(lags)))})
    others = [store.view(other) for other in task.others]
    return list(examples(store.view(task.ref), others, chosen, changes=task.place < sampling.changed))


class _PairHandler(ModelHandler[PairTask, list[ScoredPair], RawScorer]):
    """Scores a clip's pairs; they are a batch of their own."""

    def __init__(self, scoring: Scoring) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._scoring = scoring

    def load_model(self) -> RawScorer:
        """The scorer, once per process."""
        return self._scoring.scorer()

    def run_inference(
        self,
        batch: Sequence[PairTask],
        model: RawScorer,
        inference_args: Mapping[str, Any] | None = None,  # noqa: ARG002  (Beam's signature)
    ) -> Sequence[list[ScoredPair]]:
        """The pairs of each clip."""
        store = process_store(self._scoring.store)
        scored: list[list[ScoredPair]] = []
        for task in batch:
            with count_cache(store), stage_latency("score"):
                scored.append(score_task(task, model, store, self._scoring.sampling))
            report_progress(self._scoring.progress, "scored", task.ref.length)
        return scored

    def get_metrics_namespace(self) -> str:
        """Where RunInference puts its own counters."""
        return "avagent.calibrate"


def _readable(state: ClipState) -> Iterator[ClipRef]:
    if state.failure is None:
        yield state.ref


def _write(scored: Iterable[Sequence[ScoredPair]], url: str) -> int:
    return write_pairs(url, [pair for pairs in scored for pair in pairs])
