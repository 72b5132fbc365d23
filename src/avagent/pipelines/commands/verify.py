"""`avagent verify`: whether an output folder is what its records say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
from pydantic import ValidationError
from rich.console import Console

from avagent import storage
from avagent.core.errors import UsageError
from avagent.pipelines.console import make_console, tell
from avagent.pipelines.options import LOCATION, json_option
from avagent.pipelines.progress import show_lines
from avagent.pipelines.recipe import Recipe
from avagent.pipelines.request import read_run
from avagent.records.manifest import manifest_url
from avagent.runs.commit import RUN_FILE
from avagent.runs.verify import ShardCheck, VerifyOptions, total, verify_output
from avagent.shards.formats import DEFAULT_OPTIONS, ShardOptions

_TOLD = 1000
"""Problems that are told one by one."""
_SHOWN = 20


@click.command()
@click.argument("output", type=LOCATION)
@click.option("--fast", is_flag=True, help="Compare sizes and counts only: no shard is read.")
@click.option("--threads", type=click.IntRange(1, 64), default=8, show_default=True, help="Shards read side by side.")
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
def verify(output: str, fast: bool, threads: int, **_flags: bool) -> int:  # noqa: FBT001  (click passes names)
    """Check an output folder of refine, ingest or convert against its own records; exit code 1 if something is wrong.

    Each shard's bytes are held against the index, its clips against the manifest, each clip against the record that it
    carries and the hashes on record, dead letters against the clips that failed.

    \b
    Examples:
      avagent verify refined/
      avagent verify gs://bucket/refined/2026-11-23 --fast --json
    """  # noqa: D301  (click's mark for lines to keep)
    console = make_console()
    options = VerifyOptions(read=not fast, shards=_reading(output), threads=threads)
    done = Counter[str]()
    with show_lines(lambda: [f"verify: {done['shards']} shards, {done['problems']} problems"], console):
        whole, problems = total(_counted(verify_output(output, options), done), _TOLD)
    facts = {
        "output": storage.canonical(output),
        "shards": int(whole.shard),
        "clips": whole.clips,
        "bytes": whole.nbytes,
        "dead_letters": whole.letters,
        "read": options.read,
        "problems": problems,
        "found": [asdict(problem) for problem in whole.problems],
    }
    tell(console, facts, lambda: _show(console, facts, whole))
    return 1 if problems else 0


def _counted(checks: Iterator[ShardCheck], done: Counter[str]) -> Iterator[ShardCheck]:
    for check in checks:
        done["shards"] += bool(check.shard)
        done["problems"] += len(check.problems)
        yield check


def _reading(output: str) -> ShardOptions:
    """As the run read its shards; plainly, where no run of a recipe wrote the folder."""
    if not storage.exists(manifest_url(output, RUN_FILE)):
        return DEFAULT_OPTIONS
    try:
        recipe = read_run(output)["recipe"]
    except UsageError:
        return DEFAULT_OPTIONS
    try:
        return Recipe.model_validate(recipe).shard_options()
    except ValidationError:
        return DEFAULT_OPTIONS


def _show(console: Console, facts: dict[str, Any], whole: ShardCheck) -> None:
    for problem in whole.problems[:_SHOWN]:
        where = " ".join(filter(None, (problem.shard, problem.key and f"clip {problem.key!r}")))
        text = f"{problem.fault}: {where}{': ' if where else ''}{problem.message}"
        console.print(text, style="red", markup=False, highlight=False)
    if facts["problems"] > _SHOWN:
        console.print(f"and {facts['problems'] - _SHOWN} more (--json tells the first {_TOLD})", style="red")
    what = "read and checked" if facts["read"] else "sizes and counts checked"
    clips = f"{whole.clips} clips in {whole.shard} shards ({whole.nbytes:,} bytes), {whole.letters} dead letters"
    verdict = f"{facts['problems']} problems" if facts["problems"] else "all is as recorded"
    console.print(f"{clips}: {what}; {verdict}", markup=False, highlight=False)
