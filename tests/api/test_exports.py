"""What `import avagent` gives, and what it does not load."""

from __future__ import annotations

import inspect
import subprocess
import sys

import apache_beam as beam
import pytest

import avagent as av
from avagent.core.actions import ACTIONS

NAMES = {
    *("open", "Clips", "Clip", "Plan", "load_recipe", "__version__"),
    *("FillBlanks", "Pitch", "Shift", "SpectralGate", "SpectralSubtraction", "Speed", "Volume", "WaveletDenoise"),
    "WienerFilter",
    *("ReadWebDataset", "ReadTFRecordClips", "CaptionClips", "ScoreClips", "PlanEdits", "ApplyEdits", "ConcludeClips"),
    *("RefineClips", "WriteWebDataset"),
}
BLOCKS = {
    name for name in NAMES if name.startswith(("Read", "Caption", "Score", "PlanE", "Apply", "Conc", "Ref", "Wri"))
}
HEAVY = (
    "apache_beam",
    "torch",
    "transformers",
    "onnxruntime",
    "scipy",
    "numpy",
    "matplotlib",
    "av",
    "pyarrow",
    "pydantic",
)


def test_the_names_are_these():
    assert set(av.__all__) == NAMES
    assert set(dir(av)) >= NAMES
    for name in NAMES:
        assert getattr(av, name) is not None
    assert {cls.__name__ for cls in ACTIONS.values()} <= NAMES


def test_blocks_are_transforms_with_typed_ends():
    assert len(BLOCKS) == 9
    for name in BLOCKS:
        block = getattr(av, name)
        assert issubclass(block, beam.PTransform)
        assert block.__doc__
        hints = inspect.signature(block.expand)
        assert all(p.annotation is not p.empty for p in list(hints.parameters.values())[1:])
        assert hints.return_annotation is not hints.empty


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        _ = av.opne


def loaded_by(*lines: str) -> set[str]:
    script = "\n".join(("import sys", *lines, "print(*sys.modules)"))
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_loads_nothing_heavy():
    assert not loaded_by("import avagent") & set(HEAVY)
    assert not loaded_by("import avagent", "avagent.Shift") & (set(HEAVY) - {"numpy"})


def test_a_look_at_clips_loads_no_beam_and_no_model_runtime():
    lines = ("import avagent", "avagent.open; avagent.Clips; avagent.Clip; avagent.load_recipe")
    assert not loaded_by(*lines) & {"apache_beam", "torch", "transformers", "onnxruntime", "matplotlib"}
