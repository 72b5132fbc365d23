"""Metrics and tables of bench/actions.py."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, median

import numpy as np
import numpy.typing as npt

from avagent.core.media import FloatArray

RATE = 16_000


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values under columns."""

    title: str
    note: str
    columns: list[str]
    rows: list[tuple[str, list[float | str]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal, what was reached, and whether that meets it."""

    text: str
    reached: str
    met: bool


def si_sdr(reference: FloatArray, estimate: FloatArray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, doi:10.1109/ICASSP.2019.8683855)."""
    r = reference.astype(np.float64) - float(np.mean(reference, dtype=np.float64))
    e = estimate.astype(np.float64) - float(np.mean(estimate, dtype=np.float64))
    target = (e @ r) / (r @ r + 1e-20) * r
    rest = e - target
    return min(100.0, 10.0 * float(np.log10((target @ target + 1e-20) / (rest @ rest + 1e-20))))


def pesq_wb(reference: FloatArray, estimate: FloatArray) -> float:
    """PESQ, wide band (ITU-T P.862.2)."""
    from pesq import pesq  # noqa: PLC0415  benchmark-only dependency

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(pesq(RATE, reference, estimate, "wb"))


def tone_hz(samples: npt.NDArray[np.floating], rate: int) -> float:
    """Frequency of the strongest partial of the middle of a sound, by a parabola through its peak."""
    middle = samples[samples.size // 5 : -samples.size // 5]
    size = 1 << 19
    power = np.log(np.abs(np.fft.rfft(middle * np.hanning(middle.size), size)) + 1e-12)
    peak = int(power[1:-1].argmax()) + 1
    left, top, right = power[peak - 1 : peak + 2]
    return (peak + 0.5 * (left - right) / (left - 2 * top + right)) * rate / size


def times_realtime(function: Callable[[], object], seconds: float, repeats: int = 5) -> float:
    """How many times the CPU time the sound lasts, best of several (others may share the machine)."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return seconds / best


def mean_median(values: Sequence[float]) -> str:
    """`mean (median)`, two digits."""
    return f"{mean(values):.2f} ({median(values):.2f})"


def write(folder: Path, environment: dict[str, str], goals: Sequence[Goal], tables: Sequence[Table]) -> None:
    """`actions.md` and `actions.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "environment": environment,
        "goals": [asdict(goal) for goal in goals],
        "tables": [asdict(table) for table in tables],
    }
    (folder / "actions.json").write_text(json.dumps(data, indent=1, default=_plain) + "\n", encoding="utf-8")
    lines = ["# Actions, side by side", "", "Made by `make bench BENCHES=bench/actions.py`.", ""]
    lines += [f"- {key}: {value}" for key, value in environment.items()]
    lines += ["", "## Goals", "", "| goal | reached | met |", "|---|---|---|"]
    lines += [f"| {goal.text} | {goal.reached} | {'yes' if goal.met else '**no**'} |" for goal in goals]
    for table in tables:
        lines += ["", f"## {table.title}", "", table.note, ""]
        lines += ["| method | " + " | ".join(table.columns) + " |", "|---|" + "---|" * len(table.columns)]
        lines += [f"| {name} | " + " | ".join(_cell(v) for v in values) + " |" for name, values in table.rows]
    (folder / "actions.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    """Python's scalars for those of numpy."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot write {value!r} as JSON")


def _cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}"
