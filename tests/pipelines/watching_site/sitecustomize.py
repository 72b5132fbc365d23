"""Python imports this when it starts, worker processes of Beam and decoders too: it notes which runtimes are loaded."""

from __future__ import annotations

import importlib.abc
import os
import sys
from pathlib import Path

_LOG = Path(os.environ["AVAGENT_WATCHED_IMPORTS"])
_WATCHED = frozenset({"onnxruntime", "torch", "transformers", "safetensors", "tensorflow"})


class _Watch(importlib.abc.MetaPathFinder):
    """Notes a package when one of its modules is looked for: that it is installed may be asked without loading it."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        package, _, module = name.partition(".")
        if module and package in _WATCHED:
            with _LOG.open("a", encoding="utf-8") as log:
                log.write(f"{os.getpid()} {package}\n")


sys.meta_path.insert(0, _Watch())
