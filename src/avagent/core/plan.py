"""A plan: at most one noise filter and at most one coordination action."""

from __future__ import annotations

from dataclasses import dataclass, field

from avagent.core.actions import Action, Coordination, NoiseFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to try in one round. An empty plan means: nothing here that an action could mend.

    Attributes:
        noise: the noise-filtering action, applied first.
        coordination: the coordination action, applied second.
        rationale: why, for the record.
    """

    noise: NoiseFilter | None = None
    coordination: Coordination | None = None
    rationale: str = field(default="", compare=False)

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions in the order in which they are applied."""
        return tuple(a for a in (self.noise, self.coordination) if a is not None)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.actions


def uses_only(plan: Plan, allowed: frozenset[str]) -> bool:
    """Whether every action of the plan belongs to the allowed kinds."""
    return all(action.kind in allowed for action in plan.actions)
