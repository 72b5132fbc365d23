"""Each scorer's network, tiny and with random weights, through the path that real weights take."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_scorers import IMAGEBIND, save_all
from views import ArrayView, events, movement

from avagent.core.errors import FailureReason, MediaError, MissingModelError, RecipeError
from avagent.core.media import Frames, Waveform
from avagent.models.hf.loading import ModelSource
from avagent.models.registry import build_scorer
from avagent.models.scorers import imagebind
from avagent.models.scorers.imagebind import sound_clips, without_package_init
from avagent.models.scorers.pictures import prepared
from avagent.models.scorers.texts import read_labels
from avagent.models.scorers.xclip import XClip

NAMES = ("imagebind", "pe_av", "clap_clip", "clap_xclip")
BROKEN = MediaError("the mp4 is truncated", reason=FailureReason.CORRUPT_MEDIA)
UNCALIBRATED = {"uncalibrated": True, "margin_alignment": 0.01, "margin_synchronization": 0.01}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_all(tmp_path_factory.mktemp("weights"))


def build(tiny, name: str, **more):
    return build_scorer(name.replace("clap_xclip", "clap_clip"), {**tiny[name], **UNCALIBRATED, **more})


def clip(key: str = "a", seconds: float = 4.0, seed: int = 0) -> ArrayView:
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * 2)) / 2
    pixels = rng.integers(0, 255, (times.size, 36, 48, 3), dtype=np.uint8)
    at = [0.5, 1.5, 2.5]
    return ArrayView(
        key=key, sound=events(at, seconds, seed=seed), pictures=Frames(pixels, times), movement=movement(at, seconds)
    )


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_the_clips_own(tiny, name: str):
    """Alone or in a batch, again or from a pickled copy; a broken clip takes no other along."""
    scorer = build(tiny, name)
    views = [clip(), ArrayView(key="b", broken=BROKEN), clip("c", 5.0, seed=1)]
    first, broken, last = scorer.score(views)
    assert broken is BROKEN
    copy = pickle.loads(pickle.dumps(scorer))  # noqa: S301  (our own)
    for score, view in ((first, views[0]), (last, views[2])):
        (alone,) = copy.score([view])
        assert alone.alignment == pytest.approx(score.alignment, abs=1e-5)
        assert alone.synchronization == pytest.approx(score.synchronization, abs=1e-5)
    assert first != last
    assert scorer.fingerprint == copy.fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_sound_and_picture_both_count(tiny, name: str):
    scorer = build(tiny, name)
    views = [clip(), replace(clip(), sound=clip(seed=5).sound), replace(clip(), pictures=clip(seed=6).pictures)]
    raw = scorer.raw(views)
    assert len({answer.alignment for answer in raw}) == 3
    assert len({answer.synchronization for answer in raw}) == 3


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_part_of_the_fingerprint(tiny, name: str, tmp_path: Path):
    scorer = build(tiny, name)
    option = {"imagebind": "checkpoint", "pe_av": "model"}.get(name, "picture_model")
    source = Path(tiny[name][option])
    folder = source.parent if source.is_file() else source
    shutil.copytree(folder, tmp_path / "copy")
    target = tmp_path / "copy" / source.name if source.is_file() else tmp_path / "copy"
    same = build(tiny, name, **{option: str(target)})
    assert same.fingerprint == scorer.fingerprint
    weights = target if target.is_file() else target / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-40_000] ^= 1
    weights.write_bytes(data)
    assert build(tiny, name, **{option: str(target)}).fingerprint != scorer.fingerprint
    assert build(tiny, name, window_s=1.0).fingerprint != scorer.fingerprint


def test_imagebind_gives_what_the_package_gives(tiny):
    scorer = build(tiny, "imagebind")
    with without_package_init():
        from imagebind.models.imagebind_model import ImageBindModel  # noqa: PLC0415
    whole = ImageBindModel(**IMAGEBIND).eval()
    whole.load_state_dict(torch.load(tiny["imagebind"]["checkpoint"], weights_only=True))
    view, encoder = clip(), scorer.load()
    with torch.inference_mode():
        heard = whole({"audio": torch.from_numpy(sound_clips(view.sound))[None]})["audio"].numpy()
        seen = whole({"vision": torch.from_numpy(prepared(view.pictures, 224))})["vision"].numpy().mean(axis=0)
    np.testing.assert_allclose(encoder.sounds([view.sound]), heard, rtol=1e-4)
    np.testing.assert_allclose(encoder.pictures([view.pictures])[0], seen, rtol=1e-4, atol=1e-6)


def test_imagebind_reads_safetensors_too(tiny, tmp_path: Path):
    from safetensors.torch import save_file  # noqa: PLC0415

    weights = torch.load(tiny["imagebind"]["checkpoint"], weights_only=True)
    save_file({k: v.contiguous().clone() for k, v in weights.items()}, tmp_path / "tiny.safetensors")
    (tmp_path / "tiny.json").write_text(json.dumps(IMAGEBIND))
    again = build(tiny, "imagebind", checkpoint=str(tmp_path / "tiny.safetensors"))
    assert again.score([clip()]) == build(tiny, "imagebind").score([clip()])


def test_imagebinds_licence_is_said(tiny, caplog):
    imagebind._say_licence.cache_clear()
    with caplog.at_level(logging.WARNING):
        build(tiny, "imagebind")
        build(tiny, "imagebind")
    assert caplog.text.count("CC BY-NC 4.0") == 1


def test_importing_imagebind_leaves_its_package_alone(tiny):
    build(tiny, "imagebind").warm_up()
    assert "imagebind" not in imagebind.sys.modules


def test_pictures_are_prepared_as_pillow_does(tiny):
    from PIL import Image  # noqa: PLC0415

    pixels = np.kron(np.random.default_rng(0).integers(0, 255, (1, 30, 45, 3)), np.ones((1, 12, 12, 1))).astype(
        np.uint8
    )
    image = Image.fromarray(pixels[0]).resize((336, 224), Image.Resampling.BICUBIC).crop((56, 0, 280, 224))
    mean, spread = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    expected = ((np.asarray(image) / 255.0 - mean) / spread).transpose(2, 0, 1)
    assert np.abs(prepared(Frames(pixels, np.zeros(1)), 224)[0] - expected).max() < 2.5 / 255 / spread.min()


def test_long_sounds_are_heard_whole_and_without_chance(tiny):
    """CLAP's own front end takes a random part of what is longer than it hears at once."""
    encoder = build(tiny, "clap_clip").load()
    sound = events([0.5, 3.5, 6.5], 7.0)
    np.testing.assert_array_equal(encoder.sounds([sound]), encoder.sounds([sound]))
    other = Waveform(np.concatenate([sound.samples[:, : 4 * 16_000], events([1.0], 3.0).samples], axis=1), 16_000)
    assert not np.allclose(encoder.sounds([sound]), encoder.sounds([other]), atol=1e-7)


def test_label_vectors_are_unit_and_follow_the_recipes_list(tiny, tmp_path: Path):
    labels = tmp_path / "labels.txt"
    labels.write_text("a dog\na cat\n\na dog\nrain\n", encoding="utf-8")
    assert read_labels(str(labels)) == ("a dog", "a cat", "rain")
    encoder = build(tiny, "clap_clip", labels=str(labels)).load()
    seen = encoder.pictures([clip().pictures])
    assert seen.shape == (1, 3)
    np.testing.assert_allclose(np.square(seen).sum(axis=1), 1.0, rtol=1e-5)
    assert build(tiny, "clap_clip", labels=str(labels)).fingerprint != build(tiny, "clap_clip").fingerprint


def test_xclip_compares_a_video_with_captions(tiny):
    network = XClip(ModelSource(model=tiny["clap_xclip"]["picture_model"], device="cpu"))
    found = network.similarities(clip().pictures, ["a dog barks", "rain falls on a road", "a dog barks"])
    assert found.shape == (3,)
    assert np.abs(found).max() <= 1.0 + 1e-6
    assert found[0] == pytest.approx(found[2], abs=1e-6)
    assert found[0] != pytest.approx(found[1], abs=1e-6)


def damaged(tiny, name: str, option: str, folder: Path, damage) -> dict[str, str]:
    source = Path(tiny[name][option])
    shutil.copytree(source.parent if source.is_file() else source, folder / "weights")
    target = folder / "weights" / source.name if source.is_file() else folder / "weights"
    damage(target)
    return {option: str(target)}


def halve(folder: Path) -> None:
    file = folder if folder.is_file() else folder / "model.safetensors"
    os.truncate(file, file.stat().st_size // 2)


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("evil",))


BAD = {
    "no folder": ("pe_av", "model", shutil.rmtree, MissingModelError, "no folder"),
    "no weights": ("pe_av", "model", lambda f: (f / "model.safetensors").unlink(), MissingModelError, "no weights"),
    "truncated PE-AV": ("pe_av", "model", halve, MissingModelError, "truncated"),
    "truncated CLAP": ("clap_clip", "audio_model", halve, MissingModelError, "truncated"),
    "truncated X-CLIP": ("clap_xclip", "picture_model", halve, MissingModelError, "truncated"),
    "no checkpoint": ("imagebind", "checkpoint", Path.unlink, MissingModelError, "no checkpoint"),
    "truncated checkpoint": ("imagebind", "checkpoint", halve, MissingModelError, "cannot be read as weights"),
    "a pickle with code": (
        "imagebind",
        "checkpoint",
        lambda f: torch.save(Evil(), f),
        MissingModelError,
        "cannot be read as weights",
    ),
    "not tensors": (
        "imagebind",
        "checkpoint",
        lambda f: torch.save({"a": 1}, f),
        MissingModelError,
        "no state dictionary",
    ),
    "other sizes": (
        "imagebind",
        "checkpoint",
        lambda f: f.with_suffix(".json").write_text(json.dumps({**IMAGEBIND, "out_embed_dim": 32})),
        RecipeError,
        "do not fit",
    ),
    "unknown sizes": (
        "imagebind",
        "checkpoint",
        lambda f: f.with_suffix(".json").write_text('{"colour": 1}'),
        RecipeError,
        "none of ImageBind's",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_unusable_weights_are_named(tiny, tmp_path: Path, monkeypatch, case: str):
    name, option, damage, error, said = BAD[case]
    options = damaged(tiny, name, option, tmp_path, damage)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said):
        build(tiny, name, **options).warm_up()
    assert not (tmp_path / "evil").exists()


WRONG = {
    "CLIP for PE-AV": ("pe_av", {"model": ("clap_clip", "picture_model")}),
    "CLIP for CLAP": ("clap_clip", {"audio_model": ("clap_clip", "picture_model")}),
    "CLAP for CLIP": ("clap_clip", {"picture_model": ("clap_clip", "audio_model")}),
}


@pytest.mark.parametrize("case", WRONG)
def test_another_architecture_is_refused(tiny, case: str):
    name, options = WRONG[case]
    with pytest.raises(RecipeError, match="holds a model of type"):
        build(tiny, name, **{option: tiny[other][which] for option, (other, which) in options.items()})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_that_is_demanded_must_be_there(tiny, name: str):
    with pytest.raises(MissingModelError, match="is demanded"):
        build(tiny, name, device="cuda").warm_up()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("imagebind", {"checkpoint": ""}, "needs the option"),
        ("imagebind", {"dtype": "int8"}, "dtype must be"),
        ("clap_clip", {"labels": "/nowhere/labels.txt"}, "cannot be read"),
    ],
)
def test_options_that_cannot_be_are_refused(tiny, name: str, options, said: str):
    with pytest.raises(RecipeError, match=said):
        build(tiny, name, **options)
