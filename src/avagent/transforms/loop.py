"""What the decide phase needs; importing it loads no model runtime, which Beam's inference module does."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from apache_beam.utils.multi_process_shared import MultiProcessShared
from apache_beam.utils.shared import Shared

from avagent.core.decide import Policy
from avagent.core.failure_rate import FailureLimit
from avagent.core.ports import Captioner, Planner, Scorer
from avagent.transforms.hosting import HostedPort
from avagent.transforms.store import StoreConfig

PortT = TypeVar("PortT")
Share = Literal["process", "machine"]


class PortLoader(Generic[PortT]):
    """Loads a port once per process, however many stages use it.

    Beam's RunInference keeps one model per *step*; three unrolled rounds would load three. The token that all the
    handlers of a port share makes it one.

    Args:
        build: picklable, without arguments; makes the port.
        share: `process`: every worker process loads its own; `machine`: the worker processes of a machine share one.
    """

    def __init__(self, build: Callable[[], PortT], share: Share = "process") -> None:
        self._build = build
        self._token, self._hosts = Shared(), Shared()
        self._tag = f"avagent-{uuid.uuid4().hex}" if share == "machine" else None

    def __call__(self) -> PortT:
        """The port of this process."""
        return self._token.acquire(self._build)

    def host(self) -> HostedPort[PortT]:
        """The port where it is loaded; a proxy of it if another process has it."""
        if self._tag is None:
            return self._hosts.acquire(partial(HostedPort, self))
        shared: Any = MultiProcessShared(partial(HostedPort, self._build), tag=self._tag)
        return shared.acquire()

    def clean_up(self) -> None:
        """Remove the address that a shared port left on this machine, when the run is over."""
        if self._tag is not None:
            for file in Path(tempfile.gettempdir()).glob(f"{self._tag}.*"):
                file.unlink(missing_ok=True)


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
        failures: when to give the run up; None: never.
        parts: the output folder, where decisions are kept as they come; None: they are not.
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
    failures: FailureLimit | None = None
    parts: str | None = None

    def clean_up(self) -> None:
        """Remove what shared ports left on this machine."""
        for loader in (self.captioner, self.planner, self.scorer, self.evaluation):
            if loader is not None:
                loader.clean_up()
