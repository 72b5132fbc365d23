"""The faults, as frozen parameter classes with units and bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from avagent.core.errors import ParameterError

Colour = Literal["white", "pink", "brown", "blue", "violet"]


def _within(owner: object, name: str, low: float, high: float, unit: str) -> None:
    value = getattr(owner, name)
    if not (isinstance(value, int | float) and math.isfinite(value) and low <= value <= high):
        raise ParameterError(f"{type(owner).__name__}.{name} must lie in [{low:g}, {high:g}] {unit}, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Gaussian noise of a spectral slope of 0 (white), -3 (pink), -6 (brown), 3 (blue) or 6 (violet) dB an octave."""

    kind: Literal["noise"] = "noise"
    snr_db: float
    """Power of the whole clip over that of the noise, [-20, 60] dB."""
    colour: Colour = "white"

    def __post_init__(self) -> None:
        _within(self, "snr_db", -20.0, 60.0, "dB")
        if self.colour not in get_args(Colour):
            raise ParameterError(f"Noise.colour must be one of {', '.join(get_args(Colour))}, got {self.colour!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Babble:
    """Other people talking: the recording that is handed to `inject`, looped or cut to length."""

    kind: Literal["babble"] = "babble"
    snr_db: float
    """Power of the whole clip over that of the babble, [-20, 60] dB."""

    def __post_init__(self) -> None:
        _within(self, "snr_db", -20.0, 60.0, "dB")


@dataclass(frozen=True, slots=True, kw_only=True)
class HumFault:
    """Mains hum: a line and its multiples, each weaker by `decay_db`, of random phase."""

    kind: Literal["hum"] = "hum"
    snr_db: float
    """Power of the whole clip over that of all lines, [-20, 60] dB."""
    fundamental_hz: float = 50.0
    """[40, 140] Hz."""
    harmonics: int = 6
    """Number of lines, [1, 40]; those above the band are left out."""
    decay_db: float = 4.0
    """From one line to the next, [0, 30] dB."""

    def __post_init__(self) -> None:
        _within(self, "snr_db", -20.0, 60.0, "dB")
        _within(self, "fundamental_hz", 40.0, 140.0, "Hz")
        _within(self, "harmonics", 1, 40, "lines")
        _within(self, "decay_db", 0.0, 30.0, "dB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverberation:
    """A room: exponentially decaying noise tail (Moorer 1979, doi:10.2307/3680280)."""

    kind: Literal["reverberation"] = "reverberation"
    rt60_s: float = 0.8
    """Time in which the tail falls by 60 dB, [0.05, 5] s."""
    direct_db: float = 0.0
    """Direct sound over the tail, [-20, 40] dB."""

    def __post_init__(self) -> None:
        _within(self, "rt60_s", 0.05, 5.0, "s")
        _within(self, "direct_db", -20.0, 40.0, "dB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropouts:
    """Abrupt digital silence where there was sound."""

    kind: Literal["dropouts"] = "dropouts"
    lengths_ms: tuple[float, ...] = (20.0, 40.0, 60.0, 100.0)
    """One dropout each, [1, 2000] ms. Those that find no sounding place are left out (see the truth)."""

    def __post_init__(self) -> None:
        if not self.lengths_ms or not all(math.isfinite(v) and 1.0 <= v <= 2000.0 for v in self.lengths_ms):
            raise ParameterError(f"Dropouts.lengths_ms must hold numbers in [1, 2000] ms, got {self.lengths_ms!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipping:
    """Amplified until it clips, then brought back to the peak that it had."""

    kind: Literal["clipping"] = "clipping"
    drive_db: float = 12.0
    """How far the peaks were above full scale, [0.5, 40] dB."""

    def __post_init__(self) -> None:
        _within(self, "drive_db", 0.5, 40.0, "dB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Too quiet or too loud; nothing is clipped."""

    kind: Literal["level"] = "level"
    gain_db: float
    """[-60, 30] dB."""

    def __post_init__(self) -> None:
        _within(self, "gain_db", -60.0, 30.0, "dB")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedChange:
    """Played too fast or too slow; the length of the clip changes with it."""

    kind: Literal["speed"] = "speed"
    factor: float
    """Above 1 plays faster, [0.5, 2]."""
    mode: Literal["stretch", "resample"] = "stretch"

    def __post_init__(self) -> None:
        _within(self, "factor", 0.5, 2.0, "times the tempo")
        if self.mode not in ("stretch", "resample"):
            raise ParameterError(f"SpeedChange.mode must be 'stretch' or 'resample', got {self.mode!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PitchChange:
    """Transposed, length kept."""

    kind: Literal["pitch"] = "pitch"
    semitones: float
    """[-12, 12] semitones."""

    def __post_init__(self) -> None:
        _within(self, "semitones", -12.0, 12.0, "semitones")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """The sound comes late (above 0) or early, length kept; silence fills the end that opens."""

    kind: Literal["lag"] = "lag"
    milliseconds: float
    """[-10000, 10000] ms."""

    def __post_init__(self) -> None:
        _within(self, "milliseconds", -10000.0, 10000.0, "ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Muted:
    """Digital silence."""

    kind: Literal["muted"] = "muted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncated:
    """The end of the sound is missing."""

    kind: Literal["truncated"] = "truncated"
    kept: float = 0.5
    """Share of the sound that is left, (0, 1)."""

    def __post_init__(self) -> None:
        _within(self, "kept", 0.0, 1.0, "of the sound")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongSoundtrack:
    """The sound of another clip, handed to `inject`, looped or cut to length."""

    kind: Literal["wrong_soundtrack"] = "wrong_soundtrack"


Fault = (
    Noise
    | Babble
    | HumFault
    | Reverberation
    | Dropouts
    | Clipping
    | Level
    | SpeedChange
    | PitchChange
    | Lag
    | Muted
    | Truncated
    | WrongSoundtrack
)

FAULTS: Mapping[str, type[Fault]] = {cls.__dataclass_fields__["kind"].default: cls for cls in get_args(Fault)}
