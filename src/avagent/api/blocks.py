"""The steps of the pipeline as transforms for pipelines of one's own.

What travels is a clip's state (:class:`avagent.core.state.ClipState`): reference, captions, plan, scores, a few KB; its
media stays in the store of each worker. One round is::

    clips = pipeline | av.ReadWebDataset("shards/") | av.CaptionClips() | av.ScoreClips()
    tried = clips | av.PlanEdits() | av.ApplyEdits() | "ScoreEdits" >> av.ScoreClips()
    tried | av.ConcludeClips() | av.WriteWebDataset("refined/")

and `RefineClips` is all of a recipe's rounds. Transforms of one recipe share models and store: give all of them the
same one.
"""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection

from avagent import __version__
from avagent.core.decide import Policy
from avagent.core.errors import UsageError
from avagent.core.ports import Scorer
from avagent.core.state import ClipDecision, ClipState, conclude
from avagent.media.store import MediaStore
from avagent.pipelines.recipe import Recipe, load_recipe
from avagent.pipelines.run import limit_tasks, list_inputs
from avagent.pipelines.wiring import Wired, wire
from avagent.records.decisions import write_decisions
from avagent.records.manifest import decisions_url
from avagent.runs.commit import claim_output, finalize
from avagent.runs.rewrite import ShardReport
from avagent.runs.run_plan import ShardTask
from avagent.shards.formats import TFRECORD, WEBDATASET, ShardFormat, format_of
from avagent.shards.listing import check_names, list_shards
from avagent.transforms import refine
from avagent.transforms.read import read_states
from avagent.transforms.stages import close_round, edit_clip, plan_clips, score_edits, score_originals
from avagent.transforms.store import StoreConfig, process_store
from avagent.transforms.write import ApplyTarget, apply_decisions

AnyRecipe = str | Recipe
_wired: dict[str, Wired] = {}
_lock = threading.Lock()


def wired_once(recipe: AnyRecipe) -> Wired:
    """The recipe with its models, the same object for equal recipes: so blocks share what they load.

    Raises:
        RecipeError, MissingModelError: it cannot be used on this machine.
    """
    loaded = load_recipe(recipe) if isinstance(recipe, str) else recipe
    with _lock:
        key = loaded.model_dump_json()
        if key not in _wired:
            wired = wire(loaded)
            store = replace(wired.loop.store, run=f"blocks {wired.provenance.fingerprint}")
            _wired[key] = replace(wired, loop=replace(wired.loop, store=store, failures=None))
        return _wired[key]


class _ReadClips(beam.PTransform):
    """Shards to clip states, each shard in one pass, wherever there is a free worker.

    Args:
        source: folder of shards, glob, brace pattern, shard or shard list.
        recipe: by which shards are read.
        limit: only the first clips, over all shards.
    """

    form: ClassVar[ShardFormat[Any]]

    def __init__(self, source: str, *, recipe: AnyRecipe = "embedded", limit: int | None = None) -> None:
        super().__init__()
        self._shards = list_shards(source)
        if other := next((shard for shard in self._shards if format_of(shard) is not self.form), None):
            raise UsageError(f"{type(self).__name__} reads {self.form.name} shards, and {other} is none")
        self._limit = limit
        self._store = wired_once(recipe).loop.store

    def expand(self, begin: PBegin) -> PCollection[ClipState]:
        """A pipeline -> ClipState; what cannot be read is a state that has failed."""
        tasks = limit_tasks(list_inputs(self._shards), self._limit)
        states: Any = (
            begin
            | "Shards" >> beam.Create(tasks, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(_read, store=self._store)
        )
        return states


def _read(task: ShardTask, store: StoreConfig) -> Iterator[ClipState]:
    yield from read_states(task, process_store(store), store.shards)


class ReadWebDataset(_ReadClips):
    """Clips of WebDataset shards: pipeline -> ClipState. See `_ReadClips` for the arguments."""

    form = WEBDATASET


class ReadTFRecordClips(_ReadClips):
    """Clips of TFRecord shards: pipeline -> ClipState. See `_ReadClips` for the arguments."""

    form = TFRECORD


class _Block(beam.PTransform):
    """A step of a recipe.

    Args:
        recipe: name, YAML file, or one loaded by `load_recipe`.
    """

    def __init__(self, *, recipe: AnyRecipe = "embedded") -> None:
        super().__init__()
        self._loop = wired_once(recipe).loop


class CaptionClips(_Block):
    """Say what is heard and what is seen, separately: ClipState -> ClipState with captions."""

    def expand(self, states: PCollection[ClipState]) -> PCollection[ClipState]:
        """ClipState -> ClipState."""
        captioned: Any = states | refine.CaptionClips(self._loop)
        return captioned


class ScoreClips(_Block):
    """Score what was not scored: a clip's sound as it came, or the edit under way, which closes its round."""

    def expand(self, states: PCollection[ClipState]) -> PCollection[ClipState]:
        """ClipState -> ClipState with a longer history."""
        loop = self._loop
        scored: Any = states | refine.infer(loop, loop.scorer, partial(score_clips, policy=loop.policy), "score")
        return scored


def score_clips(states: Sequence[ClipState], scorer: Scorer, store: MediaStore, *, policy: Policy) -> list[ClipState]:
    """The states with what they lack in scores."""
    scored = score_edits(score_originals(states, scorer, store), scorer, store)
    return [close_round(state, policy) for state in scored]


class PlanEdits(_Block):
    """Choose the next plan of every clip that the recipe's policy would try again; the others pass as they are."""

    def expand(self, states: PCollection[ClipState]) -> PCollection[ClipState]:
        """ClipState, scored -> ClipState with a plan."""
        loop = self._loop
        step = partial(plan_clips, policy=loop.policy, allowed=loop.allowed)
        planned: Any = states | refine.infer(loop, loop.planner, step, "plan")
        return planned


class ApplyEdits(_Block):
    """Make the edited sound of every clip that has a plan, and see what the edit did."""

    def expand(self, states: PCollection[ClipState]) -> PCollection[ClipState]:
        """ClipState with a plan -> ClipState with its effect; the sound stays in the worker's store."""
        loop = self._loop
        edited: Any = states | "Edit" >> beam.Map(_edit, store=loop.store, policy=loop.policy)
        return edited


def _edit(state: ClipState, store: StoreConfig, policy: Policy) -> ClipState:
    return edit_clip(state, process_store(store), policy)


class ConcludeClips(_Block):
    """End every clip's way with the best that its rounds found: ClipState -> ClipDecision."""

    def expand(self, states: PCollection[ClipState]) -> PCollection[ClipDecision]:
        """ClipState, scored or failed -> ClipDecision."""
        concluded: Any = states | "Conclude" >> beam.Map(conclude_clip, policy=self._loop.policy)
        return concluded


def conclude_clip(state: ClipState, policy: Policy) -> ClipDecision:
    """The clip's decision if it is not to be tried again.

    Raises:
        UsageError: it was never scored.
    """
    rounds = len(state.history.rounds) if state.history is not None else 0
    decision = conclude(state, replace(policy, max_rounds=rounds))
    if decision is None:
        raise UsageError(f"clip {state.ref.key!r} was not scored: put ScoreClips before ConcludeClips")
    return decision


class RefineClips(_Block):
    """All rounds of a recipe: captions, scores, plans, edits, and the decision; what is known already is kept."""

    def expand(self, states: PCollection[ClipState]) -> PCollection[ClipDecision]:
        """ClipState -> ClipDecision, one for one."""
        decided: Any = states | refine.DecideClips(self._loop)
        return decided


class WriteWebDataset(beam.PTransform):
    """Write the shards that decisions are about, each whole and in its own format, and the manifest.

    Unchanged clips leave byte for byte; failed ones go to the dead letters; clips without a decision are left out. The
    folder is as after `avagent refine`: `avagent verify`, `report` and `apply` work on it.

    Args:
        output: folder for the shards; another run's output is refused.
        recipe: the one that decided.
        overwrite: replace another run's output.
    """

    def __init__(self, output: str, *, recipe: AnyRecipe = "embedded", overwrite: bool = False) -> None:
        super().__init__()
        wired = wired_once(recipe)
        self._wired = wired
        self._overwrite = overwrite
        self._target = ApplyTarget(
            output=output,
            provenance=wired.provenance,
            audio_codec=wired.recipe.output.audio_codec,
            shards=wired.loop.store.shards,
        )

    def expand(self, decisions: PCollection[ClipDecision]) -> PCollection[ShardReport]:
        """ClipDecision -> ShardReport, one a shard; `_SUCCESS` is written when all are there."""
        provenance = self._wired.provenance
        identity = hashlib.sha256(json.dumps(["blocks", __version__, provenance.fingerprint]).encode()).hexdigest()
        claim_output(self._target.output, identity, overwrite=self._overwrite)
        record = {
            "avagent": __version__,
            "recipe": self._wired.recipe.model_dump(mode="json"),
            "fingerprint": provenance.fingerprint,
            "models": dict(self._wired.models),
        }
        reports: Any = (
            decisions
            | "KeyByShard" >> beam.Map(_keyed)
            | "GroupByShard" >> beam.GroupByKey()
            | "WriteShard" >> beam.Map(_write_shard, target=self._target)
        )
        _ = (
            reports
            | "AllReports" >> beam.combiners.ToList()
            | "Commit" >> beam.Map(_commit, output=self._target.output, record=record)
        )
        return reports


def _keyed(decision: ClipDecision) -> tuple[str, ClipDecision]:
    return decision.ref.shard, decision


def _write_shard(grouped: tuple[str, Iterable[ClipDecision]], target: ApplyTarget) -> ShardReport:
    shard, decisions = grouped
    write_decisions(decisions_url(target.output, shard), decisions)
    return apply_decisions(shard, target)


def _commit(reports: list[ShardReport], output: str, record: dict[str, Any]) -> None:
    check_names(report.source for report in reports)
    inputs = [{"url": report.source, "bytes": None, "version": None} for report in reports]
    expected = {report.source: report.clips for report in reports}
    fingerprint = str(record["fingerprint"])
    finalize(output, reports, expected=expected, fingerprint=fingerprint, run={**record, "inputs": inputs})
