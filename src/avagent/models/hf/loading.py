"""Where a model's weights come from, and how they get into memory.

Weights are never fetched here: a path is read, a hub id is looked up in the local hub cache, so that a hundred workers
do not download at once and a run cannot change under the recipe. Only safetensors are read, and code that comes with
weights is never run.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from avagent.core.errors import MissingModelError, RecipeError
from avagent.models.hf.checkpoint import MODEL, Checkpoint, Layout, read_checkpoint

INSTALL = "pip install 'avagent[hf]'"
DTYPES = ("auto", "float32", "bfloat16", "float16")
QUANTIZATIONS = ("none", "8bit", "4bit")
_DTYPE_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
_STORED_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2}
_QUANTIZED_BYTES = {"8bit": 1.0, "4bit": 0.5}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_DEVICE = re.compile(r"auto|balanced|cpu|cuda(:\d+)?")

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Which weights, and how they are held in memory: plain values, as recipes give them.

    Attributes:
        model: a folder, or the id of a hub repository (`owner/name`) that lies in the local hub cache.
        revision: the repository's commit, 40 hexadecimal digits; a folder has none.
        dtype: of the weights in memory; `auto`: as stored.
        device: `cpu`, `cuda`, `cuda:N`, `auto` (a GPU if there is one), `balanced` (spread over all GPUs).
        quantization: `none`, `8bit` or `4bit` (by bitsandbytes).

    Raises:
        RecipeError: a value that cannot be; a hub id without a full commit.
        MissingModelError: quantization is asked for and bitsandbytes is not installed.
    """

    model: str
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    quantization: str = "none"

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise RecipeError(f"model must be a folder or a hub id such as owner/name, got {self.model!r}")
        _one_of("dtype", self.dtype, DTYPES)
        _one_of("quantization", self.quantization, QUANTIZATIONS)
        if not isinstance(self.device, str) or not _DEVICE.fullmatch(self.device):
            raise RecipeError(f"device must be cpu, cuda, cuda:N, auto or balanced, got {self.device!r}")
        if self.from_hub and not _COMMIT.fullmatch(str(self.revision)):
            raise RecipeError(
                f"the hub id {self.model!r} needs `revision`, the full commit (40 hexadecimal digits) that you looked"
                f" at: a branch or tag can change under a run; got {self.revision!r}. If a folder is meant, it is not"
                " there"
            )
        if not self.from_hub and self.revision is not None:
            raise RecipeError(f"{self.model!r} is a folder, which has no revision: leave `revision` out")
        if self.quantization != "none" and importlib.util.find_spec("bitsandbytes") is None:
            raise MissingModelError(
                f"quantization {self.quantization!r} needs bitsandbytes: pip install bitsandbytes, or set it to none"
            )

    @property
    def from_hub(self) -> bool:
        """Whether `model` is a hub id: it looks like one, and no folder of that name is here."""
        return bool(_HUB_ID.fullmatch(self.model)) and not Path(self.model).exists()

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.model}@{self.revision}" if self.from_hub else self.model

    def folder(self, layout: Layout = MODEL) -> Path:
        """Where the weights lie.

        Raises:
            MissingModelError: the repository, or this revision of it, is not in the local hub cache.
        """
        if not self.from_hub:
            return Path(self.model).expanduser()
        hub = require("huggingface_hub")
        found = hub.try_to_load_from_cache(self.model, layout.config, revision=self.revision)
        if isinstance(found, str):
            return Path(found).parent
        raise MissingModelError(_not_cached(self.model, str(self.revision)))

    def check(self, model_types: Collection[str] = (), *, architecture: str = "", layout: Layout = MODEL) -> Checkpoint:
        """Examine the weights without a model runtime.

        Args:
            model_types: what `model_type` may be; empty: anything.
            architecture: how one of the named classes must end, such as `ForCausalLM`; empty: anything.
            layout: names of the files; :data:`~avagent.models.hf.checkpoint.ADAPTER` for an adapter.

        Raises:
            RecipeError: another architecture.
            MissingModelError: weights are absent, pickled, or not whole.
        """
        checkpoint = read_checkpoint(self.folder(layout), layout)
        if model_types and checkpoint.model_type not in model_types:
            raise RecipeError(self._wrong(checkpoint, f"model_type {' or '.join(map(repr, sorted(model_types)))}"))
        if architecture and not any(name.endswith(architecture) for name in checkpoint.architectures):
            raise RecipeError(self._wrong(checkpoint, f"an architecture …{architecture}"))
        return checkpoint

    def _wrong(self, checkpoint: Checkpoint, needed: str) -> str:
        classes = ", ".join(checkpoint.architectures) or "no architecture named"
        return f"{self.label} holds a model of type {checkpoint.model_type!r} ({classes}); needed is {needed}"

    def fingerprint(self) -> str:
        """Repository and commit, or model type and digest of the folder (see `Checkpoint.digest`); dtype, quantization.

        Raises:
            MissingModelError: a folder without weights.
        """
        if self.from_hub:
            identity = f"{self.model}@{self.revision}"
        else:
            checkpoint = read_checkpoint(self.folder())
            identity = f"{checkpoint.model_type or 'model'}@{checkpoint.digest()}"
        return f"{identity},{self.dtype},{self.quantization}"

    def memory_bytes(self, checkpoint: Checkpoint, quantization: str | None = None) -> int:
        """Bytes that the weights take in memory, without activations and caches; quantized as said, else as it is."""
        wanted = _QUANTIZED_BYTES.get(quantization or self.quantization) or _DTYPE_BYTES.get(self.dtype)
        return int(sum(n * (wanted or _STORED_BYTES.get(dtype, 1)) for dtype, n in checkpoint.parameters.items()))


def torch_device(device: str) -> str:
    """The device to put tensors on: `cpu` or `cuda:N`.

    Raises:
        MissingModelError: torch is not installed; a GPU is demanded and there is none, or not that many.
    """
    cuda = require("torch").cuda
    count = cuda.device_count() if cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and not count):
        return "cpu"
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        raise MissingModelError(
            f"device {device!r} is demanded, but torch sees {count or 'no'} CUDA device{'s' * (count > 1)} here: set"
            " `device: cpu` or auto, or run where there is one (`avagent doctor` shows what is seen)"
        )
    return f"cuda:{index}"


def load_model(source: ModelSource, class_name: str, *, model_types: Collection[str] = ()) -> Any:
    """The network in evaluation mode, on its device.

    Args:
        source: which weights.
        class_name: of transformers, such as `AutoModelForCausalLM`.
        model_types: as for :meth:`ModelSource.check`.

    Raises:
        RecipeError: another architecture.
        MissingModelError: a library, the weights or the device are absent; weights that do not fill the network.
    """
    checkpoint = source.check(model_types)
    device = torch_device(source.device)
    transformers = require("transformers")
    options: dict[str, Any] = {"device_map": "balanced" if source.device == "balanced" else {"": device}}
    if source.quantization != "none":
        options["quantization_config"] = transformers.BitsAndBytesConfig(**{f"load_in_{source.quantization}": True})
    transformers.utils.logging.disable_progress_bar()  # the terminal is the pipeline's
    try:
        model, report = getattr(transformers, class_name).from_pretrained(
            str(checkpoint.folder),
            dtype=source.dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        if _out_of_memory(error):
            raise
        raise MissingModelError(f"{source.label} cannot be loaded as {class_name}: {error}") from error
    if missing := sorted(report["missing_keys"]):
        raise MissingModelError(
            f"{source.label} lacks {len(missing)} tensors of {class_name}, such as {missing[0]}: the weights belong to"
            " another model or are not complete"
        )
    return model.eval()


def load_processor(source: ModelSource, class_name: str, **options: Any) -> Any:
    """A tokenizer or processor of transformers, from the folder of the weights. Raises MissingModelError."""
    transformers = require("transformers")
    folder = str(source.folder())
    try:
        return getattr(transformers, class_name).from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise MissingModelError(f"{source.label} has no usable {class_name}: {error}") from error


def require(module: str) -> Any:
    """Import a library of the extra `hf`. Raises MissingModelError."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingModelError(
            f"this model needs {module}, which cannot be imported ({error}); run: {INSTALL}"
        ) from error


class Once(Generic[ValueT]):
    """A value made at its first use, once, whichever thread asks; a pickled copy makes its own.

    Args:
        make: picklable (a bound method is), without arguments.
    """

    def __init__(self, make: Callable[[], ValueT]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._values: list[ValueT] = []

    def __call__(self) -> ValueT:
        """The value."""
        with self._lock:
            if not self._values:
                self._values.append(self._make())
            return self._values[0]

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self._make,))


def _out_of_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError"


def _one_of(name: str, value: object, known: Collection[str]) -> None:
    if value not in known:
        raise RecipeError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def _not_cached(model: str, revision: str) -> str:
    constants = require("huggingface_hub.constants")
    cached = Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}" / "snapshots"
    others = sorted(p.name for p in cached.iterdir()) if cached.is_dir() else []
    have = f"it holds revision {', '.join(others[:3])} of it" if others else "it holds no revision of it"
    command = (
        f"hf download {model} --revision {revision} --include '*.json' '*.safetensors' '*.txt' '*.model' '*.jinja'"
    )
    return (
        f"{model} at revision {revision} is not in the local hub cache {constants.HF_HUB_CACHE} ({have});"
        f" AVAgent fetches no weights by itself; run: {command}"
    )
