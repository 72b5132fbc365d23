"""Captioning models of the real architectures with few random weights, saved as the published ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = ["a", "dog", "barks", "horse", "runs", "rain", "falls", "road", "man", "speaks", "music", "plays", "bird"]
QWEN_TOKENS = [
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"),
    *("<|IMAGE|>", "<|VIDEO|>", "<|vision_bos|>", "<|vision_eos|>"),
]
TEXT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
AUDIO = {
    "d_model": 16,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "num_mel_bins": 16,
}
VISION = {
    "depth": 1,
    "hidden_size": 16,
    "intermediate_size": 32,
    "out_hidden_size": 16,
    "patch_size": 14,
    "spatial_merge_size": 2,
}
ROPE = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
OMNI_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }} {% for c in m['content'] %}"
    "{% if c['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% elif c['type'] == 'video' %}<|vision_bos|><|VIDEO|><|vision_eos|>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def tokenizer(special: list[str], **named: str) -> transformers.PreTrainedTokenizerFast:
    """Whole words; `special` tokens first."""
    vocabulary = {token: i for i, token in enumerate([*special, "[UNK]", *WORDS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=core, padding_side="left", **named)
    made.add_special_tokens({"additional_special_tokens": [t for t in special if t not in named.values()]})
    return made


def _text_sizes(words: Any) -> dict[str, Any]:
    return {**TEXT, "num_key_value_heads": 2, "vocab_size": len(words), "eos_token_id": 2, "bos_token_id": 1}


def save_video_llava(folder: Path, seed: int = 0) -> Path:
    """Video-LLaVA: pictures of 28 pixels in 4 patches, a Llama of one layer."""
    words = tokenizer(["<pad>", "<s>", "</s>", "<image>", "<video>"], pad_token="<pad>", eos_token="</s>")  # noqa: S106
    config = transformers.VideoLlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**TEXT, image_size=28, patch_size=14),
        text_config=transformers.LlamaConfig(**_text_sizes(words), pad_token_id=0),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        vision_feature_layer=-1,
        pad_token_id=0,
    )
    torch.manual_seed(seed)
    _save(transformers.VideoLlavaForConditionalGeneration(config), words, folder)
    size = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    transformers.VideoLlavaProcessor(
        image_processor=transformers.VideoLlavaImageProcessor(**size),
        video_processor=transformers.VideoLlavaVideoProcessor(**size),
        tokenizer=words,
        patch_size=14,
    ).save_pretrained(folder)
    return folder


def save_qwen2_audio(folder: Path, seed: int = 0) -> Path:
    """Qwen2-Audio: 3 s windows, 16 mel bands, an encoder and a Qwen2 of one layer each."""
    words = _qwen_tokenizer()
    config = transformers.Qwen2AudioConfig(
        audio_config=transformers.Qwen2AudioEncoderConfig(**AUDIO, max_source_positions=150),
        text_config=transformers.Qwen2Config(**_text_sizes(words), pad_token_id=2),
        audio_token_index=words.convert_tokens_to_ids("<|AUDIO|>"),
    )
    torch.manual_seed(seed)
    _save(transformers.Qwen2AudioForConditionalGeneration(config), words, folder)
    transformers.Qwen2AudioProcessor(feature_extractor=_features(3), tokenizer=words).save_pretrained(folder)
    return folder


def _save(model: Any, words: transformers.PreTrainedTokenizerFast, folder: Path) -> None:
    """Random weights would say special tokens, that is nothing."""
    model.generation_config.suppress_tokens = sorted(words.all_special_ids)
    model.save_pretrained(folder)


def _qwen_tokenizer() -> transformers.PreTrainedTokenizerFast:
    named = {
        "image_token": "<|IMAGE|>",
        "audio_token": "<|AUDIO|>",
        "video_token": "<|VIDEO|>",
        "vision_bos_token": "<|vision_bos|>",
        "vision_eos_token": "<|vision_eos|>",
        "audio_bos_token": "<|audio_bos|>",
        "audio_eos_token": "<|audio_eos|>",
    }
    words = tokenizer(QWEN_TOKENS, pad_token="<|endoftext|>", eos_token="<|endoftext|>", extra_special_tokens=named)  # noqa: S106
    words.chat_template = OMNI_TEMPLATE
    return words


def save_qwen3_omni(folder: Path, seed: int = 0) -> Path:
    """The thinker of Qwen3-Omni, a mixture of two experts."""
    words = _qwen_tokenizer()
    ids = {name: words.convert_tokens_to_ids(f"<|{name.upper()}|>") for name in ("image", "audio", "video")}
    text = {**_text_sizes(words), "moe_intermediate_size": 16, "num_experts": 2, "num_experts_per_tok": 1}
    config = transformers.Qwen3OmniMoeThinkerConfig(
        audio_config={**AUDIO, "output_dim": 16, "n_window": 50, "downsample_hidden_size": 8},
        vision_config={**VISION, "num_heads": 2, "deepstack_visual_indexes": [0], "num_position_embeddings": 16},
        text_config={**text, "head_dim": 8, "pad_token_id": 2, "rope_parameters": ROPE},
        **{f"{name}_token_id": i for name, i in ids.items()},
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_bos|>"),
        audio_start_token_id=words.convert_tokens_to_ids("<|audio_bos|>"),
    )
    torch.manual_seed(seed)
    _save(transformers.Qwen3OmniMoeThinkerForConditionalGeneration(config), words, folder)
    _omni_processor("Qwen3OmniMoeProcessor", words).save_pretrained(folder)
    return folder


def save_qwen2_5_omni(folder: Path, seed: int = 0) -> Path:
    """The thinker of Qwen2.5-Omni, saved with the prefix and the configuration of the whole, as it is published."""
    words = _qwen_tokenizer()
    ids = {name: words.convert_tokens_to_ids(f"<|{name.upper()}|>") for name in ("image", "audio", "video")}
    text = transformers.Qwen2_5OmniThinkerConfig(
        audio_config={**AUDIO, "output_dim": 16, "n_window": 8},
        vision_config={**VISION, "num_heads": 2, "fullatt_block_indexes": [0]},
        text_config={**_text_sizes(words), "pad_token_id": 2, "rope_parameters": ROPE},
        **{f"{name}_token_index": i for name, i in ids.items()},
        **{f"{name}_token_id": i for name, i in ids.items()},
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_bos|>"),
        audio_start_token_id=words.convert_tokens_to_ids("<|audio_bos|>"),
    )
    whole = transformers.Qwen2_5OmniConfig(thinker_config=text.to_dict(), enable_audio_output=False)
    torch.manual_seed(seed)
    _save(transformers.Qwen2_5OmniForConditionalGeneration(whole), words, folder)
    _omni_processor("Qwen2_5OmniProcessor", words).save_pretrained(folder)
    return folder


def _omni_processor(name: str, words: transformers.PreTrainedTokenizerFast) -> Any:
    limits = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    return getattr(transformers, name)(
        image_processor=transformers.Qwen2VLImageProcessor(size=limits),
        video_processor=transformers.Qwen2VLVideoProcessor(size=limits),
        feature_extractor=_features(3),
        tokenizer=words,
        chat_template=OMNI_TEMPLATE,
    )


def _features(seconds: int) -> transformers.WhisperFeatureExtractor:
    return transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=seconds)


if __name__ == "__main__":
    import sys

    root = Path(sys.argv[1])
    save_video_llava(root / "video_llava")
    save_qwen2_audio(root / "qwen2_audio")
    save_qwen2_5_omni(root / "qwen2_5_omni")
    save_qwen3_omni(root / "qwen3_omni")
