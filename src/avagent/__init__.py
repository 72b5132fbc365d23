"""AVAgent: repairs the sound of audio-visual clips so that it fits, and keeps time with, the picture.

For notebooks and pipelines of one's own, all from here: `open` gives the clips of shards; the actions edit them;
`ReadWebDataset`, `CaptionClips`, `RefineClips` and the others are Beam transforms. What a name needs is loaded when the
name is used: importing this costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avagent.api.blocks import (
        ApplyEdits,
        CaptionClips,
        ConcludeClips,
        PlanEdits,
        ReadTFRecordClips,
        ReadWebDataset,
        RefineClips,
        ScoreClips,
        WriteWebDataset,
    )
    from avagent.api.clip import Clip
    from avagent.api.clips import Clips
    from avagent.api.clips import open_clips as open  # noqa: A004  (`av.open`, as of files)
    from avagent.core.actions import (
        FillBlanks,
        Pitch,
        Shift,
        SpectralGate,
        SpectralSubtraction,
        Speed,
        Volume,
        WaveletDenoise,
        WienerFilter,
    )
    from avagent.core.plan import Plan
    from avagent.pipelines.recipe import load_recipe

__version__ = "0.1.0"

_BLOCKS, _ACTIONS = "avagent.api.blocks", "avagent.core.actions"
_PLACES = {
    "ApplyEdits": _BLOCKS,
    "CaptionClips": _BLOCKS,
    "Clip": "avagent.api.clip",
    "Clips": "avagent.api.clips",
    "ConcludeClips": _BLOCKS,
    "FillBlanks": _ACTIONS,
    "Pitch": _ACTIONS,
    "Plan": "avagent.core.plan",
    "PlanEdits": _BLOCKS,
    "ReadTFRecordClips": _BLOCKS,
    "ReadWebDataset": _BLOCKS,
    "RefineClips": _BLOCKS,
    "ScoreClips": _BLOCKS,
    "Shift": _ACTIONS,
    "SpectralGate": _ACTIONS,
    "SpectralSubtraction": _ACTIONS,
    "Speed": _ACTIONS,
    "Volume": _ACTIONS,
    "WaveletDenoise": _ACTIONS,
    "WienerFilter": _ACTIONS,
    "WriteWebDataset": _BLOCKS,
    "load_recipe": "avagent.pipelines.recipe",
    "open": "avagent.api.clips",
}
"""Name -> the module that has it."""

__all__ = [
    "ApplyEdits",
    "CaptionClips",
    "Clip",
    "Clips",
    "ConcludeClips",
    "FillBlanks",
    "Pitch",
    "Plan",
    "PlanEdits",
    "ReadTFRecordClips",
    "ReadWebDataset",
    "RefineClips",
    "ScoreClips",
    "Shift",
    "SpectralGate",
    "SpectralSubtraction",
    "Speed",
    "Volume",
    "WaveletDenoise",
    "WienerFilter",
    "WriteWebDataset",
    "__version__",
    "load_recipe",
    "open",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_PLACES[name]), "open_clips" if name == "open" else name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
