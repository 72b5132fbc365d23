"""Python imports this when it starts, worker processes of Beam too: recipes may name the ports `scripted`."""

from __future__ import annotations

import importlib.abc
import os
import sys

from avagent.models import registry


class _NoModelRuntime(importlib.abc.MetaPathFinder):
    """Beam's inference module imports any model runtime that it finds, which takes longer than a scripted run."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name in ("torch", "transformers", "tensorflow"):
            raise ModuleNotFoundError(f"{name} is left out", name=name)


sys.meta_path.insert(0, _NoModelRuntime())
for known, port in (("CAPTIONERS", "Captioner"), ("PLANNERS", "Planner"), ("SCORERS", "Scorer")):
    setattr(registry, known, {**getattr(registry, known), "scripted": f"scripted_ports:Scripted{port}"})

if "AVAGENT_SCRIPTED_LOSES" in os.environ:
    import losing  # noqa: F401  (makes graphs of this process lose something)
