"""`avagent ingest`: recordings to shards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from avagent import __version__, storage
from avagent.core.errors import UsageError
from avagent.core.ingest import FLAGS, Candidate, IngestSettings, Unusable
from avagent.ingest.clip_lists import LAYOUTS, class_names, list_candidates, read_clip_list
from avagent.ingest.recordings import by_stem, folder_candidates, list_media
from avagent.ingest.shard_making import IngestedShard, read_shard_report, remove_shard, shard_name
from avagent.ingest.tables import (
    INGEST_FOLDER,
    Placed,
    ingest_url,
    read_state,
    write_files_table,
    write_state,
    write_unusable_table,
)
from avagent.ingest.work_plan import (
    Plan,
    checked_url,
    make_plan,
    read_answers,
    split_known,
    without_changed,
    write_check_lists,
    write_plans,
)
from avagent.pipelines.beam_options import beam_options
from avagent.pipelines.console import make_console, tell
from avagent.pipelines.options import LOCATION, BeamCommand, dry_run_option, json_option, own_options, tell_dry_run
from avagent.pipelines.phase import Phase, run_with_progress
from avagent.runs.commit import CLAIM_FILE, INDEX_FILE, RUN_FILE, SUCCESS_FILE, write_index
from avagent.transforms.ingest import CheckRecordings, IngestTarget, WriteShards

CLASSES_FILE = "classes.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRequest:
    """What `avagent ingest` was asked to do.

    Attributes:
        source: folder, glob or list of recordings.
        output: folder for the shards.
        settings: what to make.
        clip_list: CSV of segments; None: every recording is a clip.
        layout: of the CSV.
        overwrite: replace another ingest's output.
        dry_run: only say what would be done.
        beam: Beam's own arguments.
    """

    source: str
    output: str
    settings: IngestSettings
    clip_list: str | None = None
    layout: str = "audioset"
    overwrite: bool = False
    dry_run: bool = False
    beam: tuple[str, ...] = ()


@click.command(cls=BeamCommand)
@click.option(
    "--input",
    "source",
    type=LOCATION,
    required=True,
    help="Folder of recordings, glob, or list of files (@FILE, *.txt).",
)
@click.option("--output", type=LOCATION, required=True, help="Folder for the shards.")
@click.option("--csv", "clip_list", type=LOCATION, help="Clips to make: the list of AudioSet or VGGSound.")
@click.option("--layout", type=click.Choice(LAYOUTS), default="audioset", show_default=True, help="Of --csv.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["webdataset", "tfrecord"]),
    default="webdataset",
    show_default=True,
    help="The format to write.",
)
@click.option("--name", default="clips", show_default=True, help="Shards are called NAME-000000, ...")
@click.option("--shard-mib", type=click.IntRange(1), default=256, show_default=True, help="Size of a shard at most.")
@click.option("--shard-clips", type=click.IntRange(1), default=1000, show_default=True, help="Clips a shard at most.")
@click.option("--min-seconds", type=click.FloatRange(0), default=1.0, show_default=True, help="Shorter: unusable.")
@click.option("--max-file-mib", type=click.IntRange(1), default=1024, show_default=True, help="Larger: not read.")
@click.option("--drop", default="no_video", show_default=True, help=f"Leave out, of {', '.join(FLAGS)}; or `nothing`.")
@click.option("--overwrite", is_flag=True, help="Replace the output of an ingest with other settings.")
@dry_run_option
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
@click.pass_context
def ingest(context: click.Context, source: str, output: str, **flags: Any) -> int:
    """Make shards of recordings: whole files, or the segments of an AudioSet or VGGSound list.

    What cannot be used is in _ingest/unusable.parquet, with the reason. Run again when there are more recordings: only
    what is new is read, and few shards change.

    \b
    Examples:
      avagent ingest --input recordings/ --output shards/
      avagent ingest --input videos/ --csv eval_segments.csv --output gs://bucket/shards --drop still,muted,no_video
      avagent ingest --input videos/ --csv vggsound.csv --layout vggsound --format tfrecord --output shards/
    """  # noqa: D301  (click's mark for lines to keep)
    settings = IngestSettings(
        min_seconds=flags["min_seconds"],
        max_file_bytes=flags["max_file_mib"] << 20,
        drop=_dropped(flags["drop"]),
        shard_bytes=flags["shard_mib"] << 20,
        shard_clips=flags["shard_clips"],
        form=flags["form"],
        name=flags["name"],
    )
    request = IngestRequest(
        source=source,
        output=output,
        settings=settings,
        clip_list=flags["clip_list"],
        layout=flags["layout"],
        overwrite=flags["overwrite"],
        dry_run=flags["dry_run"],
        beam=tuple(context.args),
    )
    return run_ingest(request, make_console())


def _dropped(text: str) -> tuple[Unusable, ...]:
    names = [name.strip() for name in text.split(",") if name.strip() and name.strip() != "nothing"]
    if unknown := [name for name in names if name not in FLAGS]:
        raise UsageError(f"--drop takes {', '.join(FLAGS)}, or `nothing`; got {', '.join(unknown)}")
    return tuple(flag for flag in FLAGS if flag in names)


def run_ingest(request: IngestRequest, console: Console) -> int:
    """Run it; gives the exit code: 0, or 1 if nothing could be used.

    Raises:
        UsageError: unusable arguments or output folder.
        OSError: storage failed.
    """
    options = beam_options(request.beam, own_options(ingest))
    settings = request.settings
    candidates, about = _candidates(request)
    replaces = _replaces(request)
    known = {} if replaces else _known(request.output)
    done, todo = split_known(candidates, known)
    if request.dry_run:
        return tell_dry_run(console, _facts(request, todo, len(done)))
    _claim(request, replaces=replaces)
    lists = write_check_lists(request.output, todo)
    target = IngestTarget(output=request.output, settings=settings)
    unanswered = [url for url in lists if not storage.exists(checked_url(url))]
    run_with_progress(_checking(target, len(todo)), unanswered, options, console)
    plan = make_plan([*done, *read_answers(lists)], known, settings)
    names = write_plans(request.output, plan, settings)
    storage.remove(storage.join(request.output, SUCCESS_FILE))
    run_with_progress(_writing(target, len(names)), names, options, console)
    plan = _commit(request, plan, known, about)
    _print_summary(console, request.output, plan, written=len(names), looked_at=len(todo))
    return 0 if plan.shards else 1


def _candidates(request: IngestRequest) -> tuple[list[Candidate], dict[str, Any]]:
    folder, files = list_media(request.source)
    if request.clip_list is None:
        return list(folder_candidates(files, folder)), {}
    rows = read_clip_list(request.clip_list, request.layout)
    candidates = list(list_candidates(rows, by_stem(files)))
    used = {file.url for candidate in candidates for file in candidate.files}
    about: dict[str, Any] = {"files_not_listed": sum(file.url not in used for file in files)}
    if request.layout == "vggsound":
        about["classes"] = class_names(rows)
    return candidates, about


def _content(request: IngestRequest) -> Any:
    """By which an ingest knows its folder again."""
    return json.loads(json.dumps({"settings": asdict(request.settings), "clip_list": request.clip_list is not None}))


def _replaces(request: IngestRequest) -> bool:
    """Whether an earlier ingest's output is to be removed; if not, the folder is ours, or nobody's.

    Raises:
        UsageError: it is not to be replaced, or no ingest wrote it.
    """
    claim = ingest_url(request.output, CLAIM_FILE)
    if storage.exists(claim):
        if request.overwrite:
            return True
        if json.loads(storage.read_text(claim)) != _content(request):
            raise UsageError(
                f"{request.output} holds an ingest with other settings: choose another folder, or --overwrite it"
            )
    elif not all(storage.is_temporary(url) for url in storage.list_folder(request.output)):
        raise UsageError(f"{request.output} is not empty, and no ingest wrote it: choose another folder")
    return False


def _claim(request: IngestRequest, *, replaces: bool) -> None:
    """Make the output folder this ingest's."""
    if replaces:
        _clear(request.output)
    claim = ingest_url(request.output, CLAIM_FILE)
    if not storage.exists(claim):
        storage.write_bytes(claim, json.dumps(_content(request), sort_keys=True).encode())


def _clear(output: str) -> None:
    """Remove what an ingest wrote, and nothing else; the claim is replaced at the end."""
    storage.remove(storage.join(output, SUCCESS_FILE))
    old = {storage.basename(url) for url in storage.list_folder(ingest_url(output, "shards"))}
    for url in storage.list_folder(output):
        if f"{storage.basename(url)}.json" in old or storage.basename(url) == INDEX_FILE:
            storage.remove(url)
    storage.remove(storage.join(output, INGEST_FOLDER), recursive=True)


def _known(output: str) -> dict[str, Placed]:
    """Clips of an earlier ingest by key, in the order of their shards; without what was not looked at."""
    return {item.clip.key: item for item in read_state(output) if item.clip.candidate.problem is None}


def _checking(target: IngestTarget, total: int) -> Phase:
    return Phase(
        title="check",
        unit="recordings",
        total=total,
        transform=lambda path: CheckRecordings(replace(target, progress=path)),
        source="Names",
    )


def _writing(target: IngestTarget, total: int) -> Phase:
    return Phase(
        title="write",
        unit="shards",
        total=total,
        transform=lambda path: WriteShards(replace(target, progress=path)),
        source="Names",
    )


def _commit(request: IngestRequest, plan: Plan, known: dict[str, Placed], about: dict[str, Any]) -> Plan:
    """Tables, index and, at the very end, `_SUCCESS`; then what was only for the run goes."""
    output, settings = request.output, request.settings
    reports = {number: _report(output, shard_name(number, settings)) for number in plan.shards}
    for number in {item.shard for item in known.values() if item.shard is not None} - set(plan.shards):
        remove_shard(output, shard_name(number, settings))
    plan = without_changed(plan, {number: report.changed for number, report in reports.items()})
    write_state(output, plan.placed())
    write_files_table(output, ((shard_name(n, settings), clips) for n, clips in plan.shards.items()))
    flagged = (clip for clips in plan.shards.values() for clip in clips if clip.flags)
    write_unusable_table(output, chain(plan.unusable, flagged))
    if classes := about.pop("classes", None):
        storage.write_bytes(ingest_url(output, CLASSES_FILE), (json.dumps(classes, indent=1) + "\n").encode())
    run = {"avagent": __version__, "counts": _counts(plan), **about}
    storage.write_bytes(ingest_url(output, RUN_FILE), (json.dumps(run, indent=2, sort_keys=True) + "\n").encode())
    write_index(output, reports.values())
    storage.write_bytes(storage.join(output, SUCCESS_FILE), b"")
    storage.remove(ingest_url(output, "work"), recursive=True)
    return plan


def _report(output: str, name: str) -> IngestedShard:
    report = read_shard_report(output, name)
    if report is None:
        raise OSError(f"{storage.join(output, name)} was not written: run again")
    return report


def _counts(plan: Plan) -> dict[str, Any]:
    reasons = Counter(str(clip.problem) for clip in plan.unusable)
    flagged = Counter(str(flag) for clips in plan.shards.values() for clip in clips for flag in clip.flags)
    return {
        "shards": len(plan.shards),
        "clips": sum(len(clips) for clips in plan.shards.values()),
        "unusable": dict(sorted(reasons.items())),
        "flagged": dict(sorted(flagged.items())),
    }


def _print_summary(console: Console, output: str, plan: Plan, *, written: int, looked_at: int) -> None:
    counts = _counts(plan)
    facts = {"output": storage.canonical(output), **counts, "looked_at": looked_at, "written": written}
    tell(console, facts, lambda: _show_summary(console, facts))


def _facts(request: IngestRequest, todo: Sequence[Candidate], known: int) -> dict[str, Any]:
    """What an ingest would do."""
    files = {file.url: file.nbytes for candidate in todo for file in candidate.files}
    return {
        "output": storage.canonical(request.output),
        "format": request.settings.form,
        "clips_known": known,
        "clips_to_check": len(todo),
        "files_to_read": len(files),
        "bytes": sum(files.values()),
    }


def _show_summary(console: Console, counts: Mapping[str, Any]) -> None:
    console.print(
        f"{counts['clips']} clips in {counts['shards']} shards;"
        f" looked at {counts['looked_at']} recordings, wrote {counts['written']} shards"
    )
    rows = [*((name, n, "left out") for name, n in counts["unusable"].items())]
    rows += [(name, n, "flagged") for name, n in counts["flagged"].items()]
    if rows:
        table = Table(box=None)
        for column in ("reason", "clips", ""):
            table.add_column(column)
        for name, count, what in rows:
            table.add_row(name, str(count), what)
        console.print(table)
    console.print(f"results: {counts['output']}", markup=False, highlight=False)
