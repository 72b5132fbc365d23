"""Fuzz one target for a while: `python tests/fuzz/run.py tar --minutes 10`; see README.md."""

# ruff: noqa: T201, PLC0415  (a script; what is fuzzed is imported after it was instrumented)

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import random
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("fuzz", ".")]


@dataclass(slots=True)
class Campaign:
    """Executions so far, and what was found: one file for each place where an exception was raised."""

    name: str
    folder: Path
    slow_seconds: float
    deadline: float
    executions: int = 0
    found: dict[str, Path] = field(default_factory=dict)

    def try_one(self, fuzz_one, data: bytes) -> None:
        started = time.monotonic()
        self.executions += 1
        try:
            fuzz_one(data)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is a finding)
            last = traceback.extract_tb(error.__traceback__)[-1]
            self.keep(f"{type(error).__name__} {error!s:.300} at {Path(last.filename).name}:{last.lineno}", data)
        else:
            if (seconds := time.monotonic() - started) > self.slow_seconds:
                self.keep(f"slow at {time.strftime('%H:%M')}: {seconds:.0f} s", data)

    def keep(self, what: str, data: bytes) -> None:
        place = what.rpartition(" at ")[2] if " at " in what else what
        if what.startswith("BrokenPromise"):
            place = what[:60]
        if place in self.found:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.name}-{hashlib.sha256(data).hexdigest()[:10]}.bin"
        path.write_bytes(data)
        self.found[place] = path
        print(f"FOUND {what}\n      {path} ({len(data)} bytes)", flush=True)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.deadline


def fuzz_blindly(campaign: Campaign, target, seeds: list[bytes], seed: int) -> None:
    """Mutations of the seeds."""
    from mutations import mutate

    rng = random.Random(seed)  # noqa: S311  (repeatable is the point)
    while not campaign.over:
        campaign.try_one(target.fuzz_one, mutate(rng.choice(seeds), seeds, rng))


def fuzz_guided(campaign: Campaign, target, seeds: list[bytes], seed: int) -> None:
    """Atheris: inputs that reach new code are kept and mutated on. It ends this process."""
    import atheris

    corpus = campaign.folder / f"corpus-{campaign.name}"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(data)

    def one(data: bytes) -> None:
        campaign.try_one(target.fuzz_one, data)
        if campaign.over:
            finish(campaign)
            sys.stdout.flush()
            os._exit(0)

    options = [f"-seed={seed}", "-max_len=60000", "-verbosity=0", "-print_final_stats=0", "-rss_limit_mb=4096"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def finish(campaign: Campaign) -> None:
    print(f"{campaign.name}: {campaign.executions} executions, {len(campaign.found)} findings", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--engine", choices=("atheris", "blind"), default="blind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "fuzz", help="where findings go")
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if chosen.engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["avagent"]):
            from fuzz_targets import TARGETS, regressions
    else:
        from fuzz_targets import TARGETS, regressions
    target = TARGETS[chosen.target]
    seeds = [*target.seeds(), *(path.read_bytes() for path in regressions(chosen.target))]
    campaign = Campaign(chosen.target, chosen.to, 10.0, time.monotonic() + chosen.minutes * 60)
    for data in seeds:
        campaign.try_one(target.fuzz_one, data)
    (fuzz_guided if chosen.engine == "atheris" else fuzz_blindly)(campaign, target, seeds, chosen.seed)
    finish(campaign)
    return 1 if campaign.found else 0


if __name__ == "__main__":
    sys.exit(main())
