"""`avagent replay`: dead letters once more, after what they failed at was put right."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table

from avagent import storage
from avagent.core.errors import FailureReason, UsageError
from avagent.core.state import ClipDecision, Outcome
from avagent.pipelines.beam_options import beam_options
from avagent.pipelines.console import ProgramConsole, make_console, tell
from avagent.pipelines.options import LOCATION, RECIPE_NAME, BeamCommand, json_option, own_options
from avagent.pipelines.phase import parts_progress
from avagent.pipelines.progress import Tally
from avagent.pipelines.recipe import Recipe, load_recipe
from avagent.pipelines.request import read_run
from avagent.pipelines.run import Session, run_phase
from avagent.pipelines.summary import exit_code
from avagent.pipelines.wiring import wire
from avagent.records.decisions import read_decisions
from avagent.records.manifest import ManifestCounts, decisions_url
from avagent.runs.commit import SUCCESS_FILE
from avagent.runs.replay_publish import Staged, finish_replay, publish_replay, stage_folder, stage_identity, staged
from avagent.runs.shard_reports import read_report
from avagent.transforms.replay import ReplayShards, ReplayTask, is_changed, is_meant
from avagent.transforms.write import ApplyTarget

FROM_INPUT = (FailureReason.UNREADABLE_SHARD, FailureReason.TRUNCATED_SHARD, FailureReason.CHANGED_SINCE_LISTED)
"""What failed like this is not among the dead letters: its shard is read again, where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """What `avagent replay` was asked to do.

    Attributes:
        output: folder of a finished run.
        recipe: name or file; None: the run's own.
        settings: changes to it.
        source: folder where the input shards lie now; None: where they were.
        reasons: which letters are meant; none: all.
        dry_run: only say what would be done.
        beam: Beam's own arguments.
    """

    output: str
    recipe: str | None = None
    settings: tuple[str, ...] = ()
    source: str | None = None
    reasons: tuple[FailureReason, ...] = ()
    dry_run: bool = False
    beam: tuple[str, ...] = ()


@click.command(cls=BeamCommand)
@click.option("--output", type=LOCATION, required=True, help="Output folder of `avagent refine`.")
@click.option("--recipe", type=RECIPE_NAME, metavar="NAME|FILE", help="Recipe to decide by; the run's own if left out.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value of it; may be repeated.")
@click.option("--input", "source", type=LOCATION, help="Folder of the input shards, if it is another by now.")
@click.option(
    "--reason", "reasons", multiple=True, type=click.Choice([str(r) for r in FailureReason]), help="Only these letters."
)
@click.option("--dry-run", is_flag=True, help="Say what would be replayed, and stop.")
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
@click.pass_context
def replay(context: click.Context, output: str, **flags: Any) -> int:
    """Decide on the dead letters of a run again, and merge those that succeed into its shards.

    Use it after a fix of the code, the models, the limits or another value of the recipe. Clips that did not fail stay
    as they are. An interrupted replay is finished by the same command.

    \b
    Examples:
      avagent replay --output refined/ --dry-run
      avagent replay --output refined/ --reason limit_exceeded --set limits.media_seconds=20000
    """  # noqa: D301  (click's mark for lines to keep)
    request = ReplayRequest(
        output=output,
        recipe=flags["recipe"],
        settings=flags["settings"],
        source=flags["source"],
        reasons=tuple(FailureReason(reason) for reason in flags["reasons"]),
        dry_run=flags["dry_run"],
        beam=tuple(context.args),
    )
    return run_replay(request, make_console())


def run_replay(request: ReplayRequest, console: Console) -> int:
    """Run it; gives the exit code.

    Raises:
        UsageError: there is no finished run, or the arguments cannot be used.
        OSError: storage failed.
    """
    options = beam_options(request.beam, own_options(replay))
    run = read_run(request.output)
    if pending := staged(request.output):
        console.print("an earlier replay was interrupted while it was merged: finishing it")
        counts = finish_replay(request.output, pending)
        return _conclude(request, console, counts, float(run["recipe"].get("max_failure_ratio", 1)))
    if not storage.exists(storage.join(request.output, SUCCESS_FILE)):
        raise UsageError(f"{request.output} is not finished (no {SUCCESS_FILE}): finish it by its own command first")
    letters = list(_meant(request, run))
    if not isinstance(console, ProgramConsole):
        _print_letters(console, letters)
    if request.dry_run or not letters:
        tell(console, {"dry_run": request.dry_run, "dead_letters": _letter_facts(letters)}, lambda: None)
        return 0
    wired = wire(_recipe(request, run), source=str(run["inputs"][0]["url"]))
    session = Session(output=request.output, wired=wired, options=options, console=console)
    identity = stage_identity(request.output, wired.provenance.fingerprint, request.reasons)
    folder = stage_folder(request.output, identity)
    tasks = [_task(request, shard, folder, found) for shard, found in letters]
    _replay(session, tasks)
    changed = [task for task in tasks if is_changed(task.output, task.folder, task.shard)]
    result = _result(session, changed, letters, identity)
    counts = publish_replay(request.output, result, {**run, "replays": [*run.get("replays", ()), result.record]})
    console.print(f"{result.record['recovered']} of {result.record['clips']} clips are well now", highlight=False)
    replayed = {"dead_letters": _letter_facts(letters), "recovered": result.record["recovered"]}
    return _conclude(request, console, counts, wired.recipe.max_failure_ratio, replayed)


Letters = tuple[str, list[ClipDecision]]
"""URL of a shard, and its failed decisions that are meant."""


def _meant(request: ReplayRequest, run: Mapping[str, Any]) -> Iterator[Letters]:
    for shard in run["inputs"]:
        url = str(shard["url"])
        report = read_report(request.output, url)
        if report is None or report.errors == 0:
            continue
        found = [d for d in read_decisions(decisions_url(request.output, url)) if is_meant(d, request.reasons)]
        if found:
            yield url, found


def _letter_facts(letters: Sequence[Letters]) -> list[dict[str, Any]]:
    """Stage, reason, number of clips and an example's message, the commonest first."""
    failures = [d.failure for _, found in letters for d in found if d.failure is not None]
    examples = {(f.stage, f.reason): f.message for f in reversed(failures)}
    return [
        {"stage": str(stage), "reason": str(reason), "clips": count, "example": examples[stage, reason]}
        for (stage, reason), count in Counter((f.stage, f.reason) for f in failures).most_common()
    ]


def _print_letters(console: Console, letters: Sequence[Letters]) -> None:
    found = _letter_facts(letters)
    if not found:
        console.print("no dead letters to replay")
        return
    count = sum(row["clips"] for row in found)
    table = Table(title=f"{count} dead letters in {len(letters)} shards", title_justify="left")
    for column in ("stage: reason", "clips", "example"):
        table.add_column(column)
    for row in found:
        table.add_row(f"{row['stage']}: {row['reason']}", str(row["clips"]), row["example"])
    console.print(table, markup=False)


def _recipe(request: ReplayRequest, run: Mapping[str, Any]) -> Recipe:
    if request.recipe is not None:
        return load_recipe(request.recipe, request.settings)
    with tempfile.TemporaryDirectory(prefix="avagent-") as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(yaml.safe_dump(run["recipe"]), "utf-8")
        return load_recipe(str(path), request.settings)


def _task(request: ReplayRequest, shard: str, folder: str, found: Sequence[ClipDecision]) -> ReplayTask:
    task = ReplayTask(shard=shard, output=request.output, folder=folder, reasons=request.reasons)
    if not any(d.failure is not None and d.failure.reason in FROM_INPUT for d in found):
        return task
    source = storage.join(request.source, storage.basename(shard)) if request.source is not None else shard
    return replace(task, source=storage.canonical(source))


def _replay(session: Session, tasks: Sequence[ReplayTask]) -> None:
    """New decisions, and new files for the shards that change, in the folder of the replay."""
    wired = session.wired
    tallies = {"decide": Tally(unit="clips", total_bytes=0), "merge": Tally(unit="shards", total_bytes=0)}
    with parts_progress(session.options, session.console, tallies) as paths:
        target = ApplyTarget(
            output=tasks[0].folder,
            provenance=wired.provenance,
            audio_codec=wired.recipe.output.audio_codec,
            shards=wired.loop.store.shards,
            progress=paths.get("merge"),
        )
        # Most of what failed once may well fail again.
        loop = replace(wired.loop, progress=paths.get("decide"), failures=None)
        run_phase(session, "replay", tasks, ReplayShards(loop, target, tasks[0].output))


def _result(session: Session, changed: Sequence[ReplayTask], letters: Sequence[Letters], identity: str) -> Staged:
    recovered = 0
    for task in changed:
        after = read_decisions(decisions_url(task.folder, task.shard))
        failed = sum(decision.outcome is Outcome.FAILED for decision in after)
        report = read_report(task.output, task.shard)
        recovered += (report.errors if report is not None else 0) - failed
    record = {
        "fingerprint": session.wired.provenance.fingerprint,
        "recipe": session.wired.recipe.model_dump(mode="json"),
        "clips": sum(len(found) for _, found in letters),
        "recovered": recovered,
        "seconds": session.clock.seconds,
    }
    return Staged(identity=identity, shards=tuple(task.shard for task in changed), record=record)


def _conclude(
    request: ReplayRequest,
    console: Console,
    counts: ManifestCounts,
    ratio: float,
    replayed: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    failed = dict(counts.outcomes).get(Outcome.FAILED, 0)
    output = storage.canonical(request.output)

    def show() -> None:
        console.print(f"{failed} of {counts.clips} clips are dead letters now", highlight=False)
        console.print(f"results: {output}", markup=False, highlight=False)

    tell(console, {"output": output, "clips": counts.clips, "failed": failed, **replayed}, show)
    return exit_code(counts, ratio)
