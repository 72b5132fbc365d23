"""How far a run is, told from the files of its output folder: whoever runs it, and wherever."""

from __future__ import annotations

from dataclasses import dataclass

from avagent import storage
from avagent.core.errors import UsageError
from avagent.records.manifest import manifest_url, shards_decided
from avagent.runs.commit import CLAIM_FILE, RUN_FILE, SUCCESS_FILE
from avagent.runs.decision_parts import clips_in_parts
from avagent.runs.run_plan import Work, read_plan
from avagent.runs.shard_reports import shards_reported


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How far a run is.

    Attributes:
        complete: whether `_SUCCESS` is there.
        work: which parts it has; None: no plan is there, it is finished or was not started.
        shards: of the input; None: see `work`.
        decided: shards with decisions.
        clips: decided in other shards, about.
        written: shards with a report.
    """

    complete: bool
    work: Work | None
    shards: int | None
    decided: int
    clips: int
    written: int

    def lines(self) -> list[str]:
        """For people; the last is the one that changes most."""
        if self.complete:
            return [f"complete: {self.written} shards"]
        if self.work is None:
            return [f"not running: {self.decided} shards decided, {self.written} written"]
        line = f"{self.work}: {self.shards} shards, {self.decided} decided"
        if self.clips:
            line += f" and {self.clips} clips of others"
        return [line if self.work is Work.DECIDE else f"{line}, {self.written} written"]


def read_status(output: str) -> RunStatus:
    """How far the run in a folder is.

    Raises:
        UsageError: no run was begun there.
        OSError: storage failed.
    """
    if not storage.exists(manifest_url(output, CLAIM_FILE)) and not storage.exists(manifest_url(output, RUN_FILE)):
        raise UsageError(f"{output} holds no run of avagent")
    complete = storage.exists(storage.join(output, SUCCESS_FILE))
    plan = None if complete else read_plan(output)
    return RunStatus(
        complete=complete,
        work=plan.work if plan is not None else None,
        shards=len(plan.tasks) if plan is not None else None,
        decided=len(shards_decided(output)),
        clips=0 if plan is None else clips_in_parts(output),
        written=len(shards_reported(output)),
    )
