"""Folders with weights, examined without a model runtime: configuration, safetensors headers, sizes, a digest.

The safetensors layout: 8 bytes with the header's length (little-endian), the header (JSON: name to dtype, shape and
byte range), then the tensors' bytes (https://github.com/huggingface/safetensors).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avagent.core.errors import MissingModelError

MAX_HEADER_BYTES = 100 << 20
"""The library's own limit for a header."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
SAMPLES = 64
SAMPLE_BYTES = 16 << 10
_TEXTS = ("*.json", "*.jinja", "*.txt", "*.model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Names of the files in a folder.

    Attributes:
        config: the configuration's name.
        weights: the weights' name, less `.safetensors`.
    """

    config: str
    weights: str


MODEL = Layout(config="config.json", weights="model")
ADAPTER = Layout(config="adapter_config.json", weights="adapter_model")
"""A LoRA adapter as `peft` saves it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A folder whose files are all there and whole.

    Attributes:
        folder: where it lies.
        config: the configuration.
        files: the safetensors files.
        parameters: number of values by dtype as stored (`F32`, `BF16`, ...).
    """

    folder: Path
    config: Mapping[str, Any]
    files: tuple[Path, ...]
    parameters: Mapping[str, int]

    @property
    def model_type(self) -> str:
        """The configuration's `model_type`; empty: it has none."""
        return str(self.config.get("model_type") or "")

    @property
    def architectures(self) -> tuple[str, ...]:
        """The classes that the configuration names."""
        return tuple(self.config.get("architectures") or ())

    @property
    def nbytes(self) -> int:
        """Bytes of weights on disk."""
        return sum(file.stat().st_size for file in self.files)

    def digest(self) -> str:
        """16 hexadecimal digits that tell apart what is in the folder, without reading all of it.

        Hashed in full: configuration, tokenizer, prompts (JSON, Jinja, text). Of each safetensors file: size, header
        and 64 samples of 16 KiB spread evenly over it, since headers do not tell two trainings of one network apart.
        """
        digest = hashlib.sha256()
        for file in sorted({f for pattern in _TEXTS for f in self.folder.glob(pattern)}):
            digest.update(f"{file.name}\n".encode())
            digest.update(file.read_bytes())
        for file in self.files:
            digest.update(f"{file.name}\n{file.stat().st_size}\n".encode())
            for part in _samples(file):
                digest.update(part)
        return digest.hexdigest()[:16]


def read_checkpoint(folder: Path, layout: Layout = MODEL) -> Checkpoint:
    """Examine a folder.

    Raises:
        MissingModelError: there is no such folder, no configuration, no safetensors file, or one is not whole.
    """
    if not folder.is_dir():
        raise MissingModelError(f"there is no folder {folder} with weights; put them there or change the recipe")
    config = read_config(folder, layout)
    files = weight_files(folder, layout)
    parameters: dict[str, int] = {}
    for file in files:
        for dtype, count in _tensors(file):
            parameters[dtype] = parameters.get(dtype, 0) + count
    return Checkpoint(folder=folder, config=config, files=files, parameters=parameters)


def read_config(folder: Path, layout: Layout = MODEL) -> dict[str, Any]:
    """The configuration as a mapping. Raises MissingModelError."""
    file = folder / layout.config
    if not file.is_file():
        raise MissingModelError(
            f"the folder {folder} has no {layout.config}, so it holds no model in the format of transformers"
        )
    return _json_mapping(file)


def weight_files(folder: Path, layout: Layout = MODEL) -> tuple[Path, ...]:
    """The safetensors files, single or as the index lists them. Raises MissingModelError."""
    single = folder / f"{layout.weights}.safetensors"
    if single.is_file():
        return (single,)
    index = folder / f"{layout.weights}.safetensors.index.json"
    if not index.is_file():
        raise MissingModelError(_no_weights(folder, single.name))
    names = sorted({str(name) for name in (_json_mapping(index).get("weight_map") or {}).values()})
    if not names or any(Path(name).name != name for name in names):
        raise MissingModelError(f"{index} lists no usable files: fetch the folder {folder} again")
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise MissingModelError(
            f"{len(absent)} of {len(names)} weight files of {folder} are absent, such as {absent[0]}: fetch them again"
        )
    return tuple(folder / name for name in names)


def _no_weights(folder: Path, wanted: str) -> str:
    pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
    if pickles:
        return (
            f"the folder {folder} holds weights as pickles only ({', '.join(pickles[:3])}), which can run code when"
            f" they are read: convert them to {wanted} (transformers: save_pretrained) or take a revision that has it"
        )
    return f"the folder {folder} has no weights: expected {wanted} or {wanted}.index.json"


def read_header(file: Path) -> dict[str, Any]:
    """A safetensors file's header, after checking that the file is as long as it says.

    Raises:
        MissingModelError: it is shorter or longer, or no safetensors file.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or not 2 <= length <= MAX_HEADER_BYTES:
            raise MissingModelError(f"{file} is no safetensors file ({size} bytes): fetch it again")
        raw = stream.read(length)
    if len(raw) < length:
        raise MissingModelError(f"{file} is truncated inside its header, at {size} bytes: fetch it again")
    try:
        header = json.loads(raw)
        end = max((int(t["data_offsets"][1]) for name, t in header.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise MissingModelError(f"{file} is no safetensors file (its header: {error}): fetch it again") from error
    expected = 8 + length + end
    if size != expected:
        state = "truncated" if size < expected else "too long"
        raise MissingModelError(f"{file} is {state}: {size} bytes, its header promises {expected}; fetch it again")
    return header


def _tensors(file: Path) -> Iterator[tuple[str, int]]:
    """Dtype and number of values of each tensor."""
    for name, tensor in read_header(file).items():
        if name == "__metadata__":
            continue
        count = 1
        for length in tensor["shape"]:
            count *= int(length)
        yield str(tensor["dtype"]), count


def _samples(file: Path) -> Iterator[bytes]:
    """The header and parts spread evenly over the tensors."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        yield stream.read(int.from_bytes(stream.read(8), "little"))
        begin = stream.tell()
        step = max((size - begin) // SAMPLES, SAMPLE_BYTES)
        for offset in range(begin, size, step):
            stream.seek(offset)
            yield stream.read(SAMPLE_BYTES)
        stream.seek(max(begin, size - SAMPLE_BYTES))
        yield stream.read(SAMPLE_BYTES)


def _json_mapping(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise MissingModelError(f"{file} is not JSON ({error}): fetch it again") from error
    if not isinstance(content, dict):
        raise MissingModelError(f"{file} must hold a JSON object, got {type(content).__name__}: fetch it again")
    return content
