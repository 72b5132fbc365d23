"""Finding dropouts: abrupt digital silence inside the programme."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avagent.core.media import FloatArray, Waveform
from avagent.dsp.products import energy

_ZERO = 1.0 / 65536.0
"""Half a step of 16-bit sound: what is below it is digital silence."""
_NEAR_S = 0.03
_END_S = 0.003
_END_DB = -24.0
_STEP_DB = -24.0
_AUDIBLE_DB = -32.0
_STEP_SAMPLES = 3
_SMEAR_DB = -34.0
_SMEAR_S = 0.025
"""A lossy codec smears a cut over up to a frame (1024 samples of AAC): faint sound between silence and programme."""
_SMEAR_LEAST_S = 0.001
_SMEAR_STEP_S = 0.0015
_SMEAR_RISE_DB = -8.0
"""Within 1.5 ms a smeared cut is as loud as that, relative to what follows; natural onsets take longer."""
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Gap:
    """A dropout: samples [start, stop) of every channel."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """In samples."""
        return self.stop - self.start


def find_dropouts(waveform: Waveform, *, min_gap_ms: float = 2.0, max_gap_ms: float = 500.0) -> tuple[Gap, ...]:
    """Runs of digital silence, common to all channels, that cut off the programme on both sides.

    Left alone are silence at the start or the end of the clip, silence into which the programme fades, and silence next
    to parts that are hardly audible (a noise gate's): next to a dropout the sound goes on, loud, to the last sample.

    Args:
        waveform: finite samples.
        min_gap_ms, max_gap_ms: shortest and longest dropout in ms.
    """
    if waveform.length == 0 or waveform.channels == 0:
        return ()
    rate = waveform.rate
    level = _level(waveform.samples)
    silent = np.concatenate(([False], level < _ZERO, [False]))
    edges = np.flatnonzero(silent[1:] != silent[:-1])
    starts, stops = edges[::2], edges[1::2]
    lengths = stops - starts
    shortest, longest = max(1.0, min_gap_ms * rate / 1000.0), max_gap_ms * rate / 1000.0
    fits = (lengths >= shortest) & (lengths <= longest) & (starts > 0) & (stops < waveform.length)
    if not fits.any():
        return ()
    audible = _rms(level[level >= _ZERO]) * 10.0 ** (_AUDIBLE_DB / 20.0)
    reach = max(8, round(_NEAR_S * rate)) + round(_SMEAR_S * rate)
    found: list[Gap] = []
    for start, stop in zip(starts[fits].tolist(), stops[fits].tolist(), strict=True):
        left = _Edge.of(level[max(0, start - reach) : start][::-1], rate)
        right = _Edge.of(level[stop : stop + reach], rate)
        gap = Gap(start - left.smear, stop + right.smear)
        steep = 0.5 * (left.step_db + right.step_db) > _STEP_DB
        if left.cut(audible) and right.cut(audible) and steep and gap.length <= longest:
            if found and gap.start <= found[-1].stop:
                gap = Gap(found.pop().start, gap.stop)
            found.append(gap)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Edge:
    """How sound ends at a silence.

    Attributes:
        loudness: RMS of the 30 ms next to the silence.
        end_db: RMS of the nearest 3 ms relative to it.
        step_db: magnitude of the nearest 3 samples relative to it.
        smear: samples of faint sound between the silence and those 30 ms.
    """

    loudness: float
    end_db: float
    step_db: float
    smear: int

    @classmethod
    def of(cls, outward: FloatArray, rate: int) -> _Edge:
        """The edge from which the sound goes on as in float32 [samples], the nearest first."""
        loud = outward > _rms(outward) * 10.0 ** (_SMEAR_DB / 20.0)
        smear = int(np.argmax(loud))
        smeared = _SMEAR_LEAST_S * rate < smear <= _SMEAR_S * rate
        level = outward[smear if smeared else 0 :][: max(8, round(_NEAR_S * rate))]
        end = max(4, round(_END_S * rate))
        step = max(_STEP_SAMPLES, round(_SMEAR_STEP_S * rate)) if smeared else _STEP_SAMPLES
        loudness = _rms(level)
        nearest = float(level[:step].max())
        return cls(loudness, _db(_rms(level[:end]) / loudness), _db(nearest / loudness), smear if smeared else 0)

    def cut(self, audible: float) -> bool:
        sudden = self.smear == 0 or self.step_db > _SMEAR_RISE_DB
        return self.loudness > audible and self.end_db > _END_DB and sudden


def _level(samples: FloatArray) -> FloatArray:
    """float32 [samples]: largest magnitude over the channels."""
    level = np.abs(samples[0])
    for channel in samples[1:]:
        np.maximum(level, np.abs(channel), out=level)
    return level


def _rms(values: FloatArray) -> float:
    return math.sqrt(energy(values) / max(1, values.size)) + _TINY


def _db(ratio: float) -> float:
    return 20.0 * math.log10(ratio + _TINY)
