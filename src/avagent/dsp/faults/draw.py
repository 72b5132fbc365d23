"""Faults drawn at random, repeatably: which kinds, how often, how strong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import get_args

import numpy as np

from avagent.core.errors import ParameterError
from avagent.dsp.faults.types import (
    FAULTS,
    Babble,
    Clipping,
    Colour,
    Dropouts,
    Fault,
    HumFault,
    Lag,
    Level,
    Muted,
    Noise,
    PitchChange,
    Reverberation,
    SpeedChange,
    Truncated,
    WrongSoundtrack,
)

SHARES: Mapping[str, int] = {
    "noise": 5,
    "hum": 3,
    "dropouts": 3,
    "clipping": 3,
    "level": 3,
    "lag": 3,
    "speed": 3,
    "babble": 1,
    "reverberation": 1,
    "pitch": 1,
    "muted": 1,
    "truncated": 1,
    "wrong_soundtrack": 1,
}
"""How often each kind of fault is drawn beside the others: what an action mends more often than what none does."""
CLEAN = 3
"""How often no fault is drawn, on the same scale."""


def draw_faults(count: int, generator: np.random.Generator) -> tuple[Fault | None, ...]:
    """So many faults, None for a sound left clean; all kinds come in their shares before any comes more often.

    Raises:
        ParameterError: a negative number.
    """
    if count < 0:
        raise ParameterError(f"a number of faults must not be negative, got {count}")
    deck: list[str | None] = [None] * CLEAN + [kind for kind, share in SHARES.items() for _ in range(share)]
    kinds: list[str | None] = []
    while len(kinds) < count:
        kinds += [deck[i] for i in generator.permutation(len(deck)).tolist()]
    return tuple(None if kind is None else draw_fault(kind, generator) for kind in kinds[:count])


def draw_fault(kind: str, generator: np.random.Generator) -> Fault:
    """A fault of this kind, from barely worth mending to severe.

    Raises:
        ParameterError: an unknown kind.
    """
    if kind not in _DRAWN:
        raise ParameterError(f"unknown fault {kind!r}; known: {', '.join(FAULTS)}")
    return _DRAWN[kind](generator)


def _noise(generator: np.random.Generator) -> Noise:
    colours: tuple[Colour, ...] = get_args(Colour)
    return Noise(snr_db=_between(generator, 0.0, 12.0), colour=colours[int(generator.integers(len(colours)))])


def _hum(generator: np.random.Generator) -> HumFault:
    line = (50.0, 60.0)[int(generator.integers(2))]
    harmonics = int(generator.integers(2, 11))
    return HumFault(snr_db=_between(generator, 0.0, 15.0), fundamental_hz=line, harmonics=harmonics)


def _reverberation(generator: np.random.Generator) -> Reverberation:
    return Reverberation(rt60_s=_between(generator, 0.4, 1.5), direct_db=_between(generator, -3.0, 6.0))


def _dropouts(generator: np.random.Generator) -> Dropouts:
    count = int(generator.integers(2, 7))
    return Dropouts(lengths_ms=tuple(_between(generator, 10.0, 120.0) for _ in range(count)))


def _between(generator: np.random.Generator, low: float, high: float) -> float:
    """Uniform, to three digits, as it is written down."""
    return round(float(generator.uniform(low, high)), 3)


def _either(generator: np.random.Generator, low: tuple[float, float], high: tuple[float, float]) -> float:
    return _between(generator, *(low if generator.integers(2) else high))


_DRAWN: Mapping[str, Callable[[np.random.Generator], Fault]] = {
    "noise": _noise,
    "babble": lambda g: Babble(snr_db=_between(g, 0.0, 10.0)),
    "hum": _hum,
    "reverberation": _reverberation,
    "dropouts": _dropouts,
    "clipping": lambda g: Clipping(drive_db=_between(g, 8.0, 20.0)),
    "level": lambda g: Level(gain_db=_either(g, (-30.0, -14.0), (10.0, 18.0))),
    "speed": lambda g: SpeedChange(factor=_either(g, (0.88, 0.97), (1.03, 1.12))),
    "pitch": lambda g: PitchChange(semitones=_either(g, (-6.0, -2.0), (2.0, 6.0))),
    "lag": lambda g: Lag(milliseconds=_either(g, (-800.0, -100.0), (100.0, 800.0))),
    "muted": lambda _: Muted(),
    "truncated": lambda g: Truncated(kept=_between(g, 0.4, 0.8)),
    "wrong_soundtrack": lambda _: WrongSoundtrack(),
}
