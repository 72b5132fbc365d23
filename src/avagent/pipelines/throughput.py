"""How quick each model stage was, from a phase's metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_RATES = {"clips": ("clips", 1.0), "tokens_in": ("tokens_in", 1.0), "tokens_out": ("tokens_out", 1.0),
          "audio_s": ("audio_ms", 0.001), "frames": ("frames", 1.0), "requests": ("requests", 1.0)}  # fmt: skip


def stage_throughput(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Per model stage: seconds that workers were busy with it, and what they got done in a busy second.

    Args:
        metrics: of a phase, as `run.json` holds them: `STAGE_clips` and such are counts, `STAGE_ms` a distribution of
            the batches' wall times.

    Returns:
        Of each stage `busy_s`, `clips_per_s`, and what else its model counts: `tokens_out_per_s`, `audio_s_per_s`, ...
    """
    found: dict[str, dict[str, float]] = {}
    for name, spent in metrics.items():
        stage = name.removesuffix("_ms")
        if stage == name or not isinstance(spent, Mapping) or f"{stage}_clips" not in metrics:
            continue
        busy = spent["sum"] / 1000
        rates = {
            f"{rate}_per_s": round(metrics[f"{stage}_{counter}"] * unit / busy, 3)
            for rate, (counter, unit) in _RATES.items()
            if busy and metrics.get(f"{stage}_{counter}")
        }
        found[stage] = {"busy_s": round(busy, 3), **rates}
    return found
