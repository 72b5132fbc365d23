"""What the measured facts call for: faults that an action can mend, each with its remedies, best first.

Thresholds are set so that clean speech, animal calls, engines and music give no finding; `bench/planner_embedded.py`
measures how often one is found where there is none, and missed where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from avagent.core.actions import (
    Coordination,
    FillBlanks,
    NoiseFilter,
    Shift,
    SpectralGate,
    SpectralSubtraction,
    Speed,
    Volume,
    WaveletDenoise,
    WienerFilter,
)
from avagent.core.captions import Captions
from avagent.core.evidence import (
    HUM_ABOVE_DB,
    HUM_CONFIDENCE,
    MISMATCH_LEAST_S,
    MISMATCH_MOST,
    MISMATCH_SHARE,
    NOISE_CONFIDENCE,
    NOISY_BELOW_DB,
    UNKNOWN_NOISE_CONFIDENCE,
)
from avagent.core.facts import Facts, NoiseColour
from avagent.core.programme import steady_programme
from avagent.core.time_judgement import TimeJudgement
from avagent.models.embedded.purity import MENDABLE, clipping_factor, loud_factor, quiet_factor

TARGET_LUFS = -23.0
"""EBU R 128."""


@dataclass(frozen=True, slots=True)
class NoiseFinding:
    """Noise or hum: `why` in words, filters best first."""

    why: str
    remedies: tuple[NoiseFilter, ...]


@dataclass(frozen=True, slots=True)
class CoordinationFinding:
    """A fault of level, timing or completeness: `why` in words, actions best first."""

    why: str
    remedies: tuple[Coordination, ...]


def noise_finding(facts: Facts, captions: Captions) -> NoiseFinding | None:
    """Noise or hum that a filter should remove; a steady floor that is the programme itself is left alone."""
    hum = facts.hum
    level = facts.hum_level
    if hum is not None and level is not None and hum.confidence >= HUM_CONFIDENCE and level >= HUM_ABOVE_DB:
        return NoiseFinding(
            f"hum at {hum.value:.1f} Hz, {level:.0f} dB beside the whole",
            (WienerFilter(), SpectralSubtraction(), SpectralGate(reduction_db=15.0)),
        )
    snr = facts.snr
    least = UNKNOWN_NOISE_CONFIDENCE if facts.noise_colour is NoiseColour.UNKNOWN else NOISE_CONFIDENCE
    if snr is None or snr.confidence < least or snr.value >= NOISY_BELOW_DB or steady_programme(captions):
        return None
    why = f"{facts.noise_colour} noise, SNR {snr.value:.1f} dB (confidence {snr.confidence:.2f})"
    return NoiseFinding(why, noise_filters(snr.value, facts.noise_colour))


def noise_filters(snr_db: float, colour: NoiseColour) -> tuple[NoiseFilter, ...]:
    """Stronger for lower SNR; the Wiener filter leads, the wavelet is last where the noise is all in the low bands."""
    strength = round(min(2.0, max(0.75, 1.5 - snr_db / 20.0)), 2)
    wiener = WienerFilter(strength=strength)
    subtraction = SpectralSubtraction(over_subtraction=round(min(4.0, max(1.5, 3.0 - snr_db / 10.0)), 2))
    wavelet = WaveletDenoise(strength=strength)
    gate = SpectralGate(reduction_db=round(min(24.0, max(9.0, 21.0 - snr_db)), 1))
    if colour is NoiseColour.BROWN:
        return wiener, subtraction, gate, wavelet
    return wiener, wavelet, subtraction, gate


def coordination_findings(facts: Facts) -> Iterator[CoordinationFinding]:
    """All other faults, the most certain first."""
    if facts.gap_count > 0:
        yield _dropouts(facts)
    timing = facts.timing
    if timing is not None and timing.in_time is not None:
        if timing.calls_for_an_edit:
            yield _out_of_time(timing)
    elif (drift := _drift(facts)) is not None:
        yield drift
    yield from _level(facts)


def _out_of_time(timing: TimeJudgement) -> CoordinationFinding:
    """Another tempo first, for a plan holds one action on time: what is left of a lag, the next round sees."""
    told = f"(by {', '.join(timing.cues)}; probability {timing.out_of_time:.2f})"
    if timing.tempo == 1.0:
        why = f"the sound comes {timing.lag_ms:+.0f} +- {timing.lag_error_ms:.0f} ms after the picture {told}"
        return CoordinationFinding(why, (Shift(milliseconds=round(-timing.lag_ms, 1)),))
    factor = round(1.0 / timing.tempo, 4)
    why = f"the sound runs at {timing.tempo:.3f} +- {timing.tempo_error:.3f} of the picture's tempo {told}"
    return CoordinationFinding(why, (Speed(factor=factor), Speed(factor=factor, mode="resample")))


def _drift(facts: Facts) -> CoordinationFinding | None:
    """The sound is a few percent longer or shorter than the picture: it may run at another tempo."""
    mismatch = facts.duration_mismatch
    if mismatch is None or facts.duration <= max(mismatch, 0.0):
        return None
    picture = facts.duration - mismatch
    if abs(mismatch) < MISMATCH_LEAST_S or not MISMATCH_SHARE <= abs(mismatch) / picture <= MISMATCH_MOST:
        return None
    factor = round(facts.duration / picture, 4)
    return CoordinationFinding(
        f"the sound lasts {mismatch:+.2f} s longer than the picture ({picture:.2f} s)",
        (Speed(factor=factor), Speed(factor=factor, mode="resample")),
    )


def _dropouts(facts: Facts) -> CoordinationFinding:
    longest_ms = 1000.0 * facts.longest_gap
    room = min(2000.0, max(100.0, 2.0 * longest_ms))
    return CoordinationFinding(
        f"{facts.gap_count} dropouts, {facts.gap_seconds:.2f} s in all, the longest {longest_ms:.0f} ms",
        (
            FillBlanks(max_gap_ms=round(room, 1), coded=facts.coded_gaps),
            FillBlanks(min_gap_ms=0.5, max_gap_ms=2000.0, coded=facts.coded_gaps),
        ),
    )


def _level(facts: Facts) -> Iterator[CoordinationFinding]:
    loudness = facts.loudness
    target = TARGET_LUFS if loudness is None else round(min(-14.0, max(TARGET_LUFS, loudness - 6.0)), 1)
    clipped = clipping_factor(facts.clipping) <= MENDABLE
    if clipped:
        yield CoordinationFinding(
            f"{100 * facts.clipping:.2f}% of the samples are clipped",
            (Volume(target_lufs=target, declip=True),),
        )
    if loudness is None or facts.true_peak is None:
        return
    loud = loud_factor(loudness, facts.true_peak) <= MENDABLE
    if quiet_factor(loudness, facts.true_peak) <= MENDABLE or (loud and not clipped):
        yield CoordinationFinding(
            f"loudness {loudness:.1f} LUFS, peak {facts.true_peak:.1f} dBTP",
            (Volume(target_lufs=TARGET_LUFS), Volume(target_lufs=TARGET_LUFS, mode="dynamic")),
        )
