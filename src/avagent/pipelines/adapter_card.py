"""What an adapter's folder says of itself: a card for people, the same for programs, and the curve of its training."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from pydantic import TypeAdapter

from avagent import __version__
from avagent.core.errors import MissingModelError, UsageError
from avagent.models.llm.prompt import prompt_fingerprint
from avagent.models.llm.training import Tuning, TuningReport
from avagent.pipelines.plan_accuracy import Accuracy

CARD = "card.json"
CURVE = "loss.png"
_ACCURACY = (
    "Accuracy on the held-out pairs (right: the kinds of action are exactly one that mends the fault, or none is",
    "chosen where none does):",
    "",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterCard:
    """What is told of an adapter.

    Attributes:
        base, base_version: the LLM: package and its version, hub id and its commit, or folder.
        base_fingerprint: of its weights.
        data_fingerprint: of the pairs.
        pairs: trained on, held out.
        tuning, report: how it was trained, and what that came to.
        accuracies: planner -> accuracy on the held-out pairs.
    """

    base: str
    base_version: str | None
    base_fingerprint: str
    data_fingerprint: str
    pairs: tuple[int, int]
    tuning: Tuning
    report: TuningReport
    accuracies: Mapping[str, Accuracy]


def check_plots() -> None:
    """See that curves can be drawn, before hours of training. Raises MissingModelError."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingModelError(
            "the loss curve needs matplotlib, which is not installed; run: pip install 'avagent[plots]'"
        )


def draw_curve(folder: Path, report: TuningReport) -> Path:
    """The loss over the steps, as `loss.png`."""
    figure_module = importlib.import_module("matplotlib.figure")
    figure = figure_module.Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for name, label, style in (("loss", "training", "-"), ("eval_loss", "held-out recordings", "o--")):
        points = [(row["step"], row[name]) for row in report.curve if name in row]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss on the answer's tokens (nats)")
    axes.set_ylim(bottom=0.0)
    axes.legend()
    figure.savefig(folder / CURVE, dpi=100, metadata={"Software": None})
    return folder / CURVE


def write_card(folder: Path, card: AdapterCard) -> None:
    """`card.json` and `README.md`."""
    record = {"avagent": __version__, "prompt": prompt_fingerprint(), **asdict(card)}
    (folder / CARD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")
    (folder / "README.md").write_text(_markdown(card), "utf-8")


def add_accuracies(folder: Path, accuracies: Mapping[str, Accuracy]) -> None:
    """Put accuracies that were measured later into the card of an adapter.

    Raises:
        UsageError: the folder has no card, or one of another release.
    """
    try:
        record = json.loads((folder / CARD).read_text("utf-8"))
        known = {f.name for f in fields(AdapterCard)}
        card = TypeAdapter(AdapterCard).validate_python({k: v for k, v in record.items() if k in known})
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / CARD} is no card that this release wrote: {error}") from error
    write_card(folder, replace(card, accuracies=accuracies))


def accuracy_table(accuracies: Mapping[str, Accuracy]) -> list[str]:
    """Markdown: accuracy in all, edits where nothing mends, and accuracy by fault; one column a planner."""
    if not accuracies:
        return []
    names = list(accuracies)
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    lines.append(f"| **right plans** | {' | '.join(f'**{100 * a.share:.1f}%**' for a in accuracies.values())} |")
    harm = " | ".join(_share(a.harm) for a in accuracies.values())
    lines.append(f"| edits where nothing mends | {harm} |")
    for title, field in (("fault", "by_fault"), ("round", "by_situation")):
        groups = {name: getattr(a, field) for name, a in accuracies.items()}
        for key in next(iter(groups.values())):
            count = groups[names[0]][key][1]
            cells = " | ".join(_share(group[key]) for group in groups.values())
            lines.append(f"| {title}: {key} ({count}) | {cells} |")
    return lines


def _share(part: tuple[int, int]) -> str:
    return f"{100 * part[0] / part[1]:.0f}%" if part[1] else "-"


def _markdown(card: AdapterCard) -> str:
    tuning, report = card.tuning, card.report
    version = f" {card.base_version}" if card.base_version else ""
    held_out = "" if report.validation_loss is None else f", held-out loss {report.validation_loss:.3f}"
    layers = "" if tuning.top_layers is None else f" of the {tuning.top_layers} top layers"
    lines = [
        f"# LoRA adapter: a planner for AVAgent on {card.base}",
        "",
        f"- Base: {card.base}{version} (`{card.base_fingerprint}`); its licence holds for it.",
        "- Adapter: Apache-2.0.",
        f"- Prompt: `{prompt_fingerprint()}`; under another one the adapter is worth nothing.",
        f"- Data: {card.pairs[0]} pairs, {card.pairs[1]} held out by source recording (`{card.data_fingerprint}`).",
        "  They hold tags of recordings and numbers measured on them, no sound and no picture.",
        f"- LoRA: rank {tuning.rank}, alpha {tuning.alpha:g}, on {', '.join(tuning.target_modules)}{layers};",
        f"  {report.trainable:,} weights, stored in float16.",
        f"- Training: {report.steps} steps of {tuning.batch * tuning.accumulation} pairs, seed {tuning.seed},",
        f"  learning rate {tuning.learning_rate:g}, {report.seconds / 60:.0f} minutes;",
        f"  loss {report.train_loss:.3f}{held_out} nats a token (`loss.png`, `metrics.json`).",
        "",
        *(_ACCURACY if card.accuracies else ()),
        *accuracy_table(card.accuracies),
        "",
        "Limits: it knows the captions, facts and actions of its data only; one fault at a time; see the datasheet.",
    ]
    return "\n".join(lines) + "\n"
