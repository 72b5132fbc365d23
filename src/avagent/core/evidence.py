"""What in the measured facts speaks for a fault: limits from hearing and from how sound is made, not from a corpus."""

from __future__ import annotations

import math

from avagent.core.captions import Captions
from avagent.core.facts import Facts, NoiseColour

NOISY_BELOW_DB = 15.0
"""SNR against a steady floor below which noise is plainly heard beside the programme."""
NOISE_CONFIDENCE, UNKNOWN_NOISE_CONFIDENCE = 0.5, 0.95
"""A floor that has the spectrum of no common noise is more often part of the programme (an insect, a drone)."""
HUM_CONFIDENCE, HUM_ABOVE_DB = 0.7, -30.0
HUM_BELOW_DB = -1.5
"""A tone that holds more than two thirds of the power is what the sound is about: a drone, a bass note."""
POSSIBLE_HUM_CONFIDENCE = 0.5
"""On a short clip a hum is not sure; what a filter takes away then tells."""
MAINS_HZ, MAINS_TOLERANCE = (50.0, 60.0), 0.01
"""EN 50160 allows 1%; a tone elsewhere is a note (the nearest, G1, A#1 and B1, lie 2% and more away)."""
LAG_MS, LAG_CONFIDENCE = 60.0, 0.25
COMMON_LAG_MS, RARE_LAG_MS, RARE_LAG_CONFIDENCE = 400.0, 1200.0, 0.6
"""Large lags are rare, while unrelated curves peak anywhere: from one to the other, more confidence is asked for."""
MISMATCH_SHARE, MISMATCH_LEAST_S, MISMATCH_MOST = 0.015, 0.06, 0.15
QUIET_LUFS, QUIET_PEAK_DBTP = -37.0, -24.0
"""A sound is too quiet under both: 14 dB under EBU R 128's target, and its peaks low as well."""
LOUD_LUFS, LOUD_PEAK_DBTP = -5.0, 3.4
USUAL_LUFS = (-33.0, -12.0)
"""Between dialogue of wide-range film and what streaming services allow."""
CLIPPED_SHARE = 0.002
FAINT_LUFS = -45.0
"""Below it a recording that holds nothing but its floor is near silence: 22 dB under EBU R 128's target."""
PROGRAMME_DB = 6.0
"""What of a sound stands over its steady floor, at least, if it holds a programme: steady noise alone measures up to
3 dB."""
NEAR_SILENT, INCOMPLETE_SOUND = "near_silent", "incomplete_sound"
NAMED = 0.5
"""Confidence of a name from which it is believed."""
FLOORS = frozenset(
    {
        "Silence",
        "Noise",
        "Environmental noise",
        "Static",
        "White noise",
        "Pink noise",
        "Hum",
        "Mains hum",
        "Hiss",
        "Rustle",
        "Rumble",
        "Inside, small room",
        "Inside, large room or hall",
        "Inside, public space",
        "Outside, urban or manmade",
        "Outside, rural or natural",
        "Field recording",
        "Mechanical fan",
        "Air conditioning",
        "Wind",
        "Wind noise (microphone)",
        "Water",
        "Rain",
        "Vehicle",
        "Sound effect",
    }
)
"""Names that a recording's own floor gets."""
WHOLE_SHARE = 0.75
"""Of the picture's duration: a sound that is shorter is not whole."""


def noisy(facts: Facts) -> bool:
    """Whether a steady floor is surely noise, and plainly heard."""
    least = UNKNOWN_NOISE_CONFIDENCE if facts.noise_colour is NoiseColour.UNKNOWN else NOISE_CONFIDENCE
    return facts.snr is not None and facts.snr.confidence >= least and facts.snr.value < NOISY_BELOW_DB


def humming(facts: Facts, least: float = HUM_CONFIDENCE) -> bool:
    """Whether mains hum is there with at least so much confidence, and heard."""
    hum, level = facts.hum, facts.hum_level
    if hum is None or level is None or hum.confidence < least or not HUM_ABOVE_DB <= level <= HUM_BELOW_DB:
        return False
    return any(abs(hum.value - mains) <= MAINS_TOLERANCE * mains for mains in MAINS_HZ)


def noise_share_db(facts: Facts) -> float:
    """How much of the power is noise or hum by what was measured, in dB; as little as there is where none was."""
    shares = [] if facts.snr is None or not noisy(facts) else [1.0 / (1.0 + 10.0 ** (facts.snr.value / 10.0))]
    if facts.hum_level is not None and humming(facts, POSSIBLE_HUM_CONFIDENCE):
        shares.append(10.0 ** (facts.hum_level / 10.0))
    return 10.0 * math.log10(max(sum(shares), 1e-10))


def has_programme(facts: Facts, captions: Captions | None) -> bool:
    """Whether anything stands over the steady floor, or the sound is surely named as something else than a floor."""
    if facts.snr is not None and facts.snr.value >= PROGRAMME_DB:
        return True
    heard = captions.audio if captions is not None else None
    return heard is not None and any(t.confidence >= NAMED and t.label not in FLOORS for t in heard.tags)


def too_quiet(facts: Facts) -> bool:
    """Whether loudness and peaks both lie far under what is usual."""
    if facts.loudness is None or facts.true_peak is None:
        return False
    return facts.loudness <= QUIET_LUFS and facts.true_peak <= QUIET_PEAK_DBTP


def too_loud(facts: Facts) -> bool:
    """Whether it is louder than programmes are, or its peaks are beyond what converters play."""
    loudness, peak = facts.loudness, facts.true_peak
    return (loudness is not None and loudness >= LOUD_LUFS) or (peak is not None and peak >= LOUD_PEAK_DBTP)


def clipped(facts: Facts) -> bool:
    """Whether more samples are clipped than an inaudible few."""
    return facts.clipping >= CLIPPED_SHARE


def out_of_time(facts: Facts) -> bool:
    """Whether the sound surely comes too early or too late, by more than is missed."""
    if facts.lag is None or abs(facts.lag.value) < LAG_MS:
        return False
    rare = (abs(facts.lag.value) - COMMON_LAG_MS) / (RARE_LAG_MS - COMMON_LAG_MS)
    least = LAG_CONFIDENCE + (RARE_LAG_CONFIDENCE - LAG_CONFIDENCE) * min(1.0, max(0.0, rare))
    return facts.lag.confidence >= least


def wrong_tempo(facts: Facts) -> float | None:
    """The factor that brings the sound to the picture's duration, where it is off by what a wrong tempo gives."""
    mismatch = facts.duration_mismatch
    if mismatch is None or facts.duration <= max(mismatch, 0.0):
        return None
    picture = facts.duration - mismatch
    if abs(mismatch) < MISMATCH_LEAST_S or not MISMATCH_SHARE <= abs(mismatch) / picture <= MISMATCH_MOST:
        return None
    return facts.duration / picture


def unjudgeable(facts: Facts | None, captions: Captions | None) -> str | None:
    """Why neither sound nor repair of a clip can be judged, whatever scores say; None: nothing in the facts says so.

    `near_silent`: nothing but a faint floor; `incomplete_sound`: the picture goes on, and there is no sound to it.
    """
    if facts is None or facts.muted:
        return None
    if facts.loudness is not None and facts.loudness <= FAINT_LUFS and not has_programme(facts, captions):
        return NEAR_SILENT
    mismatch = facts.duration_mismatch
    if mismatch is not None and mismatch < 0.0 and facts.duration < WHOLE_SHARE * (facts.duration - mismatch):
        return INCOMPLETE_SOUND
    return None
