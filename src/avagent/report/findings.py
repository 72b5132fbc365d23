"""What was measured of a clip's sound, as short lines."""

from __future__ import annotations

from collections.abc import Iterator

from avagent.core.effect import EditEffect
from avagent.core.facts import Facts
from avagent.core.time_judgement import TimeJudgement
from avagent.report.words import plain, signed

_AUDIBLE_CLIPPING = 1e-4


def findings(facts: Facts | None) -> list[tuple[str, str]]:
    """(what, how much) of the original sound."""
    if facts is None:
        return []
    return [*_sound(facts), *_faults(facts), *_time(facts)]


def _sound(facts: Facts) -> Iterator[tuple[str, str]]:
    channels = {1: "mono", 2: "stereo"}.get(facts.channels, f"{facts.channels} channels")
    yield "sound", f"{facts.duration:.2f} s, {facts.rate} Hz, {channels}"
    if facts.muted:
        yield "level", "silent"
    elif facts.loudness is not None:
        peak = "" if facts.true_peak is None else f", true peak {signed(facts.true_peak)} dBTP"
        yield "level", f"{signed(facts.loudness)} LUFS{peak}"
    if facts.snr is not None:
        colour = "" if facts.noise_colour == "unknown" else f", {facts.noise_colour} floor"
        yield "signal to noise", f"{signed(facts.snr.value)} dB (confidence {facts.snr.confidence:.2f}){colour}"


def _faults(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.hum is not None:
        level = "" if facts.hum_level is None else f", {signed(facts.hum_level)} dB under the whole"
        yield "hum", f"{signed(facts.hum.value)} Hz (confidence {facts.hum.confidence:.2f}){level}"
    if facts.gap_count:
        yield "dropouts", f"{facts.gap_count}, together {facts.gap_seconds:.2f} s, longest {facts.longest_gap:.2f} s"
    if facts.clipping > _AUDIBLE_CLIPPING:
        yield "clipping", f"{facts.clipping:.2%} of the samples"


def _time(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.duration_mismatch:
        yield "sound less picture", f"{facts.duration_mismatch:+.2f} s"
    if facts.timing is not None:
        yield "time", judged(facts.timing)


def judged(timing: TimeJudgement) -> str:
    """A judgement of time in words."""
    if timing.in_time is None:
        return f"cannot be judged: {plain(str(timing.reason))}"
    lag = f"sound {signed(timing.lag_ms)} ± {signed(timing.lag_error_ms)} ms after the picture"
    tempo = "" if timing.tempo == 1.0 else f", tempo {timing.tempo:.4f}"
    by = f", by {', '.join(timing.cues)}" if timing.cues else ""
    return f"{lag}{tempo}{by}; in time with probability {timing.in_time:.2f}"


def effect(found: EditEffect | None) -> str:
    """What an edit did to the sound."""
    if found is None:
        return ""
    parts: list[str] = []
    if found.si_sdr is not None:
        parts.append(f"SI-SDR to the original {signed(found.si_sdr)} dB")
    if found.loudness_change:
        parts.append(f"loudness {found.loudness_change:+.1f} LU")
    if found.moved_ms:
        parts.append(f"moved by {found.moved_ms:+.0f} ms")
    if found.tempo_change:
        parts.append(f"tempo {found.tempo_change:+.2f} %")
    if found.transposed:
        parts.append(f"transposed by {found.transposed:+.2f} semitones")
    return ", ".join(parts)
