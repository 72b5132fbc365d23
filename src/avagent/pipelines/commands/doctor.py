"""`avagent doctor`: what works on this machine, and what to install."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import click
import google_crc32c
from rich.markup import escape
from rich.table import Table

from avagent.core.errors import AVAgentError
from avagent.models.needs import Need, model_needs
from avagent.models.registry import build_captioner, build_planner
from avagent.pipelines.console import make_console, tell
from avagent.pipelines.doctor_findings import Finding, Health
from avagent.pipelines.machine import memory_findings
from avagent.pipelines.model_sections import ModelSection
from avagent.pipelines.options import json_option, recipe_options
from avagent.pipelines.recipe import Recipe, load_recipe
from avagent.pipelines.wiring import EVALUATION_SCORER, SCORER, calibrated_scorer

_MIN_PYTHON = (3, 11)
_SHORT_TMPDIR = 80
_EXTRAS = {"gcs": ("gcsfs", "gs:// URLs"), "s3": ("s3fs", "s3:// URLs")}


@click.command()
@recipe_options
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def doctor(recipe: str, settings: tuple[str, ...], **_flags: bool) -> int:
    """Check this machine for a recipe: packages, weights, codecs; exit code 1 if something it needs is missing.

    \b
    Example:
      avagent doctor --recipe embedded
    """  # noqa: D301  (click's mark for lines to keep)
    findings = list(examine(load_recipe(recipe, settings)))
    console = make_console()
    tell(console, [asdict(finding) for finding in findings], lambda: console.print(_table(findings), soft_wrap=False))
    return 1 if any(finding.health is Health.MISSING for finding in findings) else 0


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None)
    for column in ("", "what", "found, or what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(str(finding.health), escape(finding.subject), escape(finding.detail))
    return table


def examine(recipe: Recipe) -> Iterator[Finding]:
    """All checks for a recipe; nothing is changed or fetched."""
    yield _python()
    for package in ("apache-beam", "av", "numpy", "scipy", "pyarrow", "fsspec"):
        yield _package(package)
    yield _checksums()
    needs: list[Need] = []
    for part, section, build in _ports(recipe):
        wanted = list(model_needs(section.name, section.options))
        needs += wanted
        yield from (_finding(part, need) for need in wanted)
        if all(need.met is not False for need in wanted):
            yield _port(f"{part} {section.name}", build)
    yield from memory_findings(needs)
    for extra, (module, use) in _EXTRAS.items():
        yield _extra(extra, module, use)
    yield _temporary_folder()
    yield _decoder_memory()
    yield _java()


def _ports(recipe: Recipe) -> Iterator[tuple[str, ModelSection, Callable[[], str]]]:
    """Each port's name, its section, and what builds it and tells its fingerprint."""
    for part, section, build in (
        ("captioner", recipe.captioner, build_captioner),
        ("planner", recipe.planner, build_planner),
    ):
        yield part, section, lambda b=build, s=section: b(s.name, dict(s.options)).fingerprint
    for port, whole in ((SCORER, recipe.scorer), (EVALUATION_SCORER, recipe.evaluation_scorer)):
        parts = () if whole is None else ((port, whole),) if whole.name else whole.parts(port)
        for part, section in parts:
            yield part, section, lambda p=part: calibrated_scorer(recipe, p, "SHARDS")().fingerprint


def _finding(part: str, need: Need) -> Finding:
    health = Health.NOTE if need.met is None else Health.OK if need.met else Health.MISSING
    return Finding(subject=f"{part} {need.subject}", health=health, detail=need.detail)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _MIN_PYTHON:
        return Finding(subject="Python", health=Health.OK, detail=found)
    return Finding(subject="Python", health=Health.MISSING, detail=f"{found}: install Python 3.11 or newer")


def _package(name: str) -> Finding:
    try:
        return Finding(subject=name, health=Health.OK, detail=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(subject=name, health=Health.MISSING, detail="pip install avagent")


def _checksums() -> Finding:
    if google_crc32c.implementation == "c":
        return Finding(subject="google-crc32c", health=Health.OK, detail="compiled")
    detail = "pure Python, about 100 times slower: reinstall google-crc32c from a wheel"
    return Finding(subject="google-crc32c", health=Health.MISSING, detail=detail)


def _port(subject: str, fingerprint: Callable[[], str]) -> Finding:
    try:
        return Finding(subject=subject, health=Health.OK, detail=fingerprint())
    except (AVAgentError, ImportError) as error:
        return Finding(subject=subject, health=Health.MISSING, detail=str(error))


def _extra(extra: str, module: str, use: str) -> Finding:
    if importlib.util.find_spec(module) is not None:
        return Finding(subject=use, health=Health.OK, detail=f"{module} {importlib.metadata.version(module)}")
    return Finding(subject=use, health=Health.OPTIONAL, detail=f"pip install 'avagent[{extra}]'")


def _temporary_folder() -> Finding:
    folder = tempfile.gettempdir()
    if not os.access(folder, os.W_OK):
        return Finding(
            subject="temporary folder", health=Health.MISSING, detail=f"{folder} is not writable: set TMPDIR"
        )
    if len(folder) >= _SHORT_TMPDIR:
        detail = (
            f"{folder}: sockets of Beam's worker processes need a path below {_SHORT_TMPDIR} characters: set TMPDIR"
        )
        return Finding(subject="temporary folder", health=Health.OPTIONAL, detail=detail)
    free = shutil.disk_usage(folder).free >> 30
    return Finding(subject="temporary folder", health=Health.OK, detail=f"{folder}, {free} GiB free")


def _decoder_memory() -> Finding:
    """Decoders are held to `limits.decode_memory_mib` by what Linux alone does with RLIMIT_AS."""
    if sys.platform == "linux":
        return Finding(subject="limit of a decoder's memory", health=Health.OK, detail="held by the kernel")
    detail = "not enforced outside Linux: do without media of unknown origin, or run in a Linux container"
    return Finding(subject="limit of a decoder's memory", health=Health.OPTIONAL, detail=detail)


def _java() -> Finding:
    java = shutil.which("java")
    if java is None:
        return Finding(subject="Flink", health=Health.OPTIONAL, detail="needs Java 11 or newer for the job server")
    return Finding(subject="Flink", health=Health.OK, detail=f"Java at {java}")
