"""Requests to planners, with the facts of typical clips."""

from __future__ import annotations

from dataclasses import replace

from avagent.core.actions import EXTENDED_ACTIONS
from avagent.core.captions import Caption, Captions
from avagent.core.decide import Policy, record_round
from avagent.core.facts import Estimate, Facts, NoiseColour, lag_of
from avagent.core.history import Base, History
from avagent.core.plan import Plan
from avagent.core.ports import PlanRequest
from avagent.core.scores import Scores
from avagent.core.time_judgement import TimeJudgement

CLEAN = Facts(
    duration=6.0,
    rate=16_000,
    channels=1,
    loudness=-23.0,
    true_peak=-6.0,
    snr=Estimate(45.0, 1.0),
    duration_mismatch=0.0,
)
NOISY = replace(CLEAN, snr=Estimate(5.0, 1.0), noise_colour=NoiseColour.WHITE)


def late_by(facts: Facts, lag_ms: float, sure: float = 0.99) -> Facts:
    """Sound that comes so much after the picture."""
    in_time = 1.0 - sure
    timing = TimeJudgement(
        in_time=in_time, out_of_time=sure, lag_ms=lag_ms, lag_error_ms=12.0, cues=("touches", "motion")
    )
    return replace(facts, timing=timing, lag=lag_of(timing))


def off_tempo(facts: Facts, tempo: float) -> Facts:
    """Sound that runs at another tempo."""
    timing = TimeJudgement(in_time=0.01, out_of_time=0.99, tempo=tempo, tempo_error=0.003, cues=("motion",))
    return replace(facts, timing=timing, lag=lag_of(timing))


LATE = late_by(CLEAN, 240.0)
BROKEN = replace(
    late_by(NOISY, -243.0),
    gap_count=3,
    gap_seconds=0.2,
    longest_gap=0.1,
    loudness=-40.0,
    true_peak=-25.0,
    duration_mismatch=0.24,
)
"""Every coordination action but a transposition has its measure."""

CAPTIONS = Captions(
    audio=Caption("Siren (0.98), vehicle (0.81) and alarm (0.55) are heard."), video=Caption("A car is seen.")
)
BAD = Scores(alignment=0.4, synchronization=0.4)
WORSE = Scores(alignment=0.3, synchronization=0.4)
BETTER = Scores(alignment=0.6, synchronization=0.5)


def asked(facts: Facts | None, **changes: object) -> PlanRequest:
    request = PlanRequest(
        key="clip",
        captions=CAPTIONS,
        facts=facts,
        history=History(original=BAD),
        base=Base.ORIGINAL,
        allowed=EXTENDED_ACTIONS,
    )
    return replace(request, **changes)


def with_caption(request: PlanRequest, text: str) -> PlanRequest:
    return replace(request, captions=Captions(audio=Caption(text), video=request.captions.video))


def after(request: PlanRequest, plan: Plan, scores: Scores, base: Base = Base.ORIGINAL) -> PlanRequest:
    """The request of the next round, on the base that the loop would choose."""
    history = record_round(request.history, base, plan, scores, Policy())
    return replace(request, history=history, base=Base.CURRENT if history.rounds[-1].accepted else Base.ORIGINAL)
