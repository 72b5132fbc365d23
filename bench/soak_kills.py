"""Kill runs at random moments until they are done, and compare each with one left in peace (goal: nothing differs).

    python bench/soak_kills.py [--kills 60] [--embedded 6] [--seed 1] [--minutes 25] [--jobs 2]

SIGKILL goes to the whole process group of `avagent refine` (or `apply`), at moments spread over start, decide, apply
and commit. Most runs have scripted models, on tar and TFRecord shards, some of them (a ninth of the kills: starting
takes long) two worker processes; the others the embedded recipe on real clips. Compared: every file of the output, byte
for byte, times aside; clips lost or duplicated; temporary files left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "soak_kills.json"
sys.path[:0] = [str(ROOT / "tests" / "pipelines"), str(ROOT / "tests")]

from killing import PHASES, Case, Peace, run_in_peace, run_under_fire  # noqa: E402
from scripted_runs import Logged, write_corpus, write_recipe  # noqa: E402
from scripted_runs import start as start_scripted  # noqa: E402

TWO_WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
TARGETS = PHASES[:4]
NINTHS = {"scripted, 5 shards, two worker processes": 1}
"""Of the kills; 4 for the other scripted cases."""


def start_embedded(*arguments: object, limit: float) -> Logged:
    """The command as users have it."""
    return Logged([sys.executable, "-m", "avagent.pipelines.cli", *arguments], limit=limit)


def scripted_cases(folder: Path) -> dict[str, Case]:
    """Cheap models, the rest as it is."""
    recipe = write_recipe(folder)
    small, large = folder / "small", folder / "large"
    write_corpus(small, tars=3, records_files=2)
    write_corpus(large, tars=8, records_files=4, clips=12, seconds=1.0)

    def refine(source: Path, *more: object) -> Case:
        command = ("refine", "--input", source, "--recipe", recipe, *more)
        return Case(start=start_scripted, commands=lambda out: [(*command, "--output", out)], source=source)

    def decide_then_apply(out: Path) -> Sequence[Sequence[object]]:
        refine_only = ("refine", "--input", small, "--recipe", recipe, "--output", out, "--decide-only")
        return [refine_only, ("apply", "--decisions", out)]

    return {
        "scripted, 12 shards": refine(large),
        "scripted, 5 shards, two worker processes": refine(small, *TWO_WORKERS),
        "scripted, 5 shards, decide then apply": Case(start=start_scripted, commands=decide_then_apply, source=small),
    }


def embedded_case(folder: Path) -> Case:
    """The default recipe on six real clips in three shards."""
    builder = ROOT / "examples" / "demo" / "build_corpus.py"
    media = ROOT / ".cache" / "media"
    command = [sys.executable, str(builder), "--to", str(folder), "--media", str(media), "--clips", "6"]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    source = folder / "shards"
    return Case(
        start=start_embedded, commands=lambda out: [("refine", "--input", source, "--output", out)], source=source
    )


def soak(title: str, case: Case, folder: Path, kills: int, seed: int, until: float) -> dict[str, Any]:
    """Trials of one to four kills each, until there were enough."""
    rng = random.Random(f"{seed} {title}")  # noqa: S311  (moments, no secrets)
    peace: Peace = run_in_peace(case, folder / "peace")
    total: Counter[str] = Counter()
    found: dict[str, Any] = {"trials": 0, "lost": 0, "duplicated": 0, "differing": [], "leftovers": []}
    while sum(total[phase] for phase in TARGETS) < kills and time.monotonic() < until:
        order = sorted(rng.choices(TARGETS, weights=(1, 2, 2, 2), k=rng.randint(1, 4)), key=TARGETS.index)
        output = folder / f"trial-{found['trials']:03d}"
        trial = run_under_fire(case, output, peace, order, rng)
        total.update(trial.kills)
        found["trials"] += 1
        found["lost"] += trial.lost
        found["duplicated"] += trial.duplicated
        found["differing"] += trial.differing
        found["leftovers"] += trial.leftovers
        shutil.rmtree(output)
        print(f"{title}: {found['trials']} trials, kills {dict(total)}, differing {trial.differing}", flush=True)
    found["kills"] = dict(total)
    return found


def main() -> int:
    """Run all cases; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60, help="of runs with scripted models; 0: none")
    parser.add_argument("--embedded", type=int, default=6, help="kills of the embedded recipe; 0: none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=25, help="begin no trial after so long")
    parser.add_argument("--to", type=Path, default=RESULTS, help="file for the results")
    parser.add_argument("--jobs", type=int, default=1, help="cases at once")
    parser.add_argument("--case", default="", help="only cases whose title has this text")
    arguments = parser.parse_args()
    until = time.monotonic() + arguments.minutes * 60
    results: dict[str, Any] = {"seed": arguments.seed, "cases": {}}
    with tempfile.TemporaryDirectory(prefix="avagent-soak-") as name:
        folder = Path(name)
        scripted = scripted_cases(folder) if arguments.kills else {}
        cases = {t: (case, arguments.kills * NINTHS.get(t, 4) // 9) for t, case in scripted.items()}
        if arguments.embedded:
            cases["embedded, real clips"] = (embedded_case(folder / "real"), arguments.embedded)
        chosen = {title: found for title, found in cases.items() if arguments.case in title}
        with ThreadPoolExecutor(arguments.jobs) as pool:
            running = {
                title: pool.submit(soak, title, case, folder / str(number), kills, arguments.seed, until)
                for number, (title, (case, kills)) in enumerate(chosen.items())
            }
            results["cases"] = {title: future.result() for title, future in running.items()}
    found = results["cases"].values()
    results["kills"] = sum(sum(case["kills"].values()) for case in found)
    results["kills_before_success"] = sum(sum(case["kills"].get(p, 0) for p in TARGETS) for case in found)
    results["lost"] = sum(case["lost"] for case in found)
    results["duplicated"] = sum(case["duplicated"] for case in found)
    arguments.to.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))
    return int(any(case["lost"] or case["duplicated"] or case["differing"] or case["leftovers"] for case in found))


if __name__ == "__main__":
    sys.exit(main())
