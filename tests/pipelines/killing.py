"""Runs that are killed at random moments, started again until they are done, and compared with one left in peace."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runs import contents
from scripted_runs import Logged

from avagent.shards.formats import read_shard
from avagent.shards.listing import list_shards
from avagent.shards.samples import BadSample

PHASES = ("start", "decide", "apply", "commit", "end")
"""`end`: `_SUCCESS` is there, the process is not gone yet."""
LIMIT_S = 400
"""For one command."""
Start = Callable[..., Logged]
"""Starts `avagent` with these arguments, as the leader of a process group."""


@dataclass(kw_only=True)
class Case:
    """What is run again and again.

    Attributes:
        start: starts a command.
        commands: (output folder) -> the commands of a whole run, in order; each may be repeated.
        source: folder of the input shards.
    """

    start: Start
    commands: Callable[[Path], Sequence[Sequence[object]]]
    source: Path

    @property
    def shards(self) -> int:
        return len(list_shards(str(self.source)))


@dataclass(kw_only=True)
class Peace:
    """A run left in peace: what it wrote, and how long its phases took in s."""

    contents: dict[str, str]
    seconds: dict[str, float]


@dataclass(kw_only=True)
class Trial:
    """What became of one output folder.

    Attributes:
        kills: by the phase in which they hit.
        differing: files that are not as those of the run left in peace.
        lost, duplicated: clips.
        leftovers: temporary files.
    """

    kills: Counter[str] = field(default_factory=Counter)
    differing: list[str] = field(default_factory=list)
    lost: int = 0
    duplicated: int = 0
    leftovers: list[str] = field(default_factory=list)


def phase_of(output: Path, shards: int) -> str:
    """Which phase a run has reached, by its files."""
    manifest = output / "_manifest"
    if not (manifest / "claim.json").exists():
        return "start"
    if _count(manifest / "decisions", ".jsonl") < shards:
        return "decide"
    if _count(manifest / "shards", ".json") < shards:
        return "apply"
    return "end" if (output / "_SUCCESS").exists() else "commit"


def _count(folder: Path, suffix: str) -> int:
    if not folder.is_dir():
        return 0
    names = [name for name in os.listdir(folder) if name.endswith(suffix) and not name.startswith(".")]  # noqa: PTH208
    return sum(not name.endswith(".repairs.jsonl") for name in names)


def run_in_peace(case: Case, output: Path) -> Peace:
    """Run all commands once, and see how long each phase takes."""
    seconds: defaultdict[str, float] = defaultdict(float)
    shards = case.shards
    for command in case.commands(output):
        process = case.start(*command, limit=LIMIT_S)
        last = time.perf_counter()
        while not _over(process):
            now = time.perf_counter()
            seconds[phase_of(output, shards)] += now - last
            last = now
        text = process.text()[-4000:]
        if process.returncode != 0:
            raise RuntimeError(f"{command} failed:\n{text}")
    return Peace(contents=contents(output), seconds={phase: seconds[phase] for phase in PHASES})


def run_under_fire(case: Case, output: Path, peace: Peace, targets: Sequence[str], rng: random.Random) -> Trial:
    """Start, kill in the phases named, start again; at last leave it in peace, and compare."""
    trial = Trial()
    left = list(targets)
    for command in case.commands(output):
        while True:
            process = case.start(*command, limit=LIMIT_S)
            target = left.pop(0) if left else None
            if target is not None and _kill(case, output, process, target, rng.uniform(0, peace.seconds[target])):
                trial.kills[phase_of(output, case.shards)] += 1
                continue
            text = process.text()[-4000:]
            if process.returncode != 0:
                raise RuntimeError(f"{command} failed after {dict(trial.kills)} kills:\n{text}")
            break
    found = contents(output)
    trial.differing = sorted(n for n in {*found, *peace.contents} if found.get(n) != peace.contents.get(n))
    trial.leftovers = sorted(str(p) for p in output.rglob("*") if p.name.endswith(".tmp"))
    before, after = keys_in([case.source]), keys_in([output, output / "_errors"])
    trial.lost = (before - after).total()
    trial.duplicated = (after - before).total()
    return trial


def keys_in(folders: Sequence[Path]) -> Counter[str]:
    """Keys of the clips, good or bad, in all shards of these folders."""
    found: Counter[str] = Counter()
    for folder in folders:
        for shard in list_shards(str(folder)) if list(folder.glob("*.t*")) else []:
            found.update(item.key if isinstance(item, BadSample) else item.ref.key for item in read_shard(shard))
    return found


def _kill(case: Case, output: Path, process: Logged, target: str, delay: float) -> bool:
    """Kill the process and its children some time after a phase has begun; False: it was done before."""
    number = PHASES.index(target)
    shards = case.shards
    while PHASES.index(phase_of(output, shards)) < number:
        if _over(process):
            return False
    if _over(process, delay):
        return False
    process.kill_group()
    process.text()
    return True


def _over(process: Logged, seconds: float = 0.001) -> bool:
    """Whether a process ends within some time."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
