"""Fuzz targets: what reads our own files back: decisions, reports, the record of a run, shard lists, recipes."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

from fuzz_shards import check
from shard_tools import failed, improved, unchanged

from avagent import storage
from avagent.core.clip import ClipRef
from avagent.core.errors import ParameterError, RecipeError, UsageError
from avagent.core.state import Outcome
from avagent.pipelines.commands.apply import read_run
from avagent.pipelines.recipe import load_recipe, shipped_recipes
from avagent.records.decisions import decision_from_json, decision_to_json, read_decisions
from avagent.records.manifest import decisions_url, manifest_url
from avagent.runs.rewrite import ShardReport
from avagent.runs.shard_reports import read_report, report_url, write_report
from avagent.shards.listing import list_shards

OUTPUT = "memory://fuzz/run"
REF = ClipRef(key="a/b", shard="x.tar", offset=512, length=2048, content_sha256="0" * 64, index=1)


def fuzz_decisions(data: bytes) -> None:
    """A file of decisions."""
    url = decisions_url(OUTPUT, "x.tar")
    storage.write_bytes(url, data)
    try:
        found = list(read_decisions(url))
    except ParameterError as error:
        check(url in str(error), "the message says which file")
        return
    for decision in found:
        check(decision_from_json(decision_to_json(decision)) == decision, "a decision is the same when read again")


def decision_seeds() -> list[bytes]:
    lines = [decision_to_json(decision).encode() for decision in (improved(REF), unchanged(REF), failed(REF))]
    return [*lines, b"\n".join(lines) + b"\n", b'{"ref":' + b"[" * 3000]


def fuzz_report(data: bytes) -> None:
    """The report of a shard."""
    storage.write_bytes(report_url(OUTPUT, "x.tar"), data)
    try:
        read_report(OUTPUT, "x.tar")
    except ParameterError as error:
        check(str(error), "an error has a message")


def report_seeds() -> list[bytes]:
    write_report(
        OUTPUT,
        ShardReport(
            name="x.tar",
            source="in/x.tar",
            url="x.tar",
            outcomes=((Outcome.IMPROVED, 2),),
            nsamples=2,
            filesize=10,
            md5="0" * 32,
            errors=0,
        ),
    )
    return [storage.read_bytes(report_url(OUTPUT, "x.tar"))]


def fuzz_run_record(data: bytes) -> None:
    """`run.json`, and a wids index: both are JSON, and name shards."""
    storage.write_bytes(manifest_url(OUTPUT, "run.json"), data)
    storage.write_bytes(f"{OUTPUT}/index.json", data)
    for read in (read_run, lambda output: list_shards(f"{output}/index.json")):
        try:
            read(OUTPUT)
        except UsageError as error:
            check(str(error), "an error has a message")


def run_record_seeds() -> list[bytes]:
    run = {"recipe": load_recipe("embedded").model_dump(mode="json"), "inputs": [{"url": "x.tar", "bytes": 3}]}
    index = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "shardlist": [{"url": "a-{0..3}.tar", "nsamples": 1}],
    }
    return [json.dumps(run).encode(), json.dumps(index).encode()]


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="avagent-fuzz-"))


def fuzz_recipe(data: bytes) -> None:
    """A recipe, and the same as a `--set`."""
    path = _folder() / "recipe.yaml"
    path.write_bytes(data)
    try:
        recipe = load_recipe(str(path))
        check(recipe.fingerprint({}) == load_recipe(str(path)).fingerprint({}), "a recipe has one fingerprint")
    except RecipeError as error:
        check(len(str(error)) < 20_000, "a message is short enough to be read")
    try:
        load_recipe("embedded", [data.decode("utf-8", "replace")])
    except RecipeError as error:
        check(len(str(error)) < 20_000, "a message is short enough to be read")


def recipe_seeds() -> list[bytes]:
    folder = Path(__file__).resolve().parents[2] / "src" / "avagent" / "pipelines" / "recipes"
    shipped = [(folder / f"{name}.yaml").read_bytes() for name in shipped_recipes()]
    bomb = b"a: &a [x, x, x]\n" + b"".join(
        b"%c: &%c [*%c, *%c, *%c]\n" % (c, c, c - 1, c - 1, c - 1) for c in range(98, 110)
    )
    more = b"\ntfrecord: {key: k, media: [m]}\nlimits: {decode_seconds: null}\nworker: {cache_mib: 64}\n"
    return [*shipped, *(text + more for text in shipped), bomb, b"policy.threshold=0.5", b"limits.entries=.inf"]
