"""Time of nightly runs on top of an earlier one, against the first run (goals: nothing changed 1%, 1% changed 3%).

    python bench/refresh.py [--clips 2000] [--seconds 2]

Every run is an `avagent refine` process of its own with the default recipe. Clips are the demo's, cut short, each copy
with a member of its own. On top of the first run: nothing changed; 1% of the clips changed, all in one shard (a batch
that was delivered again), spread over all shards (labels that were put right), or added as a new shard; and another
threshold. Which shards a process opens for reading is told by Python's own audit events, whatever code opens them.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _copies import base_clips, write_copies

HERE = Path(__file__).resolve()
RESULTS = HERE.parent / "results" / "refresh.json"
BASE_CLIPS = 12
CLIPS_PER_SHARD = 100
GOALS = {"unchanged": 0.01, "one_shard": 0.03, "spread": 0.03, "new_shard": 0.03}


def run_watched(report: Path, arguments: list[str]) -> int:
    """`avagent` in this process; writes down which shards were opened for reading."""
    opened: set[str] = set()

    def watch(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and str(details[0]).endswith(".tar") and not (details[2] & (os.O_WRONLY | os.O_RDWR)):
            opened.add(str(details[0]))

    sys.addaudithook(watch)
    from avagent.pipelines.cli import main as avagent  # noqa: PLC0415  (what it opens at import is watched, too)

    code = avagent(arguments)
    nbytes = sum(Path(path).stat().st_size for path in opened)
    report.write_text(json.dumps({"shards_opened": len(opened), "bytes_in_them": nbytes}), encoding="utf-8")
    return code


def refine(folder: Path, source: Path, name: str, *more: str) -> dict[str, Any]:
    """Wall and processor time of one run, what it opened, and what it says of itself."""
    output, report = folder / name, folder / f"{name}.json"
    command = [sys.executable, str(HERE), "--watched", str(report), "refine", "--input", str(source)]
    command += ["--output", str(output), *more]
    started = time.perf_counter()
    _, status, usage = os.wait4(os.posix_spawn(command[0], command, os.environ), 0)
    wall = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        raise SystemExit(f"{' '.join(command)} failed")
    run = json.loads((output / "_manifest" / "run.json").read_text(encoding="utf-8"))
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        **json.loads(report.read_text(encoding="utf-8")),
        "phases_s": {phase: round(seconds, 2) for phase, seconds in run["seconds"].items()},
        "refresh": {key: value for key, value in run.get("refresh", {}).items() if key != "previous"},
    }


def change_clips(shard: Path, numbers: range) -> None:
    """Give these clips of a shard, by position, other content: their member `id`."""
    buffer = io.BytesIO()
    with tarfile.open(shard) as old, tarfile.open(fileobj=buffer, mode="w") as new:
        keys: dict[str, int] = {}
        for member in old.getmembers():
            key = member.name.split(".", 1)[0]
            position = keys.setdefault(key, len(keys))
            file = old.extractfile(member)
            data = b"" if file is None else file.read()
            if position in numbers and member.name.endswith(".id"):
                data += b" changed"
                member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    shard.write_bytes(buffer.getvalue())


def one_shard(source: Path, clips: int, _base: list[dict[str, bytes]]) -> None:
    """The last shard."""
    change_clips(max(source.glob("*.tar")), range(clips))


def spread(source: Path, clips: int, _base: list[dict[str, bytes]]) -> None:
    """The same number in every shard."""
    shards = sorted(source.glob("*.tar"))
    for shard in shards:
        change_clips(shard, range(max(1, clips // len(shards))))


def new_shard(source: Path, clips: int, base: list[dict[str, bytes]]) -> None:
    """One more shard."""
    made = write_copies(base, source.parent / "tonight", clips, clips)
    shutil.move(made / "copies-000000.tar", source / "tonight-000000.tar")
    shutil.rmtree(made)


CHANGES: dict[str, Callable[[Path, int, list[dict[str, bytes]]], None]] = {
    "one_shard": one_shard,
    "spread": spread,
    "new_shard": new_shard,
}


def restore(kept: Path, source: Path) -> None:
    """The corpus of the first run, times included."""
    for path in source.iterdir():
        before = kept / path.name
        if not before.exists():
            path.unlink()
        elif path.stat().st_mtime_ns != before.stat().st_mtime_ns:
            shutil.copy2(before, path)


def measure(folder: Path, clips: int, seconds: float) -> dict[str, Any]:
    """All runs."""
    base = base_clips(folder / "base", BASE_CLIPS, seconds)
    source = write_copies(base, folder / "in", clips, CLIPS_PER_SHARD)
    kept = Path(shutil.copytree(source, folder / "kept"))
    runs = {"first": refine(folder, source, "first")}
    onto = ("--previous", str(folder / "first"))
    runs["unchanged"] = refine(folder, source, "unchanged", *onto)
    for name, change in CHANGES.items():
        change(source, clips // 100, base)
        runs[name] = refine(folder, source, name, *onto)
        restore(kept, source)
    runs["other_threshold"] = refine(folder, source, "other_threshold", *onto, "--set", "policy.threshold=0.9")
    first = runs["first"]
    for run in runs.values():
        run["wall_share"] = round(run["wall_s"] / first["wall_s"], 4)
        run["cpu_share"] = round(run["cpu_s"] / first["cpu_s"], 4)
    return {
        "clips": clips,
        "shards": -(-clips // CLIPS_PER_SHARD),
        "seconds_a_clip": seconds,
        "runs": runs,
        "goals": GOALS,
    }


def main() -> int:
    """Measure, print, write `bench/results/refresh.json`."""
    if sys.argv[1:2] == ["--watched"]:
        return run_watched(Path(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(description="Time of nightly runs against the first.")
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a clip")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avagent-refresh-") as name:
        result = measure(Path(name), options.clips, options.seconds)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
