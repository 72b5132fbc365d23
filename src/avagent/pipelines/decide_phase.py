"""The decide phase: shards to decision files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from avagent import storage
from avagent.pipelines.phase import phase_progress
from avagent.pipelines.progress import Tally
from avagent.pipelines.run import InputShard, Session, run_phase
from avagent.records.manifest import shards_decided
from avagent.transforms.read import ShardTask


def decide_phase(session: Session, tasks: Sequence[ShardTask], inputs: Sequence[InputShard]) -> None:
    """Decide on every shard that has no decision file yet."""
    decided = shards_decided(session.output)
    todo = [task for task in tasks if storage.basename(task.url) not in decided]
    if not todo:
        return
    # Brings Beam's inference module and the model runtimes with it: half of what a night without changes would take.
    from avagent.transforms.decisions import DecideShards  # noqa: PLC0415

    wanted = {task.url for task in todo}
    nbytes = sum(shard.nbytes or 0 for shard in inputs if shard.url in wanted)
    limits = [task.clips for task in todo if task.clips is not None]
    tally = Tally(unit="clips", total_bytes=nbytes, total=sum(limits) if limits else None)
    with phase_progress(session.options, session.console, "decide", tally) as path:
        loop = replace(session.wired.loop, progress=path)
        try:
            run_phase(session, "decide", todo, DecideShards(loop, session.output))
        finally:
            loop.clean_up()
