"""Where a run's time went, and what it cost, from `run.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

_RETRIES = "storage_retries_"
_PHASES = {"carry": "taking over what an earlier run decided", "decide": "deciding", "apply": "writing shards"}
_STAGES = {
    "caption": "captioning",
    "score": "scoring",
    "plan": "planning",
    "edit": "editing",
    "repair": "repairing and writing media",
    "evaluation": "held-out scoring",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """What a client that waited for the run noted down.

    Attributes:
        seconds: wall time by phase; empty: nobody waited for the run.
        stages: stage, calls, busy seconds of all workers together, clips a busy second (None: not known).
        cache: hits and misses of the media store; None: not counted.
        retries: operations on storage that were tried again, by operation.
        tokens: of models behind an endpoint, by what they are.
    """

    seconds: tuple[tuple[str, float], ...]
    stages: tuple[tuple[str, int, float, float | None], ...]
    cache: tuple[int, int] | None
    retries: tuple[tuple[str, int], ...]
    tokens: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> Timings:
        """As `run.json` tells them."""
        seconds: Mapping[str, float] = run.get("seconds") or {}
        parts: Mapping[str, Mapping[str, Any]] = run.get("metrics") or {}
        merged: dict[str, Any] = {}
        for found in parts.values():
            for name, value in found.items():
                merged[name] = _sum(merged.get(name), value)
        hits, misses = merged.get("cache_hits", 0), merged.get("cache_misses", 0)
        return cls(
            seconds=tuple((_PHASES.get(name, name), float(value)) for name, value in seconds.items()),
            stages=tuple(_stages(merged)),
            cache=(hits, misses) if hits + misses else None,
            retries=_counters(merged, _retried),
            tokens=_counters(merged, _spent),
        )

    @property
    def busy(self) -> float:
        """Seconds that workers were at work in all stages together."""
        return sum(seconds for _, _, seconds, _ in self.stages)


def _retried(name: str) -> str | None:
    return name.removeprefix(_RETRIES) if name.startswith(_RETRIES) else None


def _spent(name: str) -> str | None:
    return name if "_tokens_" in name or name.endswith("_requests") else None


def _counters(merged: Mapping[str, Any], named: Callable[[str], str | None]) -> tuple[tuple[str, int], ...]:
    found = ((named(name), value) for name, value in sorted(merged.items()) if isinstance(value, int))
    return tuple((name.replace("_", " "), value) for name, value in found if name and value)


def _sum(before: Any, value: Any) -> Any:
    if before is None:
        return value
    if isinstance(value, Mapping):
        added: dict[str, Any] = {name: before[name] + value[name] for name in ("count", "sum")}
        return added
    return before + value


def _stages(merged: Mapping[str, Any]) -> list[tuple[str, int, float, float | None]]:
    found: list[tuple[str, int, float, float | None]] = []
    for name, spent in merged.items():
        stage = name.removesuffix("_ms")
        if stage == name or stage.endswith("_load") or not isinstance(spent, Mapping):
            continue
        times = cast("Mapping[str, Any]", spent)
        calls, busy = int(times["count"]), float(times["sum"]) / 1000.0
        clips = int(merged.get(f"{stage}_clips", calls))
        found.append((_STAGES.get(stage, stage.replace("_", " ")), calls, busy, clips / busy if busy else None))
    return sorted(found, key=lambda entry: -entry[2])
