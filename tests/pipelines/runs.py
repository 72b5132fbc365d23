"""Running commands in tests, and reading what they wrote."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import av
import pyarrow.parquet as pq

from avagent.pipelines.cli import main


def run(*arguments: object) -> int:
    """The exit code of a command."""
    return main([str(a) for a in arguments])


def refined(source: object, output: Path, *more: object) -> Path:
    """An output folder that `avagent refine` filled, with exit code 0."""
    assert run("refine", "--input", source, "--output", output, *more) == 0
    return output


def members(shard: Path) -> dict[str, bytes]:
    """All members of a shard, in order."""
    with tarfile.open(shard) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive.getmembers()}  # type: ignore[union-attr]


def keys(shards: list[Path]) -> list[str]:
    """Keys of the clips in these shards."""
    return [key for shard in shards for key in dict.fromkeys(name.split(".", 1)[0] for name in members(shard))]


def clips(output: Path) -> dict[str, dict[str, Any]]:
    """Rows of clips.parquet by key."""
    rows = pq.read_table(output / "_manifest" / "clips.parquet").to_pylist()
    return {row["key"]: row for row in rows}


def counts_add_up(output: Path, clips_in: int) -> None:
    """The promise: clips in = rows = clips in the shards + clips in `_errors`."""
    rows = pq.read_table(output / "_manifest" / "clips.parquet").num_rows
    in_shards = keys(sorted(output.glob("*.tar")))
    letters = [n for shard in (output / "_errors").glob("*.tar") for n in members(shard) if n.endswith(".error.json")]
    assert clips_in == rows == len(in_shards) + len(letters)
    index = json.loads((output / "index.json").read_text("utf-8"))
    assert sum(shard["nsamples"] for shard in index["shardlist"]) == len(in_shards)
    run_json = json.loads((output / "_manifest" / "run.json").read_text("utf-8"))
    assert run_json["counts"]["clips"] == clips_in
    assert (output / "_SUCCESS").exists()


def contents(output: Path) -> dict[str, str]:
    """Hash of every file by its path, times aside."""
    found: dict[str, str] = {}
    for path in sorted(p for p in output.rglob("*") if p.is_file()):
        name = str(path.relative_to(output))
        found[name] = hashlib.sha256(_timeless(path)).hexdigest()
    return found


def _timeless(path: Path) -> bytes:
    if path.name == "run.json":
        run_json = json.loads(path.read_text("utf-8"))
        return json.dumps(
            {k: v for k, v in run_json.items() if k not in ("seconds", "metrics", "throughput", "beam")}
        ).encode()
    if path.name == "rounds.parquet":
        return str(pq.read_table(path).drop_columns("seconds").to_pylist()).encode()
    if path.suffix == ".jsonl":
        return b"\n".join(_without_seconds(line) for line in path.read_bytes().splitlines())
    return path.read_bytes()


def _without_seconds(line: bytes) -> bytes:
    record = json.loads(line)
    for done in (record.get("history") or {}).get("rounds", []):
        done.pop("seconds")
    return json.dumps(record).encode()


def video_packets(data: bytes) -> list[tuple[bytes, int | None, int | None, bool]]:
    """Bytes, pts, dts and keyframe flag of every video packet."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        return [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in container.demux(stream) if p.size]


def audio_codec(data: bytes) -> str:
    """FFmpeg's name of the sound's codec."""
    with av.open(io.BytesIO(data)) as container:
        return container.streams.audio[0].codec_context.name
