"""The stages of a round with a scorer that likes every edit: what is kept is what the reflection lets pass."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scripted_ports import ScriptedCaptioner

from avagent.core.actions import EXTENDED_ACTIONS, Pitch, WienerFilter
from avagent.core.clip import Clip, ClipRef, Member, content_hash
from avagent.core.decide import Policy, Reflection
from avagent.core.errors import ClipError
from avagent.core.plan import Plan
from avagent.core.ports import ClipView, Planner, PlanRequest
from avagent.core.scores import Scores
from avagent.core.state import ClipDecision, ClipState, Outcome, conclude, resumed
from avagent.media.store import MediaStore
from avagent.models.baselines.eager import EagerPlanner
from avagent.models.baselines.random import RandomPlanner
from avagent.transforms.stages import caption_clips, close_round, edit_clip, plan_clips, score_edits, score_originals

RATE = 16_000
POLICY = Policy(threshold=1.0, max_rounds=6)


@dataclass
class Enthusiast:
    """Every action makes it better."""

    fingerprint: str = "enthusiast"
    margins: tuple[float, float] = (0.01, 0.01)
    asked: int = 0

    def score(self, views: Sequence[ClipView]) -> list[Scores | ClipError]:
        self.asked += len(views)
        return [Scores(alignment=min(0.95, 0.4 + 0.1 * len(v.actions)), synchronization=None) for v in views]


@dataclass(frozen=True)
class One:
    """Always the same plan."""

    offered: Plan
    fingerprint: str = "one"

    def plan(self, requests: Sequence[PlanRequest]) -> list[Sequence[Plan] | ClipError]:
        return [(self.offered,) for _ in requests]


def speech(seconds: float = 4.0):
    """Bursts of a voice-like tone with harmonics, over a floor 60 dB under it."""
    t = np.arange(round(seconds * RATE)) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12))
    bursts = np.clip(np.sin(2 * np.pi * 2.3 * t) * 3, 0, 1)
    return 0.1 * voice * bursts + 1e-4 * np.random.default_rng(1).standard_normal(t.size)


def noise(seconds: float = 4.0):
    return np.random.default_rng(2).standard_normal(round(seconds * RATE))


def state_of(samples, key: str = "a") -> tuple[ClipState, MediaStore]:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes())
    members = (Member(name=f"{key}.wav", suffix="wav", data=buffer.getvalue()),)
    ref = ClipRef(key=key, shard="s.tar", offset=0, length=1, content_sha256=content_hash(members))
    store = MediaStore(64 << 20, lambda _: pytest.fail("the clip was lost"))
    store.put(ref, Clip(key=key, members=members))
    return ClipState(ref=ref), store


def decide(state: ClipState, store: MediaStore, planner: Planner, scorer=None, policy: Policy = POLICY) -> ClipDecision:
    scorer = scorer or Enthusiast()
    (state,) = caption_clips([state], ScriptedCaptioner(), store)
    (state,) = score_originals([state], scorer, store)
    state = close_round(state, policy)
    while (decision := conclude(state, policy)) is None:
        (state,) = plan_clips([state], planner, store, policy=policy, allowed=EXTENDED_ACTIONS)
        state = edit_clip(state, store, policy)
        (state,) = score_edits([state], scorer, store)
        state = close_round(state, policy)
    return decision


@pytest.mark.parametrize("planner", [EagerPlanner(), RandomPlanner(), RandomPlanner(seed=1)])
def test_a_clean_clip_is_left_alone_whoever_plans_and_however_scores_rise(planner):
    decision = decide(*state_of(speech()), planner)
    assert decision.outcome is Outcome.UNCHANGED
    assert decision.history is not None
    assert all(r.objection for r in decision.history.rounds)
    assert all(r.effect for r in decision.history.rounds)


def test_by_scores_alone_it_is_not():
    decision = decide(*state_of(speech()), EagerPlanner(), policy=replace(POLICY, reflection=Reflection.SCORES))
    assert decision.outcome is Outcome.IMPROVED
    assert decision.history is not None
    effect = decision.history.rounds[0].effect
    assert effect is not None
    assert effect.si_sdr is not None


def test_noise_is_filtered_and_what_that_did_is_recorded():
    noisy = speech() + 0.03 * noise()
    decision = decide(*state_of(noisy), One(Plan(noise=WienerFilter())))
    assert decision.actions == (WienerFilter(),)
    assert decision.history is not None
    effect = decision.history.rounds[0].effect
    assert effect is not None
    assert effect.removed is not None
    assert 0 < (effect.si_sdr or 0) < 30
    assert effect.removed.noise_like == pytest.approx(0.55, abs=0.06)


def test_the_part_of_a_plan_that_stands_is_tried_and_the_whole_is_not_proposed_again():
    offered = Plan(noise=WienerFilter(), coordination=Pitch(semitones=2.0), rationale="both")
    decision = decide(*state_of(speech() + 0.03 * noise()), One(offered))
    assert decision.actions == (WienerFilter(),)
    assert decision.history is not None
    (done,) = decision.history.rounds
    assert done.plan == Plan(noise=WienerFilter())
    assert done.proposed == offered
    assert done.plan.rationale == "both; pitch dropped: no_transposition"


def test_near_silence_is_not_evaluable_and_nobody_is_asked():
    scorer = Enthusiast()
    decision = decide(*state_of(1.5e-3 * noise()), EagerPlanner(), scorer)
    assert (decision.outcome, decision.reason) == (Outcome.NOT_EVALUABLE, "near_silent")
    assert scorer.asked == 0
    assert decision.facts is not None


def test_a_quiet_programme_is_evaluable_and_is_raised():
    decision = decide(
        *state_of(0.03 * speech() + 1e-4 * noise()), EagerPlanner(), policy=replace(POLICY, max_rounds=20)
    )
    assert [a.kind for a in decision.actions] == ["volume"]
    assert decision.history is not None
    best = decision.history.best
    assert best is not None
    assert best.effect is not None
    assert best.effect.si_sdr is not None
    assert best.effect.si_sdr > 50
    assert best.effect.loudness_change is not None
    assert best.effect.loudness_change > 15


def test_a_later_run_goes_by_what_was_measured_unless_captions_changed():
    state, store = state_of(speech())
    first = decide(state, store, EagerPlanner())
    assert first.history is not None
    again = resumed(state.ref, first, captions=True, scores=True)
    scorer = Enthusiast()
    assert decide(again, store, EagerPlanner(), scorer).history == first.history
    assert scorer.asked == 0
    stale = resumed(state.ref, first, captions=False, scores=True)
    assert all(r.effect is None and r.objection is None for r in stale.known_rounds)
    assert decide(stale, store, EagerPlanner(), scorer).history == first.history
    assert scorer.asked == 0
