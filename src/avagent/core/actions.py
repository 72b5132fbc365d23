"""The nine actions, as frozen parameter classes with units and bounds.

The action set `paper` is exactly the eight of Mo & Song (NeurIPS 2024), section 3.2; `extended` adds :class:`Shift`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from avagent.core.errors import ParameterError


def _within(owner: object, name: str, low: float, high: float, unit: str) -> None:
    value = getattr(owner, name)
    if not (isinstance(value, int | float) and math.isfinite(value) and low <= value <= high):
        raise ParameterError(f"{type(owner).__name__}.{name} must lie in [{low:g}, {high:g}] {unit}, got {value!r}")


def _flag(owner: object, name: str) -> None:
    value = getattr(owner, name)
    if not isinstance(value, bool):
        raise ParameterError(f"{type(owner).__name__}.{name} must be true or false, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectralSubtraction:
    """Subtract an estimated noise power spectrum (Boll 1979, doi:10.1109/TASSP.1979.1163209; Berouti 1979)."""

    kind: Literal["spectral_subtraction"] = "spectral_subtraction"
    over_subtraction: float = 3.0
    """Multiple of the noise power that is subtracted, [1, 8]."""
    floor_db: float = -34.0
    """Spectral floor relative to the noisy bin, [-60, 0] dB."""
    quantile: float = 0.3
    """Quantile over time whose noise estimate may raise the floor where the clip is noisy, [0.05, 0.5]."""
    window_s: float = 3.0
    """How long the noise is taken as steady, [1, 60] s; it is estimated anew for every such window."""

    def __post_init__(self) -> None:
        _within(self, "over_subtraction", 1.0, 8.0, "times the noise power")
        _within(self, "floor_db", -60.0, 0.0, "dB")
        _within(self, "quantile", 0.05, 0.5, "")
        _within(self, "window_s", 1.0, 60.0, "s")


@dataclass(frozen=True, slots=True, kw_only=True)
class WienerFilter:
    """Wiener gain from a-priori SNR (Scalart & Filho 1996, doi:10.1109/ICASSP.1996.543199)."""

    kind: Literal["wiener_filter"] = "wiener_filter"
    strength: float = 1.75
    """Multiple of the estimated noise power, [0.25, 8]."""
    floor_db: float = -25.0
    """Lowest gain, [-60, 0] dB."""
    quantile: float = 0.3
    """Quantile over time whose noise estimate may raise the floor where the clip is noisy, [0.05, 0.5]."""
    window_s: float = 3.0
    """How long the noise is taken as steady, [1, 60] s; it is estimated anew for every such window."""

    def __post_init__(self) -> None:
        _within(self, "strength", 0.25, 8.0, "times the noise power")
        _within(self, "floor_db", -60.0, 0.0, "dB")
        _within(self, "quantile", 0.05, 0.5, "")
        _within(self, "window_s", 1.0, 60.0, "s")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveletDenoise:
    """Locally adaptive BayesShrink on a wavelet decomposition (Chang 2000, doi:10.1109/83.862630)."""

    kind: Literal["wavelet_denoise"] = "wavelet_denoise"
    strength: float = 1.0
    """Multiple of the estimated noise deviation, [0.25, 4]."""
    levels: int = 6
    """Depth of the decomposition at 16 kHz, [1, 10]; at other rates it reaches down to the same frequency."""
    window_s: float = 3.0
    """How long the noise is taken as steady, [1, 60] s; it is estimated anew for every such window."""

    def __post_init__(self) -> None:
        _within(self, "strength", 0.25, 4.0, "times the noise deviation")
        _within(self, "levels", 1, 10, "levels")
        _within(self, "window_s", 1.0, 60.0, "s")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectralGate:
    """Attenuate time-frequency bins near the noise floor by a smooth mask."""

    kind: Literal["spectral_gate"] = "spectral_gate"
    threshold_db: float = 6.0
    """Level above the noise estimate at which the gate is half open, [0, 30] dB."""
    reduction_db: float = 20.0
    """Attenuation of a closed gate, [0, 60] dB."""
    quantile: float = 0.3
    """Quantile over time whose noise estimate may raise the floor where the clip is noisy, [0.05, 0.5]."""
    window_s: float = 3.0
    """How long the noise is taken as steady, [1, 60] s; it is estimated anew for every such window."""

    def __post_init__(self) -> None:
        _within(self, "threshold_db", 0.0, 30.0, "dB")
        _within(self, "reduction_db", 0.0, 60.0, "dB")
        _within(self, "quantile", 0.05, 0.5, "")
        _within(self, "window_s", 1.0, 60.0, "s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Change the tempo; `stretch` keeps the pitch, `resample` lets it follow (as in 24 to 25 frames/s transfers)."""

    kind: Literal["speed"] = "speed"
    factor: float
    """Above 1 plays faster: the output has round(samples / factor) samples, [0.5, 2]."""
    mode: Literal["stretch", "resample"] = "stretch"

    def __post_init__(self) -> None:
        _within(self, "factor", 0.5, 2.0, "times the tempo")
        if self.mode not in ("stretch", "resample"):
            raise ParameterError(f"Speed.mode must be 'stretch' or 'resample', got {self.mode!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pitch:
    """Transpose, length kept."""

    kind: Literal["pitch"] = "pitch"
    semitones: float
    """Above 0 is higher, [-12, 12] semitones."""
    formants: Literal["follow", "keep"] = "follow"
    """`follow`: they move along, as in a recording at a wrong rate that this repairs; `keep`: the same speaker."""

    def __post_init__(self) -> None:
        _within(self, "semitones", -12.0, 12.0, "semitones")
        if self.formants not in ("follow", "keep"):
            raise ParameterError(f"Pitch.formants must be 'follow' or 'keep', got {self.formants!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Bring the loudness to a target (ITU-R BS.1770-4) below a true-peak limit, clipped peaks mended first if asked."""

    kind: Literal["volume"] = "volume"
    target_lufs: float = -23.0
    """Integrated loudness of the output, [-50, -8] LUFS."""
    peak_dbtp: float = -1.0
    """True-peak limit, [-12, 0] dBTP."""
    mode: Literal["static", "dynamic"] = "static"
    """`static`: one gain; `dynamic`: the gain follows the short-term loudness."""
    declip: bool = False
    """Restore clipped peaks before the gain is applied."""

    def __post_init__(self) -> None:
        _within(self, "target_lufs", -50.0, -8.0, "LUFS")
        _within(self, "peak_dbtp", -12.0, 0.0, "dBTP")
        if self.mode not in ("static", "dynamic"):
            raise ParameterError(f"Volume.mode must be 'static' or 'dynamic', got {self.mode!r}")
        _flag(self, "declip")


@dataclass(frozen=True, slots=True, kw_only=True)
class FillBlanks:
    """Find dropouts and restore them; silence that belongs to the programme is left alone."""

    kind: Literal["fill_blanks"] = "fill_blanks"
    min_gap_ms: float = 2.0
    """Shorter runs of zeros are left alone, [0.5, 100] ms."""
    max_gap_ms: float = 500.0
    """Longer blanks are left alone, [5, 2000] ms."""
    coded: bool = False
    """Fill as well what a lossy codec made of dropouts: faint residue with steep ends."""

    def __post_init__(self) -> None:
        _within(self, "min_gap_ms", 0.5, 100.0, "ms")
        _within(self, "max_gap_ms", 5.0, 2000.0, "ms")
        _flag(self, "coded")
        if self.max_gap_ms < self.min_gap_ms:
            raise ParameterError(
                f"FillBlanks.max_gap_ms ({self.max_gap_ms:g}) must not be below min_gap_ms ({self.min_gap_ms:g})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Move the sound against the picture, sample-exact, length kept. Ours, beyond the paper."""

    kind: Literal["shift"] = "shift"
    milliseconds: float
    """Above 0 delays the sound, [-10000, 10000] ms."""
    edge: Literal["silence", "reflect"] = "silence"
    """What fills the end that opens."""

    def __post_init__(self) -> None:
        _within(self, "milliseconds", -10000.0, 10000.0, "ms")
        if self.edge not in ("silence", "reflect"):
            raise ParameterError(f"Shift.edge must be 'silence' or 'reflect', got {self.edge!r}")


NoiseFilter = SpectralSubtraction | WienerFilter | WaveletDenoise | SpectralGate
Coordination = Speed | Pitch | Volume | FillBlanks | Shift
Action = NoiseFilter | Coordination

NOISE_FILTERS: Mapping[str, type[NoiseFilter]] = {c().kind: c for c in get_args(NoiseFilter)}
COORDINATIONS: Mapping[str, type[Coordination]] = {
    "speed": Speed,
    "pitch": Pitch,
    "volume": Volume,
    "fill_blanks": FillBlanks,
    "shift": Shift,
}
ACTIONS: Mapping[str, type[Action]] = {**NOISE_FILTERS, **COORDINATIONS}

PAPER_ACTIONS = frozenset(ACTIONS) - {"shift"}
EXTENDED_ACTIONS = frozenset(ACTIONS)
ACTION_SETS: Mapping[str, frozenset[str]] = {"paper": PAPER_ACTIONS, "extended": EXTENDED_ACTIONS}


def action_to_dict(action: Action) -> dict[str, Any]:
    """`{"kind": ..., "params": {...}}`: how an action is written in manifests."""
    params = asdict(action)
    return {"kind": params.pop("kind"), "params": params}


def action_from_dict(data: Mapping[str, Any]) -> Action:
    """The inverse of :func:`action_to_dict`.

    Raises:
        ParameterError: an unknown kind or parameter, or a value outside its bounds.
    """
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in ACTIONS:
        raise ParameterError(f"unknown action {kind!r}; known actions: {', '.join(ACTIONS)}")
    cls = ACTIONS[kind]
    params: Mapping[str, Any] = data.get("params") or {}
    known = {f.name for f in fields(cls)} - {"kind"}
    if unknown := sorted(set(params) - known):
        raise ParameterError(
            f"action {kind!r} has no parameter {', '.join(unknown)}; it takes {', '.join(sorted(known))}"
        )
    try:
        return cls(**params)
    except TypeError as error:
        raise ParameterError(f"action {kind!r}: {error}") from error
