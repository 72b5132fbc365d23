"""What an edit did to a clip's sound, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Callable

from avagent.core.actions import Action, Pitch, Shift, Speed
from avagent.core.captions import Captions
from avagent.core.effect import EditEffect
from avagent.core.media import Waveform
from avagent.core.plan import Plan
from avagent.core.ports import ClipView
from avagent.core.reflection import Objection, judge_edit
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
    )


def _distance(original: Waveform, after: Waveform, actions: tuple[Action, ...]) -> float | None:
    back = undone(after, actions, original.length)
    return None if back is None else si_sdr(original.samples, back.samples)


def object_to_edit(
    views: Views, base: tuple[Action, ...], plan: Plan, effect: EditEffect, captions: Captions | None
) -> Objection | None:
    """What speaks against an edit by what it did; None: nothing. Raises MediaError, EditError."""
    before, after = views(base).facts(), views(base + plan.actions).facts()
    return None if before is None or after is None else judge_edit(plan, effect, before, after, captions)
