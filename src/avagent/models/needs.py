"""What a recipe's model needs of a machine: packages, weights, memory, terms; looked up without a model runtime.

Ports check all this when they are built, and stop at the first thing missing; here everything is listed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avagent.core.errors import AVAgentError
from avagent.models.hf.checkpoint import ADAPTER, read_checkpoint, read_header
from avagent.models.hf.loading import ModelSource
from avagent.models.llm.adapters import adapter_folder

_HF = "pip install 'avagent[hf]'"
_IMAGEBIND = "pip install 'avagent[imagebind]' && pip install --no-deps -r requirements/imagebind.txt"
_SYNCNET = "pip install 'avagent[hf]' && pip install --no-deps -r requirements/syncnet.txt"
_PACKAGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "video_llava": (_HF, ("torch", "transformers", "accelerate", "torchvision")),
    "audio_llm": (_HF, ("torch", "transformers", "accelerate")),
    "omni": (_HF, ("torch", "transformers", "accelerate", "torchvision")),
    "llm": (_HF, ("torch", "transformers", "accelerate", "sentencepiece")),
    "pe_av": (_HF, ("torch", "transformers", "accelerate", "timm", "torchvision")),
    "clap_clip": (_HF, ("torch", "transformers", "accelerate")),
    "caption_xclip": (_HF, ("torch", "transformers", "accelerate")),
    "imagebind": (_IMAGEBIND, ("torch", "timm", "einops", "ftfy", "iopath", "regex", "imagebind")),
    "syncnet": (_SYNCNET, ("torch", "syncnet_python")),
    "remote": ("pip install 'avagent[remote]'", ("openai",)),
}
_TERMS: Mapping[str, str] = {
    "LanguageBind/Video-LLaVA": "Video-LLaVA: Llama 2 Community License, research preview; terms of its training data",
    "lmsys/vicuna": "Vicuna: Llama 2 Community License, and the terms of its training data",
    "Qwen/Qwen2-Audio": "Qwen2-Audio: Apache-2.0",
    "Qwen/Qwen2.5-Omni-7B": "Qwen2.5-Omni-7B: Apache-2.0",
    "Qwen/Qwen3-Omni": "Qwen3-Omni: Apache-2.0",
    "Qwen/Qwen2.5-7B": "Qwen2.5-7B: Apache-2.0",
    "facebook/pe-av": "PE-AV: Apache-2.0",
    "syncnet": "SyncNet: weights for research, CC BY; code MIT and Apache-2.0",
    "imagebind": "ImageBind: weights CC BY-NC 4.0, code CC BY-NC-SA 4.0: research use only",
}
"""By the beginning of a hub id, or the name of an implementation; see `docs/licences.md`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that a model needs.

    Attributes:
        subject: what.
        met: whether it is there; None: nothing to be met, but worth knowing.
        detail: what was found, or what to do.
        memory_bytes: that the weights take, if that could be told.
        device: that they go to, as the recipe says.
    """

    subject: str
    met: bool | None
    detail: str
    memory_bytes: int = 0
    device: str = ""


def model_needs(name: str, options: Mapping[str, Any]) -> Iterator[Need]:
    """What the implementation `name` needs with these options; nothing for one that tells by itself when it is built.

    Args:
        name: as registered.
        options: as in the recipe; sections of other captioners in them are looked into.
    """
    for part in options.values():
        if isinstance(part, Mapping) and isinstance(part.get("name"), str):
            yield from model_needs(part["name"], part.get("options") or {})
    if name in _PACKAGES:
        yield _packages(name, options)
    if name in _PACKAGES and name != "remote" and isinstance(options.get("model"), str):
        yield _weights(name, options)
    if isinstance(options.get("adapter"), str):
        yield _adapter(name, options["adapter"])
    if isinstance(options.get("checkpoint"), str):
        yield _file(name, Path(options["checkpoint"]).expanduser(), str(options.get("device", "auto")))
    if isinstance(options.get("api_key_env"), str):
        known = bool(os.environ.get(options["api_key_env"]))
        detail = "set" if known else "not set: it must hold the endpoint's key"
        yield Need(subject=f"{name}: variable {options['api_key_env']}", met=known, detail=detail)
    yield from _terms(name, options)


def _packages(name: str, options: Mapping[str, Any]) -> Need:
    remedy, packages = _PACKAGES[name]
    if name == "llm" and options.get("adapter"):
        packages = (*packages, "peft")
    if options.get("quantization", "none") != "none":
        packages, remedy = (*packages, "bitsandbytes"), f"{remedy} bitsandbytes"
    absent = [package for package in packages if importlib.util.find_spec(package) is None]
    detail = f"absent: {', '.join(absent)}; run: {remedy}" if absent else ", ".join(packages)
    return Need(subject=f"{name}: packages", met=not absent, detail=detail)


def _weights(name: str, options: Mapping[str, Any]) -> Need:
    known = {key: options[key] for key in ("model", "revision", "dtype", "device") if key in options}
    subject = f"{name}: weights {options['model']}"
    try:
        source = ModelSource(**known)
        checkpoint = source.check()
    except AVAgentError as error:
        return Need(subject=subject, met=False, detail=f"{error}; expected: {_expected(str(options['model']))}")
    quantization = str(options.get("quantization", "none"))
    memory = source.memory_bytes(checkpoint, quantization)
    detail = f"{checkpoint.folder}, {_size(checkpoint.nbytes)} on disk, {_size(memory)} in memory as {source.dtype}"
    return Need(subject=subject, met=True, detail=detail, memory_bytes=memory, device=source.device)


def _expected(model: str) -> str:
    """Where weights are looked for."""
    if importlib.util.find_spec("huggingface_hub") is None or Path(model).is_absolute():
        return f"a folder {model}"
    cache = importlib.import_module("huggingface_hub.constants").HF_HUB_CACHE
    return f"a folder {model}, or that repository in {cache}"


def _adapter(name: str, adapter: str) -> Need:
    subject = f"{name}: adapter"
    try:
        folder = adapter_folder(adapter)
        return Need(subject=subject, met=True, detail=f"{folder}, {_size(read_checkpoint(folder, ADAPTER).nbytes)}")
    except AVAgentError as error:
        return Need(subject=subject, met=False, detail=str(error))


def _file(name: str, file: Path, device: str) -> Need:
    subject = f"{name}: checkpoint"
    if not file.is_file():
        return Need(subject=subject, met=False, detail=f"expected at {file}: there is no such file")
    size = file.stat().st_size
    if file.suffix == ".safetensors":
        try:
            read_header(file)
        except AVAgentError as error:
            return Need(subject=subject, met=False, detail=str(error))
    return Need(subject=subject, met=True, detail=f"{file}, {_size(size)}", memory_bytes=size, device=device)


def _terms(name: str, options: Mapping[str, Any]) -> Iterator[Need]:
    for start, terms in _TERMS.items():
        if name == start or str(options.get("model", "")).startswith(start):
            yield Need(subject=f"{name}: licence", met=None, detail=terms)


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB" if nbytes >= 1 << 27 else f"{nbytes / 2**20:.1f} MiB"
