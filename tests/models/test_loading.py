"""Weights on disk: what is refused, and that what is loaded is what was saved."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from avagent.core.errors import MissingModelError, RecipeError
from avagent.models.hf import loading
from avagent.models.hf.checkpoint import ADAPTER, read_checkpoint
from avagent.models.hf.loading import ModelSource, Once, load_model, load_processor, torch_device

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    """A tiny Llama with random weights."""
    return save_llama(tmp_path_factory.mktemp("llama") / "tiny", seed=0)


def save_llama(folder: Path, *, seed: int, **options: object) -> Path:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlamaConfig(vocab_size=64, **sizes)
    transformers.LlamaForCausalLM(config).save_pretrained(folder, **options)
    return folder


def copy(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def test_what_is_loaded_is_what_was_saved(llama: Path):
    source = ModelSource(model=str(llama), dtype="float32", device="cpu")
    model = load_model(source, "AutoModelForCausalLM", model_types={"llama"})
    torch.manual_seed(0)
    expected = transformers.LlamaForCausalLM(model.config).state_dict()
    assert not model.training
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_dtype_is_the_recipes(llama: Path, dtype: str):
    source = ModelSource(model=str(llama), dtype=dtype, device="cpu")
    assert load_model(source, "AutoModelForCausalLM").dtype == getattr(torch, dtype)
    checkpoint = source.check()
    assert source.memory_bytes(checkpoint) * 2 == ModelSource(model=str(llama)).memory_bytes(checkpoint)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "owner/name"}, "full commit"),
        ({"model": "owner/name", "revision": "main"}, "full commit"),
        ({"model": "owner/name", "revision": COMMIT[:12]}, "full commit"),
        ({"model": "/nowhere", "revision": COMMIT}, "has no revision"),
        ({"model": ""}, "model must be"),
        ({"model": "/nowhere", "dtype": "int3"}, "dtype must be one of"),
        ({"model": "/nowhere", "device": "tpu"}, "device must be"),
        ({"model": "/nowhere", "quantization": "2bit"}, "quantization must be one of"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, str], said: str):
    with pytest.raises(RecipeError, match=said):
        ModelSource(**options)


def test_a_folder_that_is_not_there_is_named():
    with pytest.raises(MissingModelError, match=r"no folder /nowhere/at/all"):
        ModelSource(model="/nowhere/at/all").check()


def test_a_folder_without_weights_is_refused(llama: Path, tmp_path: Path):
    folder = copy(llama, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingModelError, match=r"expected model\.safetensors"):
        ModelSource(model=str(folder)).check()
    (folder / "config.json").unlink()
    with pytest.raises(MissingModelError, match=r"no config\.json"):
        ModelSource(model=str(folder)).check()


def test_pickles_are_refused_by_name(llama: Path, tmp_path: Path):
    folder = copy(llama, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(MissingModelError, match=r"pickles only \(pytorch_model\.bin\)"):
        ModelSource(model=str(folder)).check()


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_a_truncated_file_is_told_before_loading(llama: Path, tmp_path: Path, kept: int):
    folder = copy(llama, tmp_path / "model")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(MissingModelError, match=r"model\.safetensors is (truncated|no safetensors)"):
        ModelSource(model=str(folder)).check()


@pytest.mark.parametrize("header", [b"[]", b"{x}", b'{"a": 3}', b'{"a": {"data_offsets": []}}'])
def test_a_header_that_is_none_is_refused(llama: Path, tmp_path: Path, header: bytes):
    folder = copy(llama, tmp_path / "model")
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(MissingModelError, match="no safetensors file"):
        ModelSource(model=str(folder)).check()


def test_shards_that_the_index_lists_must_be_there(tmp_path: Path):
    folder = save_llama(tmp_path / "sharded", seed=0, max_shard_size="4KB")
    files = read_checkpoint(folder).files
    assert len(files) > 1
    files[-1].unlink()
    with pytest.raises(MissingModelError, match=files[-1].name):
        ModelSource(model=str(folder)).check()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    with pytest.raises(MissingModelError, match="no usable files"):
        ModelSource(model=str(folder)).check()


def test_another_architecture_is_named_with_the_one_needed(llama: Path):
    with pytest.raises(RecipeError, match=r"type 'llama' \(LlamaForCausalLM\); needed is model_type 'video_llava'"):
        ModelSource(model=str(llama)).check({"video_llava"})
    with pytest.raises(RecipeError, match="needed is an architecture …ForSpeech"):
        ModelSource(model=str(llama)).check(architecture="ForSpeech")


def test_weights_that_do_not_fill_the_network_are_refused(llama: Path, tmp_path: Path):
    folder = copy(llama, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))
    with pytest.raises(MissingModelError, match=r"lacks \d+ tensors"):
        load_model(ModelSource(model=str(folder), device="cpu"), "AutoModelForCausalLM")


def test_an_absent_tokenizer_is_named(llama: Path):
    with pytest.raises(MissingModelError, match="no usable AutoTokenizer"):
        load_processor(ModelSource(model=str(llama)), "AutoTokenizer")


def test_a_gpu_that_is_not_there_is_told(llama: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_device("auto") == "cpu"
    with pytest.raises(MissingModelError, match="torch sees no CUDA device"):
        load_model(ModelSource(model=str(llama), device="cuda"), "AutoModelForCausalLM")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert torch_device("auto") == "cuda:0"
    assert torch_device("cuda:1") == "cuda:1"
    with pytest.raises(MissingModelError, match="torch sees 2 CUDA devices"):
        torch_device("cuda:2")


def test_quantization_without_its_library_names_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingModelError, match="pip install bitsandbytes"):
        ModelSource(model="/nowhere", quantization="4bit")


def test_a_hub_id_is_read_from_the_cache_only(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    source = ModelSource(model="owner/name", revision=COMMIT, device="cpu")
    with pytest.raises(MissingModelError, match=f"holds no revision.*hf download owner/name --revision {COMMIT}"):
        source.check()
    other = "f" * 40
    copy(llama, tmp_path / "models--owner--name" / "snapshots" / other)
    with pytest.raises(MissingModelError, match=f"holds revision {other}"):
        source.check()
    found = ModelSource(model="owner/name", revision=other, device="cpu")
    assert found.check({"llama"}).folder.name == other
    assert found.fingerprint() == f"owner/name@{other},auto,none"
    assert load_model(found, "AutoModelForCausalLM").config.model_type == "llama"


def test_the_fingerprint_tells_trainings_apart_and_not_places(llama: Path, tmp_path: Path):
    here = ModelSource(model=str(llama)).fingerprint()
    assert here.startswith("llama@")
    assert ModelSource(model=str(copy(llama, tmp_path / "elsewhere"))).fingerprint() == here
    assert ModelSource(model=str(llama), device="cpu").fingerprint() == here
    assert ModelSource(model=str(llama), dtype="bfloat16").fingerprint() != here
    assert ModelSource(model=str(save_llama(tmp_path / "other", seed=1))).fingerprint() != here


def test_an_adapter_is_examined_by_its_own_names(llama: Path, tmp_path: Path):
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(MissingModelError, match=r"expected adapter_model\.safetensors"):
        read_checkpoint(tmp_path, ADAPTER)
    shutil.copy(llama / "model.safetensors", tmp_path / "adapter_model.safetensors")
    assert read_checkpoint(tmp_path, ADAPTER).config["peft_type"] == "LORA"


def test_checks_need_no_model_runtime(llama: Path):
    code = (
        "import sys; from avagent.models.hf.loading import ModelSource\n"
        f"source = ModelSource(model={str(llama)!r}); source.check(); source.fingerprint()\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def make_list() -> list[int]:
    return [1]


def test_a_value_is_made_once_and_not_pickled():
    once = Once(make_list)
    assert once() is once()
    copied = pickle.loads(pickle.dumps(once))  # noqa: S301
    assert copied() == [1]
    assert copied() is not once()
