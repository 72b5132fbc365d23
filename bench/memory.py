"""Peak memory of the decide and apply phases over 200 and 2,000 clips (goal: grows by less than 10%).

    python bench/memory.py [--sizes 200 2000] [--seconds 2]

Each phase runs as a process of its own (`avagent refine --decide-only`, `avagent apply`); its peak resident set is what
the kernel accounts for the finished process. Clips are the demo's, cut short so that 2,000 take minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from _copies import base_clips, write_copies

RESULTS = Path(__file__).resolve().parent / "results" / "memory.json"
AVAGENT = str(Path(sys.executable).with_name("avagent"))
BASE_CLIPS = 12
CLIPS_PER_SHARD = 100


def peak_of(*command: str) -> tuple[float, float]:
    """(peak resident set in MiB, wall seconds) of a command that must succeed."""
    started = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def measure(base: list[dict[str, bytes]], clips: int, folder: Path) -> dict[str, float]:
    """Both phases over a corpus of this size."""
    source = write_copies(base, folder / f"in-{clips}", clips, CLIPS_PER_SHARD)
    output = str(folder / f"out-{clips}")
    decide, decide_s = peak_of(AVAGENT, "refine", "--input", str(source), "--output", output, "--decide-only")
    apply, apply_s = peak_of(AVAGENT, "apply", "--decisions", output)
    shutil.rmtree(source)
    shutil.rmtree(output)
    return {
        "clips": clips,
        "decide_peak_mib": round(decide, 1),
        "apply_peak_mib": round(apply, 1),
        "decide_s": round(decide_s, 1),
        "apply_s": round(apply_s, 1),
    }


def main() -> None:
    """Measure, print, write `bench/results/memory.json`."""
    parser = argparse.ArgumentParser(description="Peak memory against corpus size.")
    parser.add_argument("--sizes", type=int, nargs=2, default=(200, 2000))
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a clip")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avagent-memory-") as name:
        folder = Path(name)
        base = base_clips(folder / "base", BASE_CLIPS, options.seconds)
        rows = [measure(base, size, folder) for size in options.sizes]
    growth = {phase: rows[1][f"{phase}_peak_mib"] / rows[0][f"{phase}_peak_mib"] - 1 for phase in ("decide", "apply")}
    result = {"rows": rows, "growth": {phase: round(value, 4) for phase, value in growth.items()}, "goal": 0.10}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
