"""One phase of a command that needs no models: a pipeline over a few elements, with progress."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from avagent.pipelines.beam_options import is_local
from avagent.pipelines.progress import Tally, show_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What is done.

    Attributes:
        title: for progress and step names, a verb.
        unit: what is counted, and `total`, how many there are.
        transform: from the file that local workers report progress to (None: another runner) to the transform.
    """

    title: str
    unit: str
    total: int
    transform: Callable[[str | None], beam.PTransform[Any, Any]]


def run_phase_of(phase: Phase, elements: Sequence[Any], options: PipelineOptions, console: Console) -> None:
    """Run it to its end; nothing where there are no elements."""
    if not elements:
        return
    if not is_local(options):
        _run(phase, elements, options, None)
        return
    with tempfile.TemporaryDirectory(prefix="avagent-") as folder:
        path = Path(folder) / "progress"
        tally = Tally(unit=phase.unit, total_bytes=0, total=phase.total)
        with show_progress(phase.title, path, tally, console):
            _run(phase, elements, options, str(path))


def _run(phase: Phase, elements: Sequence[Any], options: PipelineOptions, progress: str | None) -> None:
    pipeline = beam.Pipeline(options=options)
    listed = pipeline | "Elements" >> beam.Create(elements, reshuffle=False)
    _ = listed | phase.title.capitalize() >> phase.transform(progress)
    pipeline.run().wait_until_finish()
