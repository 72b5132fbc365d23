"""One phase of a command: a pipeline over a few elements, and its progress."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from avagent.pipelines.beam_options import is_local
from avagent.pipelines.progress import Parts, Tally, show_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What is done.

    Attributes:
        title: for progress and step names, a verb.
        unit: what is counted.
        total: how many there are; None: not known.
        transform: from the file that local workers report progress to (None: another runner) to the transform.
        source: name of the step that lists the elements.
    """

    title: str
    unit: str
    total: int | None
    transform: Callable[[str | None], beam.PTransform[Any, Any]]
    source: str = "Shards"


def run_with_progress(phase: Phase, elements: Sequence[Any], options: PipelineOptions, console: Console) -> None:
    """Run it to its end; nothing where there are no elements."""
    if not elements:
        return
    tally = Tally(unit=phase.unit, total_bytes=0, total=phase.total)
    with phase_progress(options, console, phase.title, tally) as path:
        run_pipeline(options, phase.title, elements, phase.transform(path), source=phase.source)


@contextmanager
def parts_progress(
    options: PipelineOptions, console: Console, tallies: Mapping[str, Tally]
) -> Iterator[dict[str, str]]:
    """Title -> the file that local workers report to, shown while the block runs; none for other runners."""
    if not is_local(options):
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="avagent-") as folder:
        parts = Parts(Path(folder), tallies)
        with show_lines(parts.lines, console):
            yield parts.paths()


@contextmanager
def phase_progress(options: PipelineOptions, console: Console, title: str, tally: Tally) -> Iterator[str | None]:
    """The file that local workers report to, shown while the block runs; None for other runners."""
    with parts_progress(options, console, {title: tally}) as paths:
        yield paths.get(title)


def run_pipeline(
    options: PipelineOptions,
    title: str,
    elements: Sequence[Any],
    transform: beam.PTransform[Any, Any],
    *,
    source: str = "Shards",
) -> Any:
    """Run `source` and then `title`, capitalised, to the end; gives Beam's result, with the metrics."""
    pipeline = beam.Pipeline(options=options)
    _ = pipeline | source >> beam.Create(elements, reshuffle=False) | title.capitalize() >> transform
    result = pipeline.run()
    result.wait_until_finish()
    return result
