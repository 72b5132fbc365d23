"""Trials of the judgement of time, and shares of them with their intervals (Efron 1979), for benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from avagent.core.actions import Action, Shift, Speed
from avagent.core.media import Waveform
from avagent.core.time_judgement import TimeJudgement
from avagent.dsp.actions.edit import DspEditor

SHIFTS_MS = (-400.0, -200.0, 200.0, 400.0)
TEMPOS = (0.85, 0.93, 1.08, 1.18)
REPAIRED_MS, TEMPO_ERROR = 80.0, 0.01
RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One clip under one condition.

    Attributes:
        source: film or recording that it comes from; intervals go by it.
        truth_ms: lag that was put in.
        tempo: that was put in.
        found: the judgement.
    """

    source: str
    truth_ms: float
    tempo: float
    found: TimeJudgement

    @property
    def repaired(self) -> bool:
        """Whether the edit that is called for is the right one."""
        found = self.found
        if not found.calls_for_an_edit:
            return False
        if self.tempo != 1.0:
            return abs(found.tempo / self.tempo - 1.0) <= TEMPO_ERROR
        return found.tempo == 1.0 and abs(found.lag_ms - self.truth_ms) <= REPAIRED_MS


def interval(values: Sequence[float], sources: Sequence[str]) -> tuple[float, float]:
    """Of the mean: 95%, resampling sources."""
    groups = {s: [v for v, t in zip(values, sources, strict=True) if t == s] for s in sorted(set(sources))}
    sums = np.array([sum(g) for g in groups.values()])
    counts = np.array([len(g) for g in groups.values()])
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


def share(trials: Sequence[Trial], of: Callable[[Trial], bool]) -> dict[str, object]:
    """How many, of how many, and the interval of the share."""
    if not trials:
        return {"count": 0, "of": 0, "share": None, "interval": None}
    values = [float(of(t)) for t in trials]
    return {
        "count": int(sum(values)),
        "of": len(values),
        "share": round(float(np.mean(values)), 4),
        "interval": [round(v, 4) for v in interval(values, [t.source for t in trials])],
    }


def fault(lag_ms: float, tempo: float) -> tuple[Action, ...]:
    """What gives a sound that is in time another lag or tempo."""
    if tempo != 1.0:
        return (Speed(factor=tempo, mode="resample"),)
    return (Shift(milliseconds=lag_ms),) if lag_ms else ()


def moved(sound: Waveform, lag_ms: float, tempo: float) -> Waveform:
    """The sound at another lag or tempo."""
    actions = fault(lag_ms, tempo)
    return DspEditor().edit(sound, actions) if actions else sound


def conditions() -> Iterator[tuple[float, float]]:
    """Lag in ms and tempo: as it is, moved, at other tempos."""
    yield 0.0, 1.0
    yield from ((ms, 1.0) for ms in SHIFTS_MS)
    yield from ((0.0, tempo) for tempo in TEMPOS)
