"""Wall time of the pipeline against a plain loop over the same functions and clips (goal: at most 1.05 times).

    python bench/overhead.py [--clips 60] [--repeats 3]

Both decide and rewrite in one process with the same loaded models; the loop has no Beam in it. They take turns, so that
a machine that changes its speed slows both; the median of the paired ratios counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
from _copies import base_clips, write_copies
from _processor_time import processor_seconds

from avagent.core.state import ClipDecision, ClipState, conclude
from avagent.pipelines.beam_options import beam_options
from avagent.pipelines.recipe import load_recipe
from avagent.pipelines.wiring import Wired, wire
from avagent.records.decisions import write_decisions
from avagent.records.manifest import decisions_url
from avagent.runs.run_plan import ShardTask
from avagent.shards.listing import list_shards
from avagent.transforms.decisions import DecideShards
from avagent.transforms.loop import Loop
from avagent.transforms.read import read_states
from avagent.transforms.stages import (
    caption_clips,
    close_round,
    edit_clip,
    plan_clips,
    score_edits,
    score_originals,
)
from avagent.transforms.store import StoreConfig, process_store
from avagent.transforms.write import ApplyDecisions, ApplyTarget, apply_decisions

RESULTS = Path(__file__).resolve().parent / "results" / "overhead.json"
BASE_CLIPS = 12
SHARDS = 3


class Seconds(NamedTuple):
    """Wall and processor time; on a machine shared with others the second is the steadier one."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Seconds:
        """Both clocks."""
        return cls(time.perf_counter(), processor_seconds())

    def since(self, start: Seconds) -> Seconds:
        """What passed."""
        return Seconds(self.wall - start.wall, self.cpu - start.cpu)


def fresh(wired: Wired) -> Wired:
    """The same ports with an empty media store."""
    return replace(wired, loop=replace(wired.loop, store=StoreConfig(run=uuid.uuid4().hex)))


def by_pipeline(wired: Wired, shards: list[str], output: Path) -> Seconds:
    """Time of decide and apply on Beam."""
    target = ApplyTarget(output=str(output), provenance=wired.provenance)
    started = Seconds.now()
    with beam.Pipeline(options=beam_options([])) as pipeline:
        tasks = pipeline | "Shards" >> beam.Create([ShardTask(url=shard) for shard in shards], reshuffle=False)
        decided = tasks | "Decide" >> DecideShards(wired.loop, str(output))
        _ = decided | "Apply" >> ApplyDecisions(target)
    return Seconds.now().since(started)


def by_loop(wired: Wired, shards: list[str], output: Path) -> Seconds:
    """Time of the same functions, called one after the other."""
    target = ApplyTarget(output=str(output), provenance=wired.provenance)
    started = Seconds.now()
    store, loop = process_store(wired.loop.store), wired.loop
    # Held, as the pipeline's stages do: a port that nobody holds is made anew for each clip.
    ports = loop.captioner(), loop.scorer(), loop.planner()
    for shard in shards:
        states = read_states(ShardTask(url=shard), store)
        write_decisions(decisions_url(str(output), shard), [decide_one(state, wired.loop) for state in states])
    del ports
    for shard in shards:
        apply_decisions(shard, target)
    return Seconds.now().since(started)


def decide_one(state: ClipState, loop: Loop) -> ClipDecision:
    """One clip through caption, score and rounds."""
    store, scorer = process_store(loop.store), loop.scorer()
    (state,) = caption_clips([state], loop.captioner(), store)
    (state,) = score_originals([state], scorer, store)
    state = close_round(state, loop.policy)
    while (decision := conclude(state, loop.policy)) is None:
        (state,) = plan_clips([state], loop.planner(), store, policy=loop.policy, allowed=loop.allowed)
        state = edit_clip(state, store, loop.policy)
        (state,) = score_edits([state], scorer, store)
        state = close_round(state, loop.policy)
    return decision


def compare(loop: Seconds, pipeline: Seconds) -> dict[str, float]:
    """One paired row."""
    row = {
        "loop_wall_s": loop.wall,
        "pipeline_wall_s": pipeline.wall,
        "wall_ratio": pipeline.wall / loop.wall,
        "cpu_ratio": pipeline.cpu / loop.cpu,
    }
    return {name: round(value, 4) for name, value in row.items()}


def main() -> None:
    """Measure, print, write `bench/results/overhead.json`."""
    parser = argparse.ArgumentParser(description="Overhead of the pipeline over a plain loop.")
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    wired = wire(load_recipe("embedded"))
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="avagent-overhead-") as name:
        folder = Path(name)
        base = base_clips(folder / "base", BASE_CLIPS)
        for number in range(options.repeats + 1):
            clips = options.clips if number else BASE_CLIPS
            # New copies each time: the models' own caches must not help the second one.
            one, other = (
                list_shards(str(write_copies(base, folder / f"{name}-{number}", clips, -(-clips // SHARDS))))
                for name in ("one", "other")
            )
            loop = by_loop(fresh(wired), one, folder / f"loop-{number}")
            pipeline = by_pipeline(fresh(wired), other, folder / f"pipeline-{number}")
            if number:  # the first turn warms both up
                rows.append(compare(loop, pipeline))
    medians = {f"median_{name}": statistics.median(row[name] for row in rows) for name in ("wall_ratio", "cpu_ratio")}
    result = {"clips": options.clips, "rows": rows, **medians, "goal": 1.05}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
