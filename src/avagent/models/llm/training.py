"""LoRA-tuning a planner LLM on pairs of prompt and answer (Hu et al. 2022, arXiv:2106.09685), by peft and transformers.

The loss is taken on the answer's tokens only, and logits are computed there only: with a vocabulary of 49,152 the last
layer would otherwise cost as much as several others. Prompts are padded on the left, so that answers end together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from avagent.core.errors import ParameterError, UsageError
from avagent.models.hf.loading import require
from avagent.models.llm.chat import encode_answer, encode_prompt, end_of_turn
from avagent.models.llm.loading import LanguageModelSource
from avagent.models.llm.prompt import system_text

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
CHECKPOINTS = "checkpoints"
METRICS = "metrics.json"
IGNORED = -100
"""A label that takes no part in the loss."""

Progress = Callable[[int, int, Mapping[str, float]], None]
"""Steps done, steps in all, and what was logged last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How the adapter is trained.

    Attributes:
        rank, alpha, dropout: of LoRA; its update is scaled by alpha / rank.
        target_modules: names of the linear layers that are adapted.
        top_layers: only so many layers, counted from the top; None: all. Backpropagation ends below them.
        learning_rate: at its highest, after the warm-up; it falls to 0 along a cosine.
        warmup: share of the steps, [0, 1).
        epochs: passes over the pairs.
        batch: pairs per forward pass.
        accumulation: forward passes per step.
        longest: tokens of a prompt and its answer; longer pairs are refused.
        gradient_checkpointing: computes activations again instead of keeping them: less memory, a third more time.
        bf16: bfloat16 arithmetic; None: where the hardware has it.
        save_steps: steps between checkpoints, from which a training can be resumed.
        seed: of initial weights, dropout and order.

    Raises:
        ParameterError: a value that cannot be.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: tuple[str, ...] = ATTENTION + FEED_FORWARD
    top_layers: int | None = None
    learning_rate: float = 1e-3
    warmup: float = 0.05
    epochs: float = 3.0
    batch: int = 8
    accumulation: int = 2
    longest: int = 1024
    gradient_checkpointing: bool = False
    bf16: bool | None = None
    save_steps: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        whole = ("rank", "batch", "accumulation", "longest", "save_steps")
        if bad := [name for name in whole if getattr(self, name) < 1]:
            raise ParameterError(f"{bad[0]} must be at least 1, got {getattr(self, bad[0])}")
        if self.top_layers is not None and self.top_layers < 1:
            raise ParameterError(f"top_layers must be at least 1, got {self.top_layers}")
        for name, low, high in (("dropout", 0.0, 1.0), ("warmup", 0.0, 1.0), ("learning_rate", 0.0, 1.0)):
            if not low <= getattr(self, name) < high:
                raise ParameterError(f"{name} must lie in [{low:g}, {high:g}), got {getattr(self, name)}")
        if not (self.epochs > 0 and math.isfinite(self.epochs)) or not self.target_modules:
            raise ParameterError("epochs must be above 0, and target_modules must name a layer")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningReport:
    """What a training came to.

    Attributes:
        steps: optimizer steps.
        seconds: wall time of this call; after a resumption, of the rest only.
        train_loss: mean over the answers' tokens of the last epoch's logs, in nats.
        validation_loss: the same on the validation pairs, at the end; None: there were none.
        trainable: number of trained weights.
        tokens: of prompts and answers, one pass over the pairs.
        curve: what was logged: step, loss or eval_loss, learning_rate.
        bf16: whether bfloat16 was used.
    """

    steps: int
    seconds: float
    train_loss: float
    validation_loss: float | None
    trainable: int
    tokens: int
    curve: tuple[Mapping[str, float], ...]
    bf16: bool


def encode_example(tokenizer: Any, prompt: str, answer: str, template: str = "model") -> dict[str, Any]:
    """A pair as the model sees it: `input_ids` of instruction, prompt, answer and end of turn; `answer`: its length."""
    head = encode_prompt(tokenizer, system_text(), prompt, template)
    tail = [*encode_answer(tokenizer, answer), *end_of_turn(tokenizer)]
    return {"input_ids": [*head, *tail], "answer": len(tail)}


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, on what, and where it goes.

    Attributes:
        source: the base, without an adapter.
        pairs, validation: prompt and answer.
        tuning: how.
        output: folder of the adapter and its metrics; checkpoints go below it.
        template: chat format.
        progress: told of every step that is logged.
    """

    source: LanguageModelSource
    pairs: Sequence[tuple[str, str]]
    validation: Sequence[tuple[str, str]]
    tuning: Tuning
    output: Path
    template: str = "model"
    progress: Progress | None = None


def train_adapter(training: Training, *, resume: bool = False) -> TuningReport:
    """Train an adapter and save it as safetensors, with its metrics.

    Args:
        training: what, on what.
        resume: go on from the last checkpoint.

    Raises:
        UsageError: nothing to train on, a pair that is too long, or no checkpoint to resume from.
        MissingModelError: the base or a library is absent.
    """
    if not training.pairs:
        raise UsageError("there are no pairs to train on")
    tuning, output = training.tuning, training.output
    transformers = require("transformers")
    require("peft")
    checkpoint = last_checkpoint(output) if resume else None
    transformers.set_seed(tuning.seed)
    model = training.source.load()
    examples, held_out = (_encode(model.tokenizer, part, training) for part in (training.pairs, training.validation))
    network = _adapted(model.network, training.source, tuning)
    bf16 = _has_bf16(model.device) if tuning.bf16 is None else tuning.bf16
    trainer = _trainer_class(transformers.Trainer)(
        model=network,
        args=transformers.TrainingArguments(**_arguments(training, device=model.device, bf16=bf16)),
        train_dataset=examples,
        eval_dataset=held_out or None,
        data_collator=_Collator(_pad(model.tokenizer)),
        callbacks=[_reporter(transformers.TrainerCallback, training.progress)] if training.progress else [],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    final = trainer.evaluate()["eval_loss"] if held_out else None
    report = TuningReport(
        steps=int(result.global_step),
        seconds=float(result.metrics["train_runtime"]),
        train_loss=_last_loss(trainer.state.log_history),
        validation_loss=final,
        trainable=sum(p.numel() for p in network.parameters() if p.requires_grad),
        tokens=sum(len(e["input_ids"]) for e in examples),
        curve=tuple(_curve(trainer.state.log_history)),
        bf16=bf16,
    )
    _save(network, output, report, tuning)
    return report


def last_checkpoint(output: Path) -> Path:
    """The newest checkpoint of a training. Raises UsageError where there is none."""
    folder = output / CHECKPOINTS
    found = [p for p in folder.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
    if not found:
        raise UsageError(f"{folder} holds no checkpoint to resume from: start without --resume")
    return max(found, key=lambda p: int(p.name.rpartition("-")[2]))


def _encode(tokenizer: Any, pairs: Sequence[tuple[str, str]], training: Training) -> list[dict[str, Any]]:
    rows = [encode_example(tokenizer, prompt, answer, training.template) for prompt, answer in pairs]
    longest = max((len(row["input_ids"]) for row in rows), default=0)
    if longest > training.tuning.longest:
        raise UsageError(
            f"a pair has {longest} tokens, more than {training.tuning.longest}: raise --longest, or shorten captions"
        )
    return rows


def _adapted(network: Any, source: LanguageModelSource, tuning: Tuning) -> Any:
    peft = require("peft")
    if source.uses_gguf:
        # Its weights are plain floats by now, which transformers does not note.
        network.is_quantized, network.hf_quantizer = False, None
    layers = None
    if tuning.top_layers is not None:
        count = network.config.num_hidden_layers
        layers = list(range(max(0, count - tuning.top_layers), count))
    config = peft.LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=tuning.dropout,
        target_modules=list(tuning.target_modules),
        layers_to_transform=layers,
        task_type="CAUSAL_LM",
    )
    try:
        adapted = peft.get_peft_model(network, config)
    except ValueError as error:
        raise UsageError(f"the base has no layers {', '.join(tuning.target_modules)}: {error}") from error
    # A path of this machine would say nothing elsewhere.
    adapted.peft_config["default"].base_model_name_or_path = base_name(source)
    # Else every checkpoint asks the hub for the base's configuration; embeddings are not trained here.
    adapted.save_pretrained = partial(adapted.save_pretrained, save_embedding_layers=False)
    return adapted


def base_name(source: LanguageModelSource) -> str:
    """What an adapter belongs to, in a word: a package, a hub id, or a folder's name."""
    if source.package is not None:
        return source.package
    return str(source.model) if source.revision else Path(str(source.model)).name


def _arguments(training: Training, *, device: str, bf16: bool) -> dict[str, Any]:
    """For transformers' TrainingArguments."""
    tuning = training.tuning
    steps = math.ceil(len(training.pairs) / (tuning.batch * tuning.accumulation) * tuning.epochs)
    return {
        "output_dir": str(training.output / CHECKPOINTS),
        "num_train_epochs": tuning.epochs,
        "per_device_train_batch_size": tuning.batch,
        "per_device_eval_batch_size": tuning.batch,
        "gradient_accumulation_steps": tuning.accumulation,
        **({_checkpointing_argument(): True} if tuning.gradient_checkpointing else {}),
        "learning_rate": tuning.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": round(tuning.warmup * steps),
        "max_grad_norm": 1.0,
        "bf16": bf16,
        "seed": tuning.seed,
        "train_sampling_strategy": "group_by_length",
        "eval_strategy": "steps" if training.validation else "no",
        "eval_steps": max(1, steps // 4),
        "save_strategy": "steps",
        "save_steps": tuning.save_steps,
        "save_total_limit": 2,
        "logging_steps": max(1, min(10, steps // 10)),
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "use_cpu": device == "cpu",
        "dataloader_pin_memory": False,
    }


def _checkpointing_argument() -> str:
    """Transformers renamed it."""
    known = {f.name for f in fields(require("transformers").TrainingArguments)}
    return next(name for name in ("activation_checkpointing", "gradient_checkpointing") if name in known)


@dataclass(frozen=True, slots=True)
class _Collator:
    """Left-padded batches; `labels` hold the answers' tokens."""

    pad: int

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        torch = require("torch")
        width = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self.pad)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        labels = torch.full((len(rows), width), IGNORED)
        for i, row in enumerate(rows):
            tokens = torch.tensor(row["input_ids"])
            ids[i, width - len(tokens) :] = tokens
            mask[i, width - len(tokens) :] = 1
            labels[i, width - row["answer"] :] = tokens[len(tokens) - row["answer"] :]
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _trainer_class(base: type[Any]) -> type[Any]:
    """A Trainer whose loss is that of the answers; made here because transformers is imported where it is used."""
    torch = require("torch")

    class AnswerTrainer(base):
        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,  # noqa: FBT001, FBT002  (the signature of transformers)
            num_items_in_batch: Any = None,
        ) -> Any:
            labels = inputs["labels"]
            longest = int((labels != IGNORED).sum(dim=1).max())
            outputs = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                logits_to_keep=longest + 1,
                use_cache=False,
            )
            wanted = labels[:, -longest:]
            logits = outputs.logits[:, :-1].float()
            total = torch.nn.functional.cross_entropy(
                logits.reshape(-1, logits.shape[-1]), wanted.reshape(-1), ignore_index=IGNORED, reduction="sum"
            )
            count = num_items_in_batch if num_items_in_batch is not None else (wanted != IGNORED).sum()
            loss = total / count
            return (loss, {"logits": logits}) if return_outputs else loss

    return AnswerTrainer


def _reporter(base: type[Any], progress: Progress) -> Any:
    class Reporter(base):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_more: Any) -> None:  # noqa: ARG002
            numbers = {k: float(v) for k, v in (logs or {}).items() if isinstance(v, int | float)}
            progress(state.global_step, state.max_steps, numbers)

    return Reporter()


def _pad(tokenizer: Any) -> int:
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0


def _has_bf16(device: str) -> bool:
    torch = require("torch")
    return device.startswith("cuda") and bool(torch.cuda.is_bf16_supported())


def _curve(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    kept = ("step", "loss", "eval_loss", "learning_rate")
    rows = [{k: float(entry[k]) for k in kept if k in entry} for entry in history]
    return [row for row in rows if "loss" in row or "eval_loss" in row]


def _last_loss(history: Sequence[Mapping[str, Any]]) -> float:
    losses = [float(entry["loss"]) for entry in history if "loss" in entry]
    last = losses[-max(1, len(losses) // 5) :]
    return sum(last) / len(last) if last else math.nan


def _save(network: Any, output: Path, report: TuningReport, tuning: Tuning) -> None:
    """Half precision: an adapter's weights are updates, and need no more."""
    torch = require("torch")
    state = {name: p.to(torch.float16) for name, p in network.state_dict().items() if "lora_" in name}
    network.save_pretrained(str(output), state_dict=state, safe_serialization=True)
    (output / "README.md").unlink(missing_ok=True)
    text = json.dumps({"tuning": asdict(tuning), "report": asdict(report)}, indent=1, sort_keys=True)
    (output / METRICS).write_text(text + "\n", "utf-8")
