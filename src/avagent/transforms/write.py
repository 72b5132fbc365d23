"""Decisions to shards: every listed shard is rewritten whole, by one worker."""

# Beam calls the argument of `expand` input_or_inputs; here it is named after what it holds.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from avagent.core.actions import Action
from avagent.core.clip import Clip, ClipRef, Member
from avagent.core.errors import ParameterError
from avagent.dsp.threads import run_one_thread
from avagent.media.decoder_process import process_decoder
from avagent.media.repair import repair_sound
from avagent.records.changes import read_changes
from avagent.records.decisions import Provenance, container_tag, decisions_digest, read_decisions
from avagent.records.manifest import decisions_url
from avagent.runs.previous import Earlier, Part
from avagent.runs.repaired_clips import EarlierShard
from avagent.runs.rewrite import RewriteOptions, ShardReport, rewrite_shard
from avagent.runs.run_plan import ShardTask
from avagent.runs.shard_reports import write_report
from avagent.shards.formats import DEFAULT_OPTIONS, ShardOptions
from avagent.storage.retries import configure
from avagent.transforms.metrics import NAMESPACE, count_retries, phase_span, stage_latency
from avagent.transforms.progress import report_progress


@dataclass(frozen=True, kw_only=True)
class ApplyTarget:
    """What the apply phase needs.

    Attributes:
        output: the output folder; its manifest holds the decision files.
        provenance: for the clips' records.
        audio_codec: `source`, or FFmpeg's name of a codec.
        shards: how shards are read.
        progress: file that local workers report finished shards to; None: no such report.
    """

    output: str
    provenance: Provenance
    audio_codec: str = "source"
    shards: ShardOptions = DEFAULT_OPTIONS
    progress: str | None = None


def apply_decisions(shard: str, target: ApplyTarget, earlier: Earlier | None = None) -> ShardReport:
    """Rewrite one shard by its decision file. The report comes last: it tells that all of the shard is there.

    Decisions that could not be carried out are in the report; the end of the run puts them right.

    Clips that the previous run repaired in the same way are taken from its shard.

    Raises:
        OSError: reading or writing failed; nothing was left half written.
        ParameterError: the decision file is not one.
    """
    decisions = list(read_decisions(decisions_url(target.output, shard)))
    options = RewriteOptions(
        output=target.output,
        edit=partial(repaired_members, target=target),
        provenance=target.provenance,
        reading=target.shards,
        earlier=_repaired(shard, earlier, target),
    )
    report = replace(rewrite_shard(shard, decisions, options), decisions=decisions_digest(decisions))
    write_report(target.output, report)
    return report


def _repaired(shard: str, earlier: Earlier | None, target: ApplyTarget) -> EarlierShard | None:
    """The shards of the previous run that the clips of this one were in."""
    if earlier is None or Part.REPAIRS not in earlier.holds:
        return None
    found = EarlierShard(target.shards)
    try:
        changes = read_changes(target.output, shard)
        moved = {name for name, _, _ in changes.moved()} if changes is not None else set[str]()
        for name in (earlier.shard, *sorted(moved)):
            if name is not None:
                found.add(earlier.output, name)
    except ParameterError:
        return None
    return found


def repaired_members(
    _ref: ClipRef, clip: Clip, actions: tuple[Action, ...], *, target: ApplyTarget
) -> tuple[Member, ...]:
    """The members that change: the one that carries the sound; it says what was done to it."""
    decoder = process_decoder(target.shards.decoding)
    with stage_latency("repair"):
        repaired = repair_sound(
            clip,
            actions,
            audio_codec=target.audio_codec,
            limits=target.shards.media,
            decoder=decoder,
            tag=container_tag(actions, target.provenance),
        )
        return (repaired,)


class ApplyDecisions(beam.PTransform):
    """Rewrite every shard by its decisions."""

    def __init__(self, target: ApplyTarget) -> None:
        super().__init__()
        self._target = target

    def expand(self, tasks: PCollection[ShardTask]) -> PCollection[ShardReport]:
        """ShardTask -> ShardReport."""
        reports: Any = tasks | "Spread" >> beam.Reshuffle() | "RewriteShard" >> beam.Map(_rewrite, target=self._target)
        return reports


def _rewrite(task: ShardTask, target: ApplyTarget) -> ShardReport:
    run_one_thread()
    configure(target.shards.storage)
    with count_retries(), phase_span("apply"):
        report = apply_decisions(task.url, target, task.earlier)
    Metrics.counter(NAMESPACE, "shards_written").inc()
    Metrics.counter(NAMESPACE, "late_failures").inc(len(report.late_failures))
    report_progress(target.progress, "written", report.filesize)
    return report
