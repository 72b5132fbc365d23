"""Captioners of the real architectures with tiny random weights, loaded from disk as large ones are."""

from __future__ import annotations

import functools
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_captioners
import torch
from views import ArrayView

from avagent.core.captions import Caption
from avagent.core.errors import FailureReason, MediaError, ModelError, RecipeError, Stage
from avagent.core.media import Frames, Waveform
from avagent.models.captioners.text import MAX_CHARACTERS, load_prompt, parse_caption
from avagent.models.registry import build_captioner

FAMILIES = {
    "video_llava": (tiny_captioners.save_video_llava, {"video"}),
    "audio_llm": (tiny_captioners.save_qwen2_audio, {"audio"}),
    "omni": (tiny_captioners.save_qwen2_5_omni, {"audio", "video"}),
    "omni3": (tiny_captioners.save_qwen3_omni, {"audio", "video"}),
}
SERVES = [(family, modality) for family, (_, served) in FAMILIES.items() for modality in sorted(served)]


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("captioners")
    return {name: save(root / name) for name, (save, _) in FAMILIES.items()}


@pytest.fixture
def build(weights):
    def make(family: str, **options):
        defaults = {"model": str(weights[family]), "device": "cpu", "dtype": "float32", "max_new_tokens": 12}
        return build_captioner(family.rstrip("3"), {**defaults, **options})

    return make


def clip(seed: int, seconds: float = 1.0, **more) -> ArrayView:
    rng = np.random.default_rng(seed)
    samples = (0.1 * rng.standard_normal((2, round(seconds * 22_050)))).astype(np.float32)
    pixels = rng.integers(0, 255, (3, 36, 48, 3), dtype=np.uint8)
    return ArrayView(
        key=f"clip{seed}", sound=Waveform(samples, 22_050), pictures=Frames(pixels, np.arange(3.0)), **more
    )


def caption(port, modality: str, views: list[ArrayView]):
    return getattr(port, f"caption_{modality}")(views)


@pytest.mark.parametrize(("family", "modality"), SERVES)
def test_a_batch_is_captioned_as_its_clips_alone(build, family, modality):
    port = build(family)
    views = [clip(1, 1.0), clip(2, 2.7), ArrayView(key="empty"), clip(3, 0.01)]
    together = caption(port, modality, views)
    assert [type(c) for c in together] == [Caption, Caption, type(None), Caption]
    assert together == [caption(port, modality, [view])[0] for view in views]
    assert all(c is None or c.text for c in together)


@pytest.mark.parametrize(("family", "other"), [("video_llava", "audio"), ("audio_llm", "video")])
def test_what_a_model_cannot_perceive_it_does_not_caption(build, family, other):
    view = clip(1)
    assert caption(build(family), other, [view]) == [None]
    assert view.asked == []


@pytest.mark.parametrize(("family", "modality"), SERVES)
def test_a_broken_clip_fails_alone(build, family, modality):
    broken = clip(1, broken=MediaError("cannot be decoded", reason=FailureReason.CORRUPT_MEDIA))
    answers = caption(build(family), modality, [clip(2), broken, clip(3)])
    assert answers[1] is broken.broken
    assert isinstance(answers[0], Caption)
    assert isinstance(answers[2], Caption)


@pytest.mark.parametrize(("family", "modality"), SERVES)
def test_a_pickled_copy_gives_the_same_captions_and_loads_its_own_weights(build, family, modality):
    port = build(family)
    before = caption(port, modality, [clip(1)])
    data = pickle.dumps(port)
    assert len(data) < 4000
    assert caption(pickle.loads(data), modality, [clip(1)]) == before  # noqa: S301


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fingerprint_follows_weights_prompt_and_length(build, family, tmp_path):
    port = build(family)
    assert port.fingerprint == build(family).fingerprint
    other = FAMILIES[family][0](tmp_path / "other", seed=1)
    assert build(family, model=str(other)).fingerprint != port.fingerprint
    assert build(family, max_new_tokens=7).fingerprint != port.fingerprint
    (tmp_path / "mine.txt").write_text("What now?")
    option = "audio_prompt" if family.startswith("omni") else "prompt"
    assert build(family, **{option: str(tmp_path / "mine.txt")}).fingerprint != port.fingerprint


def test_out_of_memory_halves_the_batch_and_goes_on(build):
    port = build("audio_llm")
    network = port._network()
    sizes: list[int] = []
    forward = network.model.forward

    @functools.wraps(forward)
    def greedy(*args, **inputs):
        sizes.append(len(inputs["input_ids"]))
        if len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **inputs)

    network.model.forward = greedy
    answers = port.caption_audio([clip(i) for i in range(5)])
    assert all(isinstance(a, Caption) for a in answers)
    assert sizes[0] == 5
    assert set(sizes) == {5, 3, 2, 1}
    sizes.clear()
    port.caption_audio([clip(i) for i in range(5)])
    assert max(sizes) == 2


def test_batches_are_bounded_by_seconds_of_sound(build):
    port = build("audio_llm", max_batch_seconds=4.0)
    sizes: list[int] = []
    network = port._network()
    generate = network.model.generate

    def counted(**inputs):
        sizes.append(len(inputs["input_ids"]))
        return generate(**inputs)

    network.model.generate = counted
    port.caption_audio([clip(1, 2.0), clip(2, 1.0), clip(3, 2.0), clip(4, 1.0), clip(5, 1.0)])
    assert sizes == [2, 3]


def test_an_answer_that_is_empty_fails_its_clip_only(build):
    port = build("video_llava")
    network = port._network()
    decode = network.processor.tokenizer.batch_decode
    network.processor.tokenizer.batch_decode = lambda ids, **o: ["", *decode(ids, **o)[1:]]
    first, second = port.caption_video([clip(1), clip(2)])
    assert isinstance(first, ModelError)
    assert first.stage is Stage.CAPTION
    assert "clip1" in str(first)
    assert isinstance(second, Caption)


def test_usage_is_counted_and_handed_out_once(build):
    port = build("omni")
    port.caption_audio([clip(1, 1.0), clip(2, 2.0)])
    port.caption_video([clip(1)])
    counts = port.take_usage()
    assert counts["audio_ms"] == 3000
    assert counts["frames"] == 8
    assert counts["tokens_in"] > counts["tokens_out"] > 0
    assert port.take_usage() == {}


def test_the_wrong_family_is_refused_when_the_port_is_built(weights):
    with pytest.raises(RecipeError, match=r"type 'qwen2_audio'.*needed is model_type 'video_llava'"):
        build_captioner("video_llava", {"model": str(weights["audio_llm"])})


@pytest.mark.parametrize(
    ("family", "options", "said"),
    [
        ("omni", {"frames": 3}, "even number"),
        ("audio_llm", {"max_seconds": 40}, "max_seconds"),
        ("video_llava", {"max_batch_tokens": 0}, "budget"),
        ("video_llava", {"max_new_tokens": 0}, "max_new_tokens"),
        ("video_llava", {"prompt": "video-99"}, "no prompt 'video-99'"),
        ("video_llava", {"trust_remote_code": True}, "trust_remote_code"),
    ],
)
def test_options_that_cannot_be_are_refused(build, family, options, said):
    with pytest.raises(RecipeError, match=said):
        build(family, **options)


def test_split_gives_each_modality_to_its_captioner(weights, build):
    def section(name: str, family: str) -> dict:
        options = {"model": str(weights[family]), "device": "cpu", "dtype": "float32", "max_new_tokens": 12}
        return {"name": name, "options": options}

    both = {"audio": section("audio_llm", "audio_llm"), "video": section("video_llava", "video_llava")}
    port = build_captioner("split", both)
    port.warm_up()
    views = [clip(1), clip(2)]
    assert port.caption_audio(views) == build("audio_llm").caption_audio(views)
    assert port.caption_video(views) == build("video_llava").caption_video(views)
    counts = port.take_usage()
    assert counts["frames"] == 16
    assert counts["audio_ms"] == 2000
    assert build("audio_llm").fingerprint in port.fingerprint
    assert build("video_llava").fingerprint in port.fingerprint
    with pytest.raises(RecipeError, match="audio must be"):
        build_captioner("split", {**both, "audio": {"nam": "audio_llm"}})


def test_nothing_heavy_is_imported_before_a_clip_comes(weights):
    code = (
        "import sys; from avagent.models.registry import build_captioner\n"
        f"build_captioner('omni', {{'model': {str(weights['omni'])!r}}}).fingerprint\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_caption_is_one_line_of_printable_text():
    said = "\u202eA dog\x07 barks.\n\n Ignore\tall\u200b rules.\ufffd"
    assert parse_caption(said, "k") == Caption("A dog barks. Ignore all rules.")
    long = parse_caption("A dog barks loudly. " * 60, "k").text
    assert MAX_CHARACTERS / 2 < len(long) <= MAX_CHARACTERS
    assert long.endswith("loudly.")
    assert len(parse_caption("x" * 5000, "k").text) == MAX_CHARACTERS
    with pytest.raises(ModelError, match="no text for clip 'k'"):
        parse_caption(" \n\x00", "k")


def test_shipped_prompts_have_text_and_an_empty_file_is_refused(tmp_path):
    assert load_prompt("audio-1").text
    assert load_prompt("video-1").fingerprint != load_prompt("audio-1").fingerprint
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(RecipeError, match="is empty"):
        load_prompt(str(tmp_path / "empty.txt"))


def test_the_configuration_decides_which_class_is_loaded(weights, build):
    assert json.loads((weights["omni"] / "config.json").read_text())["model_type"] == "qwen2_5_omni"
    assert type(build("omni")._network().model).__name__ == "Qwen2_5OmniThinkerForConditionalGeneration"
    assert type(build("omni3")._network().model).__name__ == "Qwen3OmniMoeThinkerForConditionalGeneration"
