"""Scoring models of the real architectures with few random weights, saved as the published ones are."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from avagent.models.scorers.imagebind import without_package_init

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
TEXT: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": len(SPECIAL) + 27,
    "max_position_embeddings": 80,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
IMAGEBIND = {
    **{f"{part}_embed_dim": 16 for part in ("vision", "text", "out", "audio", "depth", "thermal", "imu")},
    **{f"{part}_num_blocks": 1 for part in ("vision", "text", "audio", "depth", "thermal", "imu")},
    **{f"{part}_num_heads": 2 for part in ("vision", "text", "audio", "depth", "thermal", "imu")},
}
ENCODER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 16}


def save_imagebind(folder: Path) -> Path:
    """All modalities, 16 numbers a vector; the checkpoint's path, its sizes beside it."""
    with without_package_init():
        from imagebind.models.imagebind_model import ImageBindModel  # noqa: PLC0415  (past its package's __init__)
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "imagebind_tiny.pth"
    torch.save(ImageBindModel(**IMAGEBIND).state_dict(), file)
    file.with_suffix(".json").write_text(json.dumps(IMAGEBIND), encoding="utf-8")
    return file


def save_pe_av(folder: Path) -> Path:
    """One layer everywhere; the published front ends, but pictures of 64 pixels."""
    torch.manual_seed(0)
    text = {**TEXT, "hidden_size": 32, "cls_token_id": 1, "sep_token_id": 2}
    codec = {"encoder_hidden_size": 4, "downsampling_ratios": [2, 8, 10, 12], "codebook_dim": 8, "codebook_size": 16}
    picture = {"depth": 1, "embed_dim": 16, "num_heads": 2, "img_size": 64}
    vision = {"architecture": "vit_tiny_patch16_224", "do_pooling": True, "num_classes": 16, "model_args": picture}
    config = transformers.PeAudioVideoConfig(
        text_config=text,
        audio_video_config={
            **ENCODER,
            "audio_config": {**ENCODER, "dac_config": {**codec, "n_codebooks": 2, "decoder_hidden_size": 32}},
            "video_config": {**ENCODER, "vision_config": vision},
        },
    )
    transformers.PeAudioVideoModel(config).save_pretrained(folder)
    transformers.PeAudioFeatureExtractor().save_pretrained(folder)
    steps = {"do_resize": True, "do_rescale": True, "do_normalize": True}
    spread = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    transformers.PeVideoVideoProcessor(size={"height": 64, "width": 64}, **steps, **spread).save_pretrained(folder)
    return folder


def save_clap(folder: Path) -> Path:
    """Two stages of one block; hears 2 s at once."""
    torch.manual_seed(0)
    audio = {"spec_size": 128, "hidden_size": 32, "patch_embeds_hidden_size": 16, "depths": [1, 1], "window_size": 4}
    config = transformers.ClapConfig(
        text_config=TEXT,
        audio_config={**audio, "num_attention_heads": [2, 2], "num_hidden_layers": 2},
        projection_dim=16,
    )
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(max_length_s=2, truncation="rand_trunc").save_pretrained(folder)
    return _with_letters(folder)


def save_clip(folder: Path) -> Path:
    """Pictures of 32 pixels in 4 patches."""
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=16)
    transformers.CLIPModel(config).save_pretrained(folder)
    return _with_letters(_with_pictures(folder))


def save_xclip(folder: Path) -> Path:
    """Videos of 4 such pictures."""
    torch.manual_seed(0)
    mit = {"mit_hidden_size": 16, "mit_intermediate_size": 16, "mit_num_hidden_layers": 1, "mit_num_attention_heads": 2}
    config = transformers.XCLIPConfig(
        text_config=TEXT,
        vision_config={**VISION, **mit, "num_frames": 4},
        projection_dim=16,
        prompt_layers=1,
        prompt_num_attention_heads=2,
    )
    transformers.XCLIPModel(config).save_pretrained(folder)
    return _with_letters(_with_pictures(folder))


def save_all(folder: Path) -> dict[str, dict[str, Any]]:
    """Every scorer's registered name (and `clap_xclip`) to the options that load it from below the folder."""
    clap, pe_av = save_clap(folder / "clap"), save_pe_av(folder / "pe_av")
    clip, xclip = save_clip(folder / "clip"), save_xclip(folder / "xclip")
    return {
        "imagebind": {"checkpoint": str(save_imagebind(folder / "imagebind")), "device": "cpu"},
        "pe_av": {"model": str(pe_av), "device": "cpu"},
        "clap_clip": {"audio_model": str(clap), "picture_model": str(clip), "device": "cpu"},
        "clap_xclip": {"audio_model": str(clap), "picture_model": str(xclip), "device": "cpu"},
        "caption_xclip": {"model": str(xclip), "device": "cpu"},
    }


def _with_pictures(folder: Path) -> Path:
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        folder
    )
    return folder


def _with_letters(folder: Path) -> Path:
    words = {token: i for i, token in enumerate((*SPECIAL, " ", *string.ascii_lowercase))}
    letters = Tokenizer(models.WordLevel(words, unk_token=SPECIAL[3]))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    named = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    transformers.PreTrainedTokenizerFast(tokenizer_object=letters, model_max_length=64, **named).save_pretrained(folder)
    return folder
