"""Measured facts about a clip's sound: what a planner knows besides captions and scores."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from avagent.core.time_judgement import TimeJudgement
from avagent.core.timing import tempo_grid

LEAST_MISMATCH = 0.015
"""Share by which durations of sound and picture differ beyond what cutting and coding leave."""


class NoiseColour(StrEnum):
    """Slope of the noise floor's power spectrum."""

    WHITE = "white"
    PINK = "pink"
    BROWN = "brown"
    BLUE = "blue"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value and how far it can be trusted, in [0, 1]."""

    value: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts about one clip's sound, blind (no reference). None: could not be measured.

    Attributes:
        duration: length of the sound in s.
        rate: sampling rate in Hz.
        channels: number of channels.
        loudness: integrated loudness in LUFS (BS.1770-4); None: silent or too short.
        true_peak: in dBTP; None: digital silence.
        muted: nothing but digital silence or an inaudible residue.
        snr: signal-to-noise ratio in dB against the stationary floor.
        noise_colour: of that floor.
        stationarity: 0 (changing) to 1 (steady) over time, of the noise floor.
        hum: fundamental in Hz; its confidence. None: no hum.
        hum_level: level of the hum and its harmonics relative to the whole, in dB.
        gap_count: dropouts found (abrupt digital silence inside the programme).
        gap_seconds: their total length in s.
        longest_gap: in s.
        coded_gaps: some of them are no digital silence any more, but a lossy codec's residue.
        clipping: share of samples in clipped runs, in [0, 1].
        bandwidth: frequency in Hz below which 99% of the energy lies.
        pitch: median fundamental frequency in Hz, and how much of the sound has one. None: no pitch.
        lag: how much the sound comes after the picture, in ms (negative: before), and the probability that it is out
            of time by about that; None where `timing` cannot tell.
        timing: what touches and motion say of lag and tempo; None without a moving picture.
        duration_mismatch: duration of the sound minus that of the picture, in s; None without a picture stream.
        clock_drift: by how much longer the timestamps of the sound took than its samples, as a share of these:
            -0.02 for a clock 2% fast. The sound was laid out by its timestamps.
    """

    duration: float
    rate: int
    channels: int
    loudness: float | None = None
    true_peak: float | None = None
    muted: bool = False
    snr: Estimate | None = None
    noise_colour: NoiseColour = NoiseColour.UNKNOWN
    stationarity: float | None = None
    hum: Estimate | None = None
    hum_level: float | None = None
    gap_count: int = 0
    gap_seconds: float = 0.0
    longest_gap: float = 0.0
    coded_gaps: bool = False
    clipping: float = 0.0
    bandwidth: float | None = None
    pitch: Estimate | None = None
    lag: Estimate | None = None
    duration_mismatch: float | None = None
    clock_drift: float = 0.0
    timing: TimeJudgement | None = None

    @property
    def expected_tempo(self) -> float | None:
        """Duration of the picture over that of the sound, where a wrong tempo may be why they differ."""
        mismatch = self.duration_mismatch
        if mismatch is None or self.duration <= max(mismatch, 0.0):
            return None
        tempo = (self.duration - mismatch) / self.duration
        return tempo if tempo_grid()[0] <= tempo <= tempo_grid()[-1] and abs(tempo - 1.0) >= LEAST_MISMATCH else None


def lag_of(timing: TimeJudgement) -> Estimate | None:
    """The lag as one fact."""
    return None if timing.in_time is None else Estimate(timing.lag_ms, timing.out_of_time)
