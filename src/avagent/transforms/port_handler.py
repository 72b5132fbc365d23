"""The one adapter between our ports and Beam's RunInference."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from avagent.core.state import ClipDecision, ClipState
from avagent.media.store import MediaStore
from avagent.transforms.hosting import HostedPort
from avagent.transforms.loop import PortLoader, PortT
from avagent.transforms.metrics import count_served, stage_latency
from avagent.transforms.run_inference import ModelHandler
from avagent.transforms.store import StoreConfig

ItemT = TypeVar("ItemT", ClipState, ClipDecision)
Step = Callable[[Sequence[ItemT], PortT, MediaStore], Sequence[ItemT]]


class PortHandler(ModelHandler[ItemT, ItemT, HostedPort[PortT]], Generic[ItemT, PortT]):
    """Runs a pure batch function with a port, inside RunInference.

    Args:
        load: gives the port, once per process.
        step: from a batch of states, or of decisions, to as many; failures of single clips are values in them.
        store: the worker's media store.
        max_batch: clips per batch at most.
        stage: names the metrics: `STAGE_ms` is a batch's wall time, `STAGE_clips` its clips, `STAGE_tokens_out`,
            `STAGE_loads`, ... what the port counted.
    """

    def __init__(
        self, load: PortLoader[PortT], step: Step[ItemT, PortT], store: StoreConfig, *, max_batch: int, stage: str
    ) -> None:
        super().__init__(min_batch_size=1, max_batch_size=max_batch)
        self._load = load
        self._step = step
        self._store = store
        self._stage = stage

    def load_model(self) -> HostedPort[PortT]:
        """The port where it is loaded."""
        return self._load.host()

    def run_inference(
        self,
        batch: Sequence[ItemT],
        model: HostedPort[PortT],
        inference_args: Mapping[str, Any] | None = None,  # noqa: ARG002  (Beam's signature)
    ) -> Sequence[ItemT]:
        """The batch after this stage; the time spent is shared out over its clips."""
        model.load()
        started = time.perf_counter()
        with stage_latency(self._stage):
            served = model.run(self._step, batch, self._store)
        count_served(self._stage, len(batch), served.counts)
        share = (time.perf_counter() - started) / max(1, len(batch))
        return [_timed(state, share) for state in served.items]

    def get_num_bytes(self, batch: Sequence[ItemT]) -> int:
        """Bytes of media that the batch stands for."""
        return sum(state.ref.length for state in batch)

    def get_metrics_namespace(self) -> str:
        """Where RunInference puts its own counters (batch sizes, latencies)."""
        return f"avagent.{self._stage}"


def _timed(item: ItemT, seconds: float) -> ItemT:
    """A state's round took so much longer; a decision keeps no clock."""
    return replace(item, seconds=item.seconds + seconds) if isinstance(item, ClipState) else item
