"""Peak memory of deciding on many tiny clips with cheap models, driver included (goal: 1 GB for 100,000 in 100 shards).

    python bench/many_clips.py [--clips 100000] [--shards 100]

`avagent refine --decide-only` runs as a process of its own with the tests' scripted models, on the local runner: driver
and worker are one process, and decoding happens in a child. The resident sets of both are sampled twice a second and
added up. Every clip is a WAV file of 20 ms.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "many_clips.json"
sys.path[:0] = [str(ROOT / "tests" / "pipelines"), str(ROOT / "tests")]

from scripted_runs import KEYS, wav, write_recipe  # noqa: E402
from scripted_runs import start as start_scripted  # noqa: E402

from avagent.shards.webdataset.tar_writer import TarWriter  # noqa: E402

GOAL_MIB = 1e9 / (1 << 20)


def write_shards(folder: Path, clips: int, shards: int) -> None:
    """Clips of every sort that the scripted models know, in equal shards."""
    folder.mkdir()
    sound = wav(1, seconds=0.02)
    for shard in range(shards):
        with (folder / f"tiny-{shard:06d}.tar").open("wb") as file:
            tar = TarWriter(file)
            for number in range(clips // shards):
                tar.add(f"{KEYS[number % len(KEYS)]}-{shard}-{number}.wav", sound)
            tar.close()


def peak_of(process: subprocess.Popen[bytes]) -> float:
    """Peak resident set of a process and its children together, in MiB, until it ends well."""
    tree = psutil.Process(process.pid)
    peak = 0
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            peak = max(peak, sum(p.memory_info().rss for p in (tree, *tree.children(recursive=True))))
        time.sleep(0.5)
    if process.returncode != 0:
        raise SystemExit((process.stdout.read() if process.stdout else b"").decode())
    return peak / (1 << 20)


def main() -> None:
    """Measure, print, write `bench/results/many_clips.json`."""
    parser = argparse.ArgumentParser(description="Peak memory of deciding on many tiny clips.")
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avagent-many-") as name:
        folder = Path(name)
        write_shards(folder / "shards", options.clips, options.shards)
        started = time.perf_counter()
        output = folder / "out"
        command = ("refine", "--input", folder / "shards", "--output", output, "--decide-only")
        peak = peak_of(start_scripted(*command, "--recipe", write_recipe(folder)))
        rows = pq.read_metadata(output / "_manifest" / "clips.parquet").num_rows
        result = {
            "clips": rows,
            "shards": options.shards,
            "peak_mib": round(peak, 1),
            "goal_mib": round(GOAL_MIB, 1),
            "seconds": round(time.perf_counter() - started, 1),
        }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
