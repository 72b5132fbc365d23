"""Weights from a GGUF file, which are turned into safetensors once and kept.

Turning them takes half a minute for 135M parameters in Python, reading what was kept a second; every worker process
needs them. The copy lies beside the hub's cache, under the hash of the file.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import struct
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from avagent.core.errors import MissingModelError
from avagent.models.hf.checkpoint import read_checkpoint
from avagent.models.hf.loading import require

MAGIC = b"GGUF"
REVISION = 1
"""Raised with every change of what is kept."""

_READING_ERRORS = (OSError, ValueError, RuntimeError, IndexError, KeyError, TypeError, ImportError, struct.error)
_log = logging.getLogger(__name__)


def check_gguf(path: Path) -> None:
    """See that the file is there and begins as it should. Raises MissingModelError."""
    if not path.is_file():
        raise MissingModelError(f"there is no GGUF file {path}: put it there or change the recipe")
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise MissingModelError(f"{path} is no GGUF file: fetch it again")


def gguf_sha256(path: Path) -> str:
    """Hash of the file's bytes, 64 hexadecimal digits."""
    status = path.stat()
    return _sha256(path, (status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=8)
def _sha256(path: Path, _version: tuple[int, int]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def converted(path: Path, dtype: str, cache: Path | None = None) -> Path:
    """The folder with the same model and tokenizer as safetensors, made where it is not there yet.

    Args:
        path: the GGUF file.
        dtype: of the weights that are kept: `float32`, `bfloat16` or `float16`.
        cache: where; None: `avagent` in the hub's home folder, else a folder of this process.

    Raises:
        MissingModelError: the file is damaged, or of a kind that transformers does not know.
    """
    cache = cache or Path(require("huggingface_hub.constants").HF_HOME) / "avagent"
    folder = cache / f"gguf-{gguf_sha256(path)[:16]}-{dtype}-{REVISION}"
    if _whole(folder):
        return folder
    made = _room(cache)
    _convert(path, dtype, made)
    try:
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    except OSError:  # another process was quicker, or the cache cannot be written
        return folder if _whole(folder) else made
    return folder


def _whole(folder: Path) -> bool:
    try:
        read_checkpoint(folder)
    except MissingModelError:
        return False
    return (folder / "tokenizer.json").is_file()


def _room(cache: Path) -> Path:
    """A new folder beside the kept ones, or anywhere if they are read-only."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="making-", dir=cache))
    except OSError as error:
        _log.warning("%s cannot be written (%s): GGUF weights are converted for every process anew", cache, error)
        return Path(tempfile.mkdtemp(prefix="avagent-gguf-"))


def _convert(path: Path, dtype: str, folder: Path) -> None:
    """Write config, weights and tokenizer."""
    transformers = require("transformers")
    require("gguf")
    options: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    try:
        network = transformers.AutoModelForCausalLM.from_pretrained(str(path.parent), dtype=dtype, **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(path.parent), **options)
        settings = {k: v for k, v in network.config.to_dict().items() if k != "quantization_config"}
        plain = type(network)(type(network.config)(**settings)).to(network.dtype)
        plain.load_state_dict(network.state_dict())
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except _READING_ERRORS as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise MissingModelError(f"{path} cannot be loaded ({error}): it is damaged, or of another kind") from error
