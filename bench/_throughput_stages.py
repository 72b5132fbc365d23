"""What every stage of a clip costs, called one after the other as the pipeline's functions call them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from _processor_time import processor_seconds
from overhead import fresh

from avagent.core.state import ClipDecision, ClipState, conclude
from avagent.media.container import decode_member
from avagent.media.decoder_process import process_decoder
from avagent.media.store import MediaStore
from avagent.pipelines.wiring import Wired
from avagent.records.decisions import write_decisions
from avagent.records.manifest import decisions_url
from avagent.transforms.loop import Loop
from avagent.transforms.read import ShardTask, read_states
from avagent.transforms.stages import (
    caption_clips,
    close_round,
    edit_clip,
    plan_clips,
    score_edits,
    score_originals,
)
from avagent.transforms.store import process_store
from avagent.transforms.write import ApplyTarget, apply_decisions


class Stages:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count a block."""
        started = processor_seconds()
        yield
        self.seconds[name] += processor_seconds() - started


def stage_costs(wired: Wired, shards: Sequence[str]) -> dict[str, float]:
    """Processor milliseconds a clip by stage; of the decoding, what sound alone takes is shown as well."""
    stages, loop = Stages(), fresh(wired).loop
    store = process_store(loop.store)
    decoder = process_decoder(loop.store.shards.decoding)
    clips = 0
    with tempfile.TemporaryDirectory(prefix="avagent-throughput-") as output:
        target = ApplyTarget(output=output, provenance=wired.provenance)
        for shard in shards:
            decisions: list[ClipDecision] = []
            with stages.timed("read"):
                states = list(read_states(ShardTask(url=shard), store))
            for state in states:
                sound = store.clip(state.ref).sound().data
                with stages.timed("(decode sound alone)"):
                    decoder.run(decode_member, sound)
                decisions.append(_decide(state, stages, loop, store))
            with stages.timed("write decisions"):
                write_decisions(decisions_url(output, shard), decisions)
            with stages.timed("rewrite"):
                apply_decisions(shard, target)
            clips += len(states)
    return {name: 1000.0 * seconds / clips for name, seconds in stages.seconds.items()}


def _decide(state: ClipState, stages: Stages, loop: Loop, store: MediaStore) -> ClipDecision:
    captioner, scorer = loop.captioner(), loop.scorer()
    view = store.view(state.ref)
    with stages.timed("decode"):
        view.streams()
    with stages.timed("tags of sound"):
        captioner.caption_audio([view])
    with stages.timed("tags of pictures"):
        captioner.caption_video([view])
    with stages.timed("facts"):
        view.facts()
    with stages.timed("caption and score"):
        (state,) = caption_clips([state], captioner, store)
        (state,) = score_originals([state], scorer, store)
        state = close_round(state, loop.policy)
    while (decision := conclude(state, loop.policy)) is None:
        with stages.timed("plan"):
            (state,) = plan_clips([state], loop.planner(), store, policy=loop.policy, allowed=loop.allowed)
        with stages.timed("edit"):
            state = edit_clip(state, store, policy=loop.policy)
        with stages.timed("measure, tag and score edits"):
            (state,) = score_edits([state], scorer, store)
            state = close_round(state, loop.policy)
    return decision
