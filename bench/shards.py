"""Reading and rewriting shards: speed beside `tarfile` and `webdataset`, and peak memory against the size of a shard.

    python bench/shards.py [--clips 300] [--mebibytes 1]

Every figure is the best of several passes over one shard in the page cache. What is timed reads every member; the rows
marked with SHA-256 hash it as well. Memory is the peak resident set of a process that rewrites one shard.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from avagent import storage
from avagent.core.clip import Clip, ClipRef, Member
from avagent.core.state import ClipDecision, Outcome
from avagent.records.decisions import Provenance
from avagent.runs.rewrite import RewriteOptions, rewrite_shard
from avagent.shards.samples import BadSample
from avagent.shards.webdataset.samples import iter_samples, read_clip, read_shard

RESULTS = Path(__file__).resolve().parent / "results" / "shards.json"
PROVENANCE = Provenance(recipe="bench", fingerprint="0", models={}, version="0")
MEMORY_CLIPS = (50, 500)


def write_shard(path: Path, clips: int, nbytes: int) -> Path:
    """A shard of random media with two small members beside each."""
    rng = random.Random(0)  # noqa: S311 - bytes to fill a shard with
    with tarfile.open(path, "w") as archive:
        for number in range(clips):
            for suffix, data in (("mp4", rng.randbytes(nbytes)), ("json", b"{}"), ("txt", b"a dog barks")):
                info = tarfile.TarInfo(f"clip-{number:06d}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


def references(shard: str) -> list[ClipRef]:
    """The shard's clips."""
    return [item.ref for item in read_shard(shard) if not isinstance(item, BadSample)]


def rewrite(shard: str, output: str, refs: list[ClipRef]) -> None:
    """Every clip unchanged: the whole shard is copied, checked and given records."""
    decisions = (ClipDecision(ref=ref, outcome=Outcome.UNCHANGED, reason="threshold") for ref in refs)
    rewrite_shard(shard, decisions, RewriteOptions(output=output, edit=_no_edit, provenance=PROVENANCE))


def _no_edit(_ref: ClipRef, _clip: Clip, _actions: object) -> tuple[Member, ...]:
    return ()


def with_tarfile(shard: str) -> int:
    """All members by the standard library."""
    with tarfile.open(shard) as archive:
        files = (archive.extractfile(member) for member in archive)
        return sum(len(file.read()) for file in files if file is not None)


def with_webdataset(shard: str) -> int:
    """All samples by the `webdataset` package, which is imported late: it may bring torch along."""
    from webdataset.tariterators import group_by_keys, tar_file_iterator  # noqa: PLC0415

    with Path(shard).open("rb") as stream:
        files = ({**file, "__url__": shard} for file in tar_file_iterator(cast("tarfile.TarFile", stream)))
        return sum(1 for _ in group_by_keys(files))


def best(work: Callable[[], object], passes: int = 5) -> float:
    """Seconds of the fastest pass."""
    times: list[float] = []
    for _ in range(passes):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def speeds(shard: str, output: str) -> Iterator[tuple[str, float]]:
    """(what, MB/s) of every way."""
    nbytes, refs = storage.size(shard), references(shard)
    ways: list[tuple[str, Callable[[], object]]] = [
        ("bytes alone", lambda: sum(len(block) for block in storage.iter_range(shard, 0, nbytes))),
        ("tarfile: read members", lambda: with_tarfile(shard)),
        ("webdataset: read samples", lambda: with_webdataset(shard)),
        ("avagent: read samples", lambda: sum(1 for _ in iter_samples(shard))),
        ("avagent: read samples, SHA-256", lambda: sum(1 for _ in read_shard(shard))),
        ("avagent: clips by range, SHA-256", lambda: sum(read_clip(ref).nbytes for ref in refs)),
        ("avagent: rewrite unchanged, SHA-256 and MD5", lambda: rewrite(shard, output, refs)),
    ]
    for what, work in ways:
        yield what, nbytes / best(work) / 1e6


def peak_of_rewriting(shard: str, output: str) -> float:
    """Peak resident set in MiB of a process of its own."""
    command = [sys.executable, __file__, "--rewrite", shard, output]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024


def main() -> None:
    """Measure, print, write `bench/results/shards.json`."""
    parser = argparse.ArgumentParser(description="Speed and memory of reading and rewriting shards.")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--mebibytes", type=float, default=1.0, help="size of a clip")
    parser.add_argument("--rewrite", nargs=2, metavar=("SHARD", "OUTPUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rewrite:
        shard, output = options.rewrite
        rewrite(shard, output, references(shard))
        return
    nbytes = int(options.mebibytes * (1 << 20))
    with tempfile.TemporaryDirectory(prefix="avagent-shards-") as name:
        folder = Path(name)
        output = str(folder / "out")
        # Memory first: a process that is started counts what its parent had in memory at that time.
        peaks = {
            clips: round(peak_of_rewriting(str(write_shard(folder / "shard.tar", clips, nbytes)), output), 1)
            for clips in MEMORY_CLIPS
        }
        shard = str(write_shard(folder / "shard.tar", options.clips, nbytes))
        rates = {what: round(rate) for what, rate in speeds(shard, output)}
    few, many = peaks.values()
    result = {"megabytes_per_second": rates, "peak_mib_by_clips": peaks, "growth": round(many / few - 1, 4)}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
