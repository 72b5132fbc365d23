"""Beam's own options: passed through untouched, but a misspelt one is not swallowed."""

from __future__ import annotations

import argparse
import difflib
import socket
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
    WorkerOptions,
)

from avagent.core.errors import UsageError
from avagent.dsp.threads import ask_for_one_thread

ViewT = TypeVar("ViewT", bound=PipelineOptions)

FN_API_RUNNER = "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
"""The default, named in full: plain `DirectRunner` tries to fetch and start another runner first."""

_ENDPOINT_TIMEOUT_S = 5.0

OWN_SERVERS = ("PrismRunner", "SwitchingDirectRunner")
"""Runners whose server is a child of this process."""

LOCAL_RUNNERS = (FN_API_RUNNER, "FnApiRunner", "DirectRunner", "BundleBasedDirectRunner")


class _Options(PipelineOptions):
    """Beam's options, each view of them made once: making a graph asks for hundreds, and each sets up a parser."""

    def view_as(self, cls: type[ViewT]) -> ViewT:
        """The options of one class, of the same values. See Beam."""
        # Not an attribute like others: Beam takes those for options.
        views: dict[type, PipelineOptions] = self.__dict__.setdefault("_views", {})
        view = views.get(cls)
        if view is None or view.__dict__["_all_options"] is not self.__dict__["_all_options"]:
            view = views[cls] = super().view_as(cls)
        return cast("ViewT", view)


def beam_options(arguments: Sequence[str], own_options: Sequence[str] = ()) -> PipelineOptions:
    """Beam's options from the arguments that are not ours.

    Args:
        arguments: as given on the command line.
        own_options: our command's options (`--max-rounds`, ...), to name the one that was meant.

    Raises:
        UsageError: an argument that neither we nor Beam's local runner know. Other runners take options that Beam
            learns only from their job server, so there an unknown one passes. An endpoint where nobody listens.
    """
    ask_for_one_thread()
    _refuse_underscores(arguments, own_options)
    options = _Options(list(arguments))
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "FnApiRunner"):
        standard.runner = FN_API_RUNNER
    if is_local(options):
        _refuse_unknown(arguments, own_options)
        _quieten(options)
    for option, endpoint in _endpoints(options):
        _check_endpoint(option, endpoint)
    return options


def is_local(options: PipelineOptions) -> bool:
    """Whether the pipeline runs in this process or in children of it."""
    return options.view_as(StandardOptions).runner in LOCAL_RUNNERS


def check_goes_on(options: PipelineOptions) -> None:
    """Refuse `--no-wait` where the run ends with this process. Raises UsageError."""
    if is_local(options) or options.view_as(StandardOptions).runner in OWN_SERVERS:
        raise UsageError("--no-wait needs a runner that goes on without this process, such as --runner=PortableRunner")
    if options.view_as(PortableOptions).environment_type == "LOOPBACK":
        raise UsageError("--no-wait: with --environment_type=LOOPBACK the workers are in this process, and end with it")


def _endpoints(options: PipelineOptions) -> Iterator[tuple[str, str]]:
    """What a run is to be given to, and what is to start its workers, by option."""
    portable = options.view_as(PortableOptions)
    if portable.job_endpoint not in (None, "embed"):
        yield "--job_endpoint", str(portable.job_endpoint)
    master = options.view_as(FlinkRunnerOptions).flink_master
    if options.view_as(StandardOptions).runner == "FlinkRunner" and master not in (None, "[auto]", "[local]"):
        yield "--flink_master", str(master).split("://")[-1].rstrip("/")
    pool = str(portable.environment_config or "")
    # In a cluster, localhost is the worker's machine, which need not be this one.
    if portable.environment_type == "EXTERNAL" and not pool.startswith(("{", "localhost", "127.")):
        yield "--environment_config", pool


def _check_endpoint(option: str, endpoint: str) -> None:
    """Beam waits minutes for a service that is not there."""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"{option} takes HOST:PORT, got {endpoint!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ENDPOINT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"nobody answers at {endpoint} ({option}): {error}; start it first") from error


def _quieten(options: PipelineOptions) -> None:
    """Worker processes would print their whole life on the terminal."""
    worker = options.view_as(WorkerOptions)
    worker.default_sdk_harness_log_level = worker.default_sdk_harness_log_level or "WARNING"


def _refuse_underscores(arguments: Sequence[str], own_options: Sequence[str]) -> None:
    """Beam spells with underscores, and has options such as `--dry_run` that do not do what ours of that name do."""
    for argument in (text.split("=")[0] for text in arguments):
        if "_" in argument and (meant := argument.replace("_", "-")) in own_options:
            raise UsageError(f"unknown argument {argument!r}; did you mean {meant}?")


def _refuse_unknown(arguments: Sequence[str], own_options: Sequence[str]) -> None:
    parser: Any = argparse.ArgumentParser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    for section in dict.fromkeys(PipelineOptions.__subclasses__()):
        section._add_argparse_args(parser)  # noqa: SLF001  (Beam has no public way to list its options)
    _, unknown = parser.parse_known_args(list(arguments))
    if not unknown:
        return
    known = [o for action in parser._actions for o in action.option_strings]  # noqa: SLF001
    mistyped = unknown[0].split("=")[0]
    near = difflib.get_close_matches(mistyped, own_options, n=1) or difflib.get_close_matches(mistyped, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; see --help, and Beam's pipeline options"
    raise UsageError(f"unknown argument {unknown[0]!r}{hint}")
