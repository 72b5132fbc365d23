"""What the decide phase needs; importing it loads no model runtime, which Beam's inference module does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from apache_beam.utils.shared import Shared

from avagent.core.decide import Policy
from avagent.core.ports import Captioner, Planner, Scorer
from avagent.transforms.store import StoreConfig

PortT = TypeVar("PortT")


class PortLoader(Generic[PortT]):
    """Loads a port once per process, however many stages use it.

    Beam's RunInference keeps one model per *step*; three unrolled rounds would load three. The token that all the
    handlers of a port share makes it one.

    Args:
        build: picklable, without arguments; makes the port.
    """

    def __init__(self, build: Callable[[], PortT]) -> None:
        self._build = build
        self._token = Shared()

    def __call__(self) -> PortT:
        """The port of this process."""
        return self._token.acquire(self._build)


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What the decide phase needs.

    Attributes:
        captioner, planner, scorer: loaders of the ports.
        policy: the loop's bounds.
        allowed: kinds of action that may be used.
        store: the worker's media store.
        max_batch: clips per model batch at most.
        evaluation: loader of a scorer that takes no part in decisions; None: no such scorer.
        progress: file that local workers report decided clips to; None: no such report.
    """

    captioner: PortLoader[Captioner]
    planner: PortLoader[Planner]
    scorer: PortLoader[Scorer]
    policy: Policy
    allowed: frozenset[str]
    store: StoreConfig
    max_batch: int = 1
    evaluation: PortLoader[Scorer] | None = None
    progress: str | None = None
