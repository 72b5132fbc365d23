"""Tiny random weights of every architecture that the recipes `paper` and `modern` name, and settings that use them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import peft
import torch
import transformers
from tiny_captioners import save_qwen2_5_omni, save_qwen2_audio, save_video_llava
from tiny_llm import save_tiny_llm

from avagent.models.scorers.imagebind import without_package_init

LAYERS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
IMAGEBIND_PARTS = ("vision", "text", "audio", "depth", "thermal", "imu")


def save_imagebind(file: Path) -> Path:
    """A state dictionary as ImageBind's is published, sizes beside it."""
    sizes = {"out_embed_dim": 16}
    for part in IMAGEBIND_PARTS:
        sizes |= {f"{part}_embed_dim": 16, f"{part}_num_blocks": 1, f"{part}_num_heads": 2}
    with without_package_init():
        model_class = importlib.import_module("imagebind.models.imagebind_model").ImageBindModel
    torch.manual_seed(0)
    torch.save(model_class(**sizes).state_dict(), file)
    file.with_suffix(".json").write_text(json.dumps(sizes))
    return file


def save_pe_av(folder: Path) -> Path:
    """PE-AV with encoders of one layer."""
    layers = {**LAYERS, "head_dim": 16}
    codec = {"encoder_hidden_size": 4, "downsampling_ratios": [2, 8, 10, 12], "codebook_dim": 8, "codebook_size": 16}
    pictures = {"depth": 1, "embed_dim": 16, "num_heads": 2, "img_size": 64}
    vision = {"architecture": "vit_tiny_patch16_224", "do_pooling": True, "num_classes": 16, "model_args": pictures}
    text = {"vocab_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.PeAudioVideoConfig(
        text_config={**LAYERS, **text, "cls_token_id": 1, "sep_token_id": 2},
        audio_video_config={
            **layers,
            "audio_config": {**layers, "dac_config": {**codec, "n_codebooks": 2, "decoder_hidden_size": 32}},
            "video_config": {**layers, "vision_config": vision},
        },
    )
    torch.manual_seed(0)
    transformers.PeAudioVideoModel(config).save_pretrained(folder)
    transformers.PeAudioFeatureExtractor().save_pretrained(folder)
    half = [0.5] * 3
    transformers.PeVideoVideoProcessor(
        size={"height": 64, "width": 64}, do_resize=True, do_normalize=True, image_mean=half, image_std=half
    ).save_pretrained(folder)
    return folder


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
            scorer__options__checkpoint=save_imagebind(root / "imagebind.pth"),
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
