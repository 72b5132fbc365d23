"""Time, memory and size of `avagent report`: of a run of 500 real clips, and of a manifest of two million rows.

    python bench/report.py [--rows N] [--clips N]

The clips are those of the demo under several keys, with the demo's decisions (kept in `.cache/bench`). The rows are
drawn at random, three rounds to two clips; their media are not there, and the page says so.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from avagent.pipelines.run import list_inputs
from avagent.records.decisions import read_decisions, write_decisions
from avagent.records.manifest import CLIPS_COLUMNS, ROUNDS_COLUMNS, decisions_url
from avagent.shards.formats import read_shard
from avagent.shards.samples import LoadedClip

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".cache" / "bench" / "report"
RESULTS = Path(__file__).resolve().parent / "results" / "report.json"
GROUP = 16_384
SHARD = 1_000
OUTCOMES = ("improved", "unchanged", "not_evaluable", "failed")
SHARES = (0.3, 0.6, 0.08, 0.02)
FILTERS, CHANGES = ("wiener_filter", "spectral_gate"), ("shift", "volume", "speed")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure `avagent report`.")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--clips", type=int, default=500)
    options = parser.parse_args()
    run = refined(options.clips)
    table = manifest(options.rows, run)
    found = {
        f"{options.clips} clips, 60 shown": measure(run),
        f"{options.rows} rows, 60 shown": measure(table),
    }
    print(json.dumps(found, indent=1))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


def measure(output: Path) -> dict[str, float]:
    """Wall and processor time in s, peak memory of the largest process in MB, size in MB."""
    page = WORK / "page.html"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    command = [sys.executable, "-m", "avagent.pipelines.cli", "report", str(output), "--to", str(page)]
    done = subprocess.run([sys.executable, "-c", _PEAK, *command], check=True, capture_output=True, text=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall_s": round(time.perf_counter() - started, 1),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_mb": round(int(done.stdout.splitlines()[-1]) / 1000, 0),
        "page_mb": round(page.stat().st_size / 1e6, 1),
    }


_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def refined(clips: int) -> Path:
    """A run of so many clips: the demo's decisions on the demo's clips, under as many keys as it takes, applied."""
    output = WORK / f"run-{clips}"
    if (output / "_SUCCESS").exists():
        return output
    demo, decided, shards = WORK / "demo", WORK / "decided", WORK / f"in-{clips}"
    if not (decided / "_manifest" / "clips.parquet").exists():
        _python(str(ROOT / "examples/demo/build_corpus.py"), "--to", str(demo))
        _avagent("refine", "--input", str(demo / "shards"), "--output", str(decided), "--decide-only")
    shards.mkdir(parents=True, exist_ok=True)
    copies(sorted((demo / "shards").glob("*.tar")), shards, clips)
    known = {d.ref.content_sha256: d for file in _decided(decided) for d in read_decisions(str(file))}
    target = WORK / f"decided-{clips}"
    urls = [str(path) for path in sorted(shards.glob("*.tar"))]
    for url in urls:
        items = [item for item in read_shard(url) if isinstance(item, LoadedClip)]
        write_decisions(
            decisions_url(str(target), url), [replace(known[i.ref.content_sha256], ref=i.ref) for i in items]
        )
    run = json.loads((decided / "_manifest" / "run.json").read_text("utf-8"))
    inputs = [{"url": shard.url, "bytes": shard.nbytes, "version": shard.version} for shard in list_inputs(urls)]
    (target / "_manifest" / "run.json").write_text(json.dumps({**run, "inputs": inputs}), "utf-8")
    _avagent("apply", "--decisions", str(target), "--output", str(output))
    return output


def _decided(output: Path) -> list[Path]:
    return sorted((output / "_manifest" / "decisions").glob("*.jsonl"))


def _avagent(*arguments: str) -> None:
    _python("-m", "avagent.pipelines.cli", *arguments)


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT)


def copies(sources: list[Path], target: Path, clips: int) -> None:
    """The clips again and again, each time under other keys, a shard for each turn."""
    turn, left = 0, clips
    while left > 0:
        with tarfile.open(target / f"copy-{turn:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
            keys: set[str] = set()
            for name, data in (member for source in sources for member in _members(source)):
                key, _, suffix = name.partition(".")
                if key not in keys and len(keys) == left:
                    break
                keys.add(key)
                info = tarfile.TarInfo(f"{key}-{turn:02d}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        left -= len(keys)
        turn += 1


def _members(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        return [(m.name, archive.extractfile(m).read()) for m in archive.getmembers()]  # type: ignore[union-attr]


def manifest(rows: int, run: Path) -> Path:
    """A folder with tables of so many clips, and another run's `run.json`."""
    folder = WORK / f"rows-{rows}"
    if (folder / "_manifest" / "rounds.parquet").exists():
        return folder
    (folder / "_manifest").mkdir(parents=True, exist_ok=True)
    (folder / "_manifest" / "run.json").write_bytes((run / "_manifest" / "run.json").read_bytes())
    rng = np.random.default_rng(0)
    for name, columns, make, count in (
        ("clips", CLIPS_COLUMNS, clip_columns, rows),
        ("rounds", ROUNDS_COLUMNS, round_columns, rows * 3 // 2),
    ):
        schema = pa.schema([pa.field(n, pa.type_for_alias(kind), nullable) for n, kind, nullable in columns])
        with pq.ParquetWriter(folder / "_manifest" / f"{name}.parquet", schema, compression="zstd") as writer:
            for start in range(0, count, GROUP):
                found = make(rng, start, min(GROUP, count - start))
                writer.write_table(pa.table(found, schema=schema))
    return folder


def clip_columns(rng: np.random.Generator, start: int, count: int) -> dict[str, Any]:
    """Columns of clips.parquet."""
    outcome = rng.choice(len(OUTCOMES), count, p=SHARES)
    edited = outcome == 0
    numbers = range(start, start + count)
    before, after = rng.beta(2, 2, (2, count)), rng.beta(5, 2, (2, count))
    unknown = rng.random((2, count)) < 0.2
    scores = {
        f"{score}_{when}": pa.array(values[i], mask=unknown[i] | (outcome == 3))
        for i, score in enumerate(("alignment", "synchronization"))
        for when, values in (("before", before), ("after", np.where(edited, after, before)))
    }
    hashes = rng.bytes(32 * count).hex()
    return {
        "key": [f"clip-{n:08d}" for n in numbers],
        "shard": [f"part-{n // SHARD:06d}.tar" for n in numbers],
        "content_sha256": [hashes[64 * i : 64 * (i + 1)] for i in range(count)],
        "outcome": [OUTCOMES[o] for o in outcome],
        "reason": [("threshold", "no_plan", "muted", "corrupt_media")[o] for o in outcome],
        **scores,
        "rounds": rng.integers(0, 4, count, np.int32),
        "fingerprint": ["f" * 64] * count,
        "actions": [action(rng) if e else "[]" for e in edited],
        "si_sdr": pa.array(rng.normal(12, 6, count), mask=~edited),
        "loudness_change": pa.array(rng.normal(0, 2, count), mask=~edited),
        "moved_ms": pa.array(np.where(rng.random(count) < 0.3, rng.normal(0, 200, count), 0.0), mask=~edited),
        "tempo_change": pa.array(np.zeros(count), mask=~edited),
        "transposed": pa.array(np.zeros(count), mask=~edited),
    }


def action(rng: np.random.Generator) -> str:
    """One accepted action, as the manifest has it."""
    return json.dumps([{"kind": "wiener_filter", "params": {"strength": round(float(rng.random()), 2)}}])


def round_columns(rng: np.random.Generator, start: int, count: int) -> dict[str, Any]:
    """Columns of rounds.parquet."""
    part = rng.integers(0, 2, count)
    accepted = rng.random(count) < 0.5
    noise = [FILTERS[rng.integers(2)] if p == 0 else None for p in part]
    other = [CHANGES[rng.integers(3)] if p == 1 else None for p in part]
    values = rng.random(count).round(2)
    return {
        "key": [f"clip-{n:08d}" for n in range(start, start + count)],
        "shard": [f"part-{n // SHARD:06d}.tar" for n in range(start, start + count)],
        "round": rng.integers(1, 4, count, np.int32),
        "base": ["original"] * count,
        "noise": noise,
        "coordination": other,
        "parameters": [
            f'{{"noise":{{"strength":{v}}}}}' if p == 0 else f'{{"coordination":{{"milliseconds":{v}}}}}'
            for p, v in zip(part, values, strict=True)
        ],
        "rationale": ["white noise, SNR 5.5 dB (confidence 1.00)"] * count,
        "alignment": rng.random(count),
        "synchronization": rng.random(count),
        "accepted": accepted,
        "objection": [None if a else ("not_noise", None)[rng.integers(2)] for a in accepted],
        "si_sdr": rng.random(count),
        "loudness_change": rng.random(count),
        "moved_ms": rng.random(count),
        "tempo_change": np.zeros(count),
        "transposed": np.zeros(count),
        "seconds": rng.random(count),
    }


if __name__ == "__main__":
    sys.exit(main())
