"""What an edit did to a sound: what is recorded of it, and what it is judged by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a noise filter took away: the sound before it less the sound after it.

    Attributes:
        share_db: its power beside that of the sound before, in dB.
        rest_db: power of what is left beside that of the sound before, in dB.
        loudness: its K-weighted level without gates, in LUFS; None: silence, or under 0.1 s.
        noise_like: ratio of the geometric to the arithmetic mean over time of its power, bins weighted by their power,
            in [0, 1]: 0.56 for steady Gaussian noise of any colour, up to 1 for steady tones, low for what comes and
            goes.
        spread_db: deviation over time of its power in each bin, smoothed over 0.1 s, bins weighted by their power.
        drift_db: how much its level in 12 bands differs between the quarters of the clip.
        tonality: share of its power in lines that stand 8 dB above their neighbours, in [0, 1].
    """

    share_db: float
    rest_db: float
    loudness: float | None
    noise_like: float
    spread_db: float
    drift_db: float
    tonality: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TempoEvidence:
    """How well the onsets of the whole clip follow the motion at several tempos, each at its best lag.

    In standard deviations of what unrelated curves reach.

    Attributes:
        claimed: at the tempo that the edit gives.
        unchanged: at the tempo as it came.
        best_other: the best of other tempos.
    """

    claimed: float
    unchanged: float
    best_other: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EditEffect:
    """How much an edit changed a clip's sound, all its actions since the original together.

    Attributes:
        si_sdr: of the sound against the original, moved back and level matched, in dB, at most 60; None: its tempo or
            pitch was changed, so that samples cannot be compared, or one of both is silent.
        loudness_change: in LU; None: one of both is silent.
        moved_ms: how much later it comes, in ms.
        tempo_change: how much faster it plays, in percent.
        transposed: in semitones.
        changed_s: time in which this round changed samples at all, in s.
        removed: what this round's noise filter took away; None: it had none.
        tempo: evidence for this round's change of tempo; None: it had none, or nothing can be told.
        level_si_sdr: of the sound after this round's change of level against the sound before it, in dB, at most 60:
            low where a limiter, or a gain that moves, changed its shape. None: it had none.
    """

    si_sdr: float | None
    loudness_change: float | None
    moved_ms: float = 0.0
    tempo_change: float = 0.0
    transposed: float = 0.0
    changed_s: float = 0.0
    removed: Removed | None = None
    tempo: TempoEvidence | None = None
    level_si_sdr: float | None = None
