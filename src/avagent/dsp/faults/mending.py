"""Which actions mend a known fault, by measurement against the clean sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avagent.core.actions import Action, Shift
from avagent.core.media import FloatArray, Waveform
from avagent.dsp.actions.edit import apply
from avagent.dsp.faults.inject import Injected
from avagent.dsp.faults.types import Dropouts, Lag, Level, SpeedChange
from avagent.dsp.measures.bs1770 import gated_loudness
from avagent.dsp.products import energy, inner

LEAST_GAIN_DB = 0.25
"""A smaller gain of SI-SDR is no repair."""
AS_GOOD_DB = 3.0
"""Filters that leave at most twice the noise power of the best one are as right as it."""
LEAST_SHARE = 0.5
"""Of a wrong level, lag, duration, or of dropouts: what has to be undone at least."""
_LIMIT_DB = 60.0


@dataclass(frozen=True, slots=True)
class Repair:
    """An action that mends a fault, and how well.

    Attributes:
        action: with its parameters.
        gain: of SI-SDR in dB; for level, lag and speed the share of the deviation that is undone, for dropouts that of
            their length that was filled (SI-SDR says little of gaps above 40 ms); at most 1.
    """

    action: Action
    gain: float


def right_repairs(injected: Injected, clean: Waveform, actions: Sequence[Action]) -> tuple[Repair, ...]:
    """Those of the actions that mend the fault, best first; among noise filters, those that are as good as the best.

    Only kinds that can mend the fault (`Truth.repairs`) are tried; a fault that nothing mends gives none.

    Args:
        injected: the faulty sound and its truth.
        clean: what it was made from.
        actions: candidates, with the parameters that they would be applied with.
    """
    tried = [a for a in actions if a.kind in injected.truth.repairs]
    graded = [Repair(action, _gain(injected, clean, action)) for action in tried]
    least = LEAST_SHARE if isinstance(injected.truth.fault, Level | Lag | SpeedChange | Dropouts) else LEAST_GAIN_DB
    enough = sorted((r for r in graded if r.gain >= least), key=lambda r: -r.gain)
    return tuple(r for r in enough if r.gain >= enough[0].gain - AS_GOOD_DB)


def si_sdr(reference: FloatArray, estimate: FloatArray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, doi:10.1109/ICASSP.2019.8683855).

    Args:
        reference, estimate: float32 [samples]; the longer one is cut.

    Returns:
        at most 60 dB, at least -60 dB.
    """
    n = min(reference.size, estimate.size)
    clean, other = reference[:n].astype(np.float64), estimate[:n].astype(np.float64)
    target = clean * (inner(clean, other) / max(energy(clean), 1e-20))
    rest = other - target
    ratio = max(energy(target), 1e-20) / max(energy(rest), 1e-20)
    return float(np.clip(10.0 * np.log10(ratio), -_LIMIT_DB, _LIMIT_DB))


def _gain(injected: Injected, clean: Waveform, action: Action) -> float:
    faulty, fault = injected.waveform, injected.truth.fault
    if isinstance(fault, Lag):
        # The lag is known exactly; a correlation of two sounds, one of them cut at an end, is not.
        left = fault.milliseconds + (action.milliseconds if isinstance(action, Shift) else 0.0)
        return _undone(fault.milliseconds, left)
    repaired = apply(action, faulty).waveform
    match fault:
        case SpeedChange():
            return _undone(faulty.duration - clean.duration, repaired.duration - clean.duration)
        case Level():
            wanted, before, after = (gated_loudness(w) for w in (clean, faulty, repaired))
            if wanted is None or before is None or after is None:
                return 0.0
            return _undone(before - wanted, after - wanted)
        case Dropouts():
            return _filled(injected, repaired)
        case _:
            reference = clean.mono()
            return si_sdr(reference, repaired.mono()) - si_sdr(reference, faulty.mono())


def _undone(before: float, after: float) -> float:
    return 1.0 - abs(after) / abs(before) if before else 0.0


def _filled(injected: Injected, repaired: Waveform) -> float:
    gaps = injected.truth.gaps
    total = sum(gap.stop - gap.start for gap in gaps)
    filled = sum(int(np.count_nonzero(repaired.samples[:, g.start : g.stop].any(axis=0))) for g in gaps)
    return filled / total if total else 0.0
