"""Quality and cost of every action, side by side with libraries, on real recordings.

Run by `make bench`, or: `python bench/actions.py [--media FOLDER] [--out FOLDER] [--clips N] [--no-memory]`.
Needs requirements/bench.txt and the media of tools/fetch_media.py. One thread: set OMP_NUM_THREADS=1 yourself.
"""

from __future__ import annotations

import argparse
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import _action_cost
import _action_noise
import _action_repair
import _action_scale
from _action_signals import load
from _action_tables import Goal, Table, write

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = (
    "numpy",
    "scipy",
    "PyWavelets",
    "soxr",
    "python-stretch",
    "pyloudnorm",
    "noisereduce",
    "librosa",
    "bungee-python",
)


def main() -> int:
    """Measure everything and write the tables; exit code 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=ROOT / ".cache" / "media")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--clips", type=int, default=10, help="speech clips of 8 s")
    parser.add_argument("--no-memory", action="store_true", help="leave out the ten-minute runs")
    options = parser.parse_args()
    if not (options.media / "speech").is_dir():
        sys.stderr.write(f"no recordings in {options.media}: run `make media`\n")
        return 2
    recordings = load(options.media, options.clips)
    tables: list[Table] = []
    goals: list[Goal] = []
    for name, part in (
        ("noise filters", lambda: _action_noise.measure(recordings)),
        ("dropouts and loudness", lambda: _action_repair.measure(recordings)),
        ("speed and pitch", lambda: _action_scale.measure(recordings)),
        ("cost", lambda: _action_cost.measure(recordings, memory=not options.no_memory)),
    ):
        print(f"measuring {name} ...", flush=True)
        more_tables, more_goals = part()
        tables += more_tables
        goals += more_goals
    environment = {
        "date": datetime.now(tz=UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "clips": f"{len(recordings.speech)} speech, {len(recordings.music)} music, {len(recordings.content)} other",
    }
    write(options.out, environment, goals, tables)
    for goal in goals:
        print(f"{'met   ' if goal.met else 'MISSED'} {goal.text}: {goal.reached}")
    print(f"tables: {options.out / 'actions.md'}")
    return 0 if all(goal.met for goal in goals) else 1


if __name__ == "__main__":
    raise SystemExit(main())
