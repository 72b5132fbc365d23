"""What an edit did to a clip's sound, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from avagent.core.actions import Action, Pitch, Shift, Speed, Volume
from avagent.core.captions import Captions
from avagent.core.effect import EditEffect
from avagent.core.media import Waveform
from avagent.core.plan import Plan
from avagent.core.ports import ClipView
from avagent.core.reflection import Judgement, Objection, judge_edit, without_objected
from avagent.core.scores import Scores, with_timing
from avagent.dsp.measures.effect import changed_seconds, removed_part, si_sdr, tempo_evidence, undone

Views = Callable[[tuple[Action, ...]], ClipView]
"""The clip with any actions applied."""


def edit_effect(views: Views, base: tuple[Action, ...], plan: Plan) -> EditEffect | None:
    """What a plan did, and how far the sound has come from the original by now; None: there is no sound.

    Args:
        views: of the clip.
        base: the actions that the plan was applied on top of.
        plan: what was done.

    Raises:
        MediaError, EditError: the sound cannot be decoded or edited.
    """
    actions = base + plan.actions
    original, before = views(()).audio(), views(base).audio()
    filtered = before if plan.noise is None else views((*base, plan.noise)).audio()
    after = views(actions).audio()
    if original is None or before is None or filtered is None or after is None:
        return None
    known, edited = views(()).facts(), views(actions).facts()
    loudness = (known.loudness, edited.loudness) if known is not None and edited is not None else (None, None)
    motion = views(()).motion() if isinstance(plan.coordination, Speed) else None
    tempo = math.prod(action.factor for action in actions if isinstance(action, Speed))
    return EditEffect(
        si_sdr=_distance(original, after, actions),
        loudness_change=None if loudness[0] is None or loudness[1] is None else loudness[1] - loudness[0],
        moved_ms=sum(action.milliseconds for action in actions if isinstance(action, Shift)),
        tempo_change=100.0 * (tempo - 1.0),
        transposed=sum(action.semitones for action in actions if isinstance(action, Pitch)),
        changed_s=changed_seconds(before, after) if before.samples.shape == after.samples.shape else after.duration,
        removed=None if plan.noise is None else removed_part(before, filtered),
        tempo=None
        if motion is None or not isinstance(plan.coordination, Speed)
        else tempo_evidence(filtered, motion, plan.coordination.factor),
        level_si_sdr=si_sdr(filtered.samples, after.samples) if isinstance(plan.coordination, Volume) else None,
    )


def _distance(original: Waveform, after: Waveform, actions: tuple[Action, ...]) -> float | None:
    back = undone(after, actions, original.length)
    return None if back is None else si_sdr(original.samples, back.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a sound besides its facts.

    Attributes:
        captions: of the original.
        scores: of the sound, with the timing that the scorer found.
    """

    captions: Captions | None
    scores: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Reflected:
    """What comes of looking at an edit.

    Attributes:
        plan: what is to be scored: as it was proposed, or the part of it that nothing speaks against.
        effect: what it did; None: there is no sound.
        objection: what speaks against it; None: nothing.
    """

    plan: Plan
    effect: EditEffect | None
    objection: Objection | None


def reflect_on(
    views: Views,
    base: tuple[Action, ...],
    plan: Plan,
    known: Known,
    tried: Callable[[Plan], bool],
) -> Reflected:
    """Apply a plan and see what it did; where only one of its two parts is objected to, the other one stands.

    Args:
        views: of the clip.
        base: the actions that the plan is applied on top of.
        plan: as proposed.
        known: of the sound that the plan is applied to, besides its facts.
        tried: whether a plan was tried before: then it is not tried again in place of this one.

    Raises:
        MediaError, EditError: the sound cannot be decoded or edited.
    """
    effect, judgement = _judged(views, base, plan, known)
    rest = without_objected(plan, judgement)
    if rest is not None and not tried(rest):
        plan = rest
        effect, judgement = _judged(views, base, plan, known)
    return Reflected(plan=plan, effect=effect, objection=next((found for found in judgement if found), None))


def _judged(views: Views, base: tuple[Action, ...], plan: Plan, known: Known) -> tuple[EditEffect | None, Judgement]:
    effect = edit_effect(views, base, plan)
    before, after = with_timing(views(base).facts(), known.scores), views(base + plan.actions).facts()
    if effect is None or before is None or after is None:
        return effect, (None, None)
    return effect, judge_edit(plan, effect, before, after, known.captions)
