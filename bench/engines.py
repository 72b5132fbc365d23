"""What engines cost: Flink against the local runner, two processes against one, this checkout against another, soak.

    python bench/engines.py [flink] [scaling] [graph --against PATH] [soak] [--clips 500] [--repeats 3]

Whole `refine` jobs by their command over copies of the demo's clips; what is compared takes turns, and the median of
the paired ratios of wall time counts. Run it on a machine that does nothing else.

- `flink`: a cluster of plain processes (`infra/flink`), two TaskManagers with a worker each, that is up already,
  against two local processes. Staging is part of a job's time.
- `scaling`: one local process against two.
- `graph`: this checkout against another, on the local runner; peak resident set as well.
- `soak`: tiny clips with scripted models on Flink; the resident set of TaskManagers and workers against clips decided.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
from _copies import base_clips, write_copies

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "engines.json"
sys.path[:0] = [str(ROOT / "tests" / "pipelines"), str(ROOT / "tests")]

from flink_cluster import Cluster, flink_cluster, flink_folder  # noqa: E402
from scripted_runs import start as start_scripted  # noqa: E402
from scripted_runs import write_corpus, write_recipe  # noqa: E402

from avagent.runs.decision_parts import clips_in_parts  # noqa: E402

BASE_CLIPS, CLIPS_PER_SHARD = 33, 25
TWO = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
GOALS = {"flink": 1.25, "scaling": 1.85, "graph": 1.0, "soak MiB per 1,000 clips": 1.0}
Row = dict[str, float | int | str]


def refine(shards: Path, output: Path, options: Sequence[str], checkout: Path = ROOT) -> tuple[float, float]:
    """Wall seconds of the command, and the peak resident set in MiB of its first process."""
    command = [sys.executable, "-c", "import sys; from avagent.pipelines.cli import main; sys.exit(main())", "refine"]
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    log = output.with_suffix(".log")
    started = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--input", shards, "--output", output, *options], env=environment, stdout=file, stderr=file
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"refine failed: {log.read_text('utf-8')[-2000:]}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def paired(name: str, ways: dict[str, Iterator[tuple[float, float]]], repeats: int) -> Row:
    """Two ways in turns: medians, and the median of the ratios of the second to the first."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    peaks: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, runs in ways.items():
            wall, peak = next(runs)
            seconds[way].append(wall)
            peaks[way].append(peak)
    first, second = seconds.values()
    ratios = [b / a for a, b in zip(first, second, strict=True)]
    row: Row = {"compared": name, "repeats": repeats, "ratio": round(statistics.median(ratios), 3)}
    row |= {f"{way}: s": round(statistics.median(found), 1) for way, found in seconds.items()}
    row |= {f"{way}: peak MiB": round(statistics.median(found)) for way, found in peaks.items()}
    return row


def runs_of(
    shards: Path, folder: Path, name: str, options: Sequence[str], checkout: Path = ROOT
) -> Iterator[tuple[float, float]]:
    """The same job again and again, each into a folder of its own."""
    for number in range(1000):
        yield refine(shards, folder / f"{name}-{number}", options, checkout)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """One that is up."""
    with flink_cluster(flink_folder(), folder / "cluster") as started:
        yield started


def soak(folder: Path, clips: int) -> Row:
    """Growth of the resident set, once a quarter of the clips are decided."""
    recipe, tars = write_recipe(folder), 10
    write_corpus(folder / "in", tars=tars, clips=clips // tars, seconds=0.05)
    output = folder / "soaked"
    seen: list[tuple[int, dict[str, float]]] = []
    with cluster(folder) as started:
        command = ("refine", "--input", folder / "in", "--output", output, "--recipe", recipe, *started.options)
        process = start_scripted(*command)
        while process.poll() is None:
            seen.append((clips_in_parts(str(output)), _resident(started)))
            time.sleep(1.0)
        if process.returncode != 0:
            raise SystemExit(process.text())
    late = [(count, sizes) for count, sizes in seen if count >= clips // 4]
    counts = [count for count, _ in late]
    row: Row = {"compared": "soak", "clips": clips}
    for part in ("workers", "TaskManagers"):
        slope = float(np.polyfit(counts, [sizes[part] for _, sizes in late], 1)[0]) * 1000
        row |= {f"{part}: MiB per 1,000 clips": round(slope, 2)}
        row |= {f"{part}: peak MiB": round(max(sizes[part] for _, sizes in seen))}
    return row


def _resident(started: Cluster) -> dict[str, float]:
    """MiB of the Python workers with their decoders, and of the Java processes, whose heaps grow to their bounds."""
    totals = {"workers": 0.0, "TaskManagers": 0.0}
    for manager in started.task_managers:
        with suppress(psutil.NoSuchProcess):
            tree = psutil.Process(manager.pid)
            for process in (tree, *tree.children(recursive=True)):
                part = "TaskManagers" if "java" in process.name() else "workers"
                totals[part] += process.memory_info().rss / (1 << 20)
    return totals


def rows(arguments: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """One for each comparison that was asked for."""
    shards = folder / "in"
    if set(arguments.what) - {"soak"}:
        write_copies(base_clips(folder / "base", BASE_CLIPS), shards, arguments.clips, CLIPS_PER_SHARD)
    two = runs_of(shards, folder, "two", TWO)
    if "flink" in arguments.what:
        with cluster(folder) as started:
            flink = runs_of(shards, folder, "flink", started.options)
            yield {
                "clips": arguments.clips,
                **paired("flink", {"two processes": two, "Flink": flink}, arguments.repeats),
            }
    if "scaling" in arguments.what:
        one = runs_of(shards, folder, "one", ())
        yield {"clips": arguments.clips, **paired("scaling", {"two processes": two, "one": one}, arguments.repeats)}
    if "graph" in arguments.what:
        other = runs_of(shards, folder, "other", (), arguments.against)
        here = runs_of(shards, folder, "here", ())
        yield {"clips": arguments.clips, **paired("graph", {"other": other, "this": here}, arguments.repeats)}
    if "soak" in arguments.what:
        yield soak(folder, arguments.soak_clips)


def main() -> None:
    """Measure, print, write `bench/results/engines.json`; rows that were not asked for stay as they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["flink", "scaling", "graph", "soak"], default=["flink", "scaling"])
    parser.add_argument("--against", type=Path, default=ROOT)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--soak-clips", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    known = json.loads(RESULTS.read_text("utf-8"))["rows"] if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory(prefix="avagent-bench-") as folder:
        for row in rows(arguments, Path(folder)):
            print(row)
            known[str(row["compared"])] = row
            RESULTS.write_text(json.dumps({"goals": GOALS, "rows": known}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
