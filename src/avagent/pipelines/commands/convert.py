"""`avagent convert`: WebDataset shards to TFRecord and back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import click
from rich.console import Console

from avagent import __version__, storage
from avagent.core.errors import UsageError
from avagent.pipelines.beam_options import beam_options
from avagent.pipelines.console import make_console, tell
from avagent.pipelines.options import (
    LOCATION,
    BeamCommand,
    dry_run_option,
    json_option,
    own_options,
    recipe_options,
    tell_dry_run,
)
from avagent.pipelines.phase import Phase, run_with_progress
from avagent.pipelines.recipe import load_recipe
from avagent.runs.commit import (
    SUCCESS_FILE,
    Holder,
    claim_output,
    holder_of,
    is_complete,
    remove_temporaries,
    write_index,
    write_run,
)
from avagent.runs.convert import TARGETS, converted_name
from avagent.runs.rewrite import ERRORS_FOLDER, ShardReport
from avagent.runs.shard_reports import read_report
from avagent.shards.formats import format_of
from avagent.shards.listing import check_names, list_shards
from avagent.transforms.convert import ConvertShards, ConvertTarget


@click.command(cls=BeamCommand)
@click.option(
    "--input", "source", type=LOCATION, required=True, help="Folder of shards, glob, brace pattern or shard list."
)
@click.option("--output", type=LOCATION, required=True, help="Folder for the converted shards.")
@click.option("--to", "form", type=click.Choice(list(TARGETS)), required=True, help="The format to write.")
@recipe_options
@click.option("--overwrite", is_flag=True, help="Replace the output of another run.")
@dry_run_option
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
@click.pass_context
def convert(context: click.Context, source: str, output: str, **flags: object) -> int:
    """Write shards in the other format, one for one, without loss: converted back, they hold the same.

    Clips that cannot be read go to _errors/. Of the recipe, its sections `tfrecord` and `limits` matter.

    \b
    Examples:
      avagent convert --input shards/ --to tfrecord --output records/
      avagent convert --input 'gs://bucket/train-*.tfrecord' --to webdataset --output gs://bucket/shards
    """  # noqa: D301  (click's mark for lines to keep)
    recipe = load_recipe(str(flags["recipe"]), tuple(flags["settings"]))  # pyright: ignore[reportArgumentType]
    options = beam_options(tuple(context.args), own_options(convert))
    target = ConvertTarget(output=output, form=str(flags["form"]), options=recipe.shard_options())
    shards = list_shards(source)
    check_names(converted_name(shard, target.form) for shard in _convertible(shards, target.form))
    identity = _identity(shards, target)
    console = make_console()
    if is_complete(output, identity) and not flags["overwrite"]:
        console.print(f"{output} is complete already: nothing to do")
        tell(console, {"output": storage.canonical(output), "complete_already": True}, lambda: None)
        return 0
    if flags["dry_run"]:
        holder = holder_of(output, identity, shards=shards, overwrite=bool(flags["overwrite"]))
        todo = [shard for shard in shards if holder is Holder.ANOTHER_RUN or _report(shard, target) is None]
        facts = {"output": storage.canonical(output), "format": target.form, "shards": len(shards)}
        return tell_dry_run(console, {**facts, "shards_to_convert": len(todo)})
    claim_output(output, identity, shards=shards, overwrite=bool(flags["overwrite"]))
    todo = [shard for shard in shards if _report(shard, target) is None]
    phase = Phase(
        title="convert",
        unit="shards",
        total=len(todo),
        transform=lambda progress: ConvertShards(replace(target, progress=progress)),
        source="Elements",
    )
    run_with_progress(phase, todo, options, console)
    _commit(shards, target, console)
    return 0


def _convertible(shards: list[str], form: str) -> list[str]:
    """All of them.

    Raises:
        UsageError: some are in that format already.
    """
    if same := [shard for shard in shards if format_of(shard) is TARGETS[form]]:
        raise UsageError(f"{len(same)} of {len(shards)} shards are {TARGETS[form].name} already, such as {same[0]}")
    return shards


def _identity(shards: list[str], target: ConvertTarget) -> str:
    """SHA-256 of all that the output depends on, as far as it can be told without reading the shards."""
    inputs = [[shard, storage.version(shard) if storage.exists(shard) else None] for shard in shards]
    content = {"inputs": inputs, "to": target.form, "options": repr(target.options), "version": __version__}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _report(shard: str, target: ConvertTarget) -> ShardReport | None:
    """What became of a shard; None: it is still to be converted."""
    report = read_report(target.output, converted_name(shard, target.form))
    return report if report is not None and report.url is not None and storage.exists(report.url) else None


def _commit(shards: list[str], target: ConvertTarget, console: Console) -> None:
    """Check that every shard is there; then counts, index and, at the very end, `_SUCCESS`."""
    reports = [report for shard in shards if (report := _report(shard, target)) is not None]
    sizes = storage.folder_sizes(target.output)
    broken = [r.name for r in reports if sizes.get(r.name) != r.filesize]
    if broken or len(reports) < len(shards):
        raise OSError(f"{target.output}: {len(shards) - len(reports) + len(broken)} shards are missing: run again")
    clips, errors = sum(r.nsamples for r in reports), sum(r.errors for r in reports)
    counts = {"shards": len(reports), "clips": clips + errors, "clips_in_shards": clips, "clips_in_errors": errors}
    write_run(target.output, {"avagent": __version__, "converted_to": target.form, "counts": counts})
    write_index(target.output, reports)
    remove_temporaries(target.output)
    storage.write_bytes(storage.join(target.output, SUCCESS_FILE), b"")

    def show() -> None:
        console.print(f"{clips} clips in {len(reports)} shards; {errors} in {ERRORS_FOLDER}/")
        console.print(f"results: {storage.canonical(target.output)}", markup=False, highlight=False)

    tell(console, {"output": storage.canonical(target.output), **counts}, show)
