"""Tiny random weights of every architecture that the recipes `paper` and `modern` name, and settings that use them."""

from __future__ import annotations

from pathlib import Path

import peft
import torch
import transformers
from tiny_captioners import save_qwen2_5_omni, save_qwen2_audio, save_video_llava
from tiny_llm import save_tiny_llm
from tiny_scorers import save_imagebind, save_pe_av


def save_adapter(folder: Path, base: Path) -> Path:
    """A LoRA adapter for the tiny LLM, untrained."""
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(0)
    peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    return folder


def settings(**values: object) -> list[str]:
    """`--set` for each dotted key, written with `__` for a dot."""
    return [part for key, value in values.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]


UNCALIBRATED = settings(
    scorer__options__uncalibrated="true",
    scorer__options__margin_alignment=0.001,
    scorer__options__margin_synchronization=0.001,
)


def paper_settings(root: Path) -> list[str]:
    """Everything that `paper` needs, in this folder."""
    llm = save_tiny_llm(root / "vicuna", chat=False)
    return [
        *settings(
            captioner__options__video__options__model=save_video_llava(root / "video_llava"),
            captioner__options__audio__options__model=save_qwen2_audio(root / "audio_llm"),
            planner__options__model=llm,
            planner__options__adapter=save_adapter(root / "adapter", llm),
            scorer__options__checkpoint=save_imagebind(root / "imagebind"),
        ),
        *UNCALIBRATED,
    ]


def modern_settings(root: Path) -> list[str]:
    """Everything that `modern` needs, in this folder."""
    return [
        *settings(
            captioner__options__model=save_qwen2_5_omni(root / "omni"),
            planner__options__model=save_tiny_llm(root / "llm"),
            scorer__options__model=save_pe_av(root / "pe_av"),
        ),
        *UNCALIBRATED,
    ]
