"""Beam's RunInference without its model manager, which we do not use and which imports torch wherever it is installed.

That would cost every run 2 s and 580 MiB, those without torch models as well. Beam itself goes on without the manager.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager

_MANAGER = "apache_beam.ml.inference.model_manager"


@contextmanager
def _left_out(module: str) -> Generator[None]:
    """The module cannot be imported in here, unless it was before."""
    absent = module not in sys.modules
    if absent:
        sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[module]


with _left_out(_MANAGER):
    from apache_beam.ml.inference.base import ModelHandler, RunInference

__all__ = ["ModelHandler", "RunInference"]
