"""Known faults, put into sound on purpose: the inverse of the actions."""

from avagent.dsp.faults.inject import Injected, Truth, inject
from avagent.dsp.faults.types import (
    FAULTS,
    Babble,
    Clipping,
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

__all__ = [
    "FAULTS",
    "Babble",
    "Clipping",
    "Dropouts",
    "Fault",
    "HumFault",
    "Injected",
    "Lag",
    "Level",
    "Muted",
    "Noise",
    "PitchChange",
    "Reverberation",
    "SpeedChange",
    "Truncated",
    "Truth",
    "WrongSoundtrack",
    "inject",
]
