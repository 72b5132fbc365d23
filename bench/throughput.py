"""Processor time a clip: all of `refine`, stage by stage, against decoding alone, and against another checkout.

    python bench/throughput.py [--against PATH] [--film FOLDER] [--only rendered|film] [--clips 60] [--repeats 3]

Two corpora: the demo's rendered clips, and real film (every video file below `--film`, cut to 7 s). Processor time is
user plus system time of all processes, the decoder's included; other work on the machine adds little to it. What is
compared takes turns, and the median of the paired ratios counts.

- `refine`: the command, over few clips and over many; the difference is the cost of the clips, the rest is start-up.
- floor: webdataset reads the shards, PyAV decodes every picture and all sound on one thread, once as its frames, once
  as arrays in the decoder's own formats; nothing else.
- decoding: what the store does with a clip's member (sound, pictures, motion), in this process and in the decoder's.
- pipeline: Beam against a bare loop over the same functions (`overhead.py`), in one process.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import webdataset
from _copies import base_clips, write_copies
from _processor_time import processor_seconds
from _throughput_stages import stage_costs
from overhead import by_loop, by_pipeline, fresh

from avagent.media.container import PictureChoice, decode_member, probe
from avagent.media.decoder_process import DecoderPool
from avagent.media.limits import DEFAULT_DECODING
from avagent.media.store import FrameSampling
from avagent.media.trim import trim
from avagent.pipelines.recipe import load_recipe
from avagent.pipelines.wiring import Wired, wire
from avagent.shards.listing import list_shards

ROOT = Path(__file__).resolve().parent.parent
FILM = ROOT / ".cache" / "media"
RESULTS = Path(__file__).resolve().parent / "results"
SUFFIXES = ("mp4", "mov", "mkv", "webm")
RENDERED_CLIPS, FEW_CLIPS, CLIPS_PER_SHARD, FILM_S = 33, 6, 30, 7.0
COMMAND = """
import sys
from pathlib import Path
from avagent.pipelines.cli import main
code = main(sys.argv[2:])
Path(sys.argv[1]).write_text(Path("/proc/self/status").read_text("ascii"), "ascii")
sys.exit(code)
"""
"""Runs the command line, then writes what the kernel says of the process. (What it says of a child that has ended
counts the memory of the parent that it was forked from.)"""
GOALS = {"against": 0.45, "decoding": 1.25, "decoder_process": 1.05, "pipeline": 1.05}

Row = dict[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Shards of one kind: a few clips, and many.

    Attributes:
        name: what the clips are.
        base: the members of the distinct clips.
        few, many: shards of FEW_CLIPS and of `clips` clips.
        clips: in `many`.
        seconds: mean duration of a clip.
    """

    name: str
    base: list[dict[str, bytes]]
    few: list[str]
    many: list[str]
    clips: int
    seconds: float


def corpus_of(name: str, base: list[dict[str, bytes]], folder: Path, clips: int) -> Corpus:
    """Every copy is a clip of its own."""
    few, many = (list_shards(str(write_copies(base, folder / size, count, CLIPS_PER_SHARD)))
                 for size, count in (("few", FEW_CLIPS), ("many", clips)))  # fmt: skip
    chosen = [media_of(base[i % len(base)]) for i in range(clips)]
    durations = [max(i.audio_duration or 0.0, i.video_duration or 0.0) for i in map(probe, chosen)]
    return Corpus(name, base, few, many, clips, statistics.mean(durations))


def media_of(members: Mapping[str, bytes]) -> bytes:
    """The container."""
    return next(members[suffix] for suffix in SUFFIXES if suffix in members)


def film_clips(folder: Path) -> list[dict[str, bytes]]:
    """Every film with picture and sound of at least 1 s, cut to 7 s at most."""
    found: list[dict[str, bytes]] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix[1:] in SUFFIXES):
        data, info = path.read_bytes(), probe(path.read_bytes())
        if not (info.has_audio and info.has_video) or (info.video_duration or 0.0) < 1.0:
            continue
        length = info.video_duration or 0.0
        parts = [data] if length <= 1.5 * FILM_S else [
            trim(data, start, start + FILM_S).data for start in range(0, int(length - FILM_S), int(FILM_S))
        ]  # fmt: skip
        found += [{path.suffix[1:]: part} for part in parts]
    return found


def refine_seconds(checkout: Path, shards: Sequence[str], output: Path) -> tuple[float, float]:
    """Processor seconds and peak resident MiB of the command of a checkout over these shards."""
    status = output.parent / "status"
    command = [sys.executable, "-c", COMMAND, str(status), "refine", "--input", str(Path(shards[0]).parent)]
    command += ["--output", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    with (output.parent / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=checkout, stdout=log, stderr=log)
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode != 0:
        raise SystemExit(f"{checkout}: refine failed: {(output.parent / 'log').read_text('utf-8')[-2000:]}")
    shutil.rmtree(output)
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text("ascii"))
    return usage.ru_utime + usage.ru_stime, int(peak) / 1024


def whole(corpus: Corpus, checkouts: Mapping[str, Path], repeats: int, folder: Path) -> dict[str, Row]:
    """The command by checkout: processor ms a clip and of the start, the medians of alternating runs."""
    costs: dict[str, list[float]] = {name: [] for name in checkouts}
    starts: dict[str, list[float]] = {name: [] for name in checkouts}
    peaks: dict[str, list[float]] = {name: [] for name in checkouts}
    for _ in range(repeats):
        for name, checkout in checkouts.items():
            few, _ = refine_seconds(checkout, corpus.few, folder / "out")
            many, peak = refine_seconds(checkout, corpus.many, folder / "out")
            clip = (many - few) / (corpus.clips - FEW_CLIPS)
            costs[name].append(clip)
            starts[name].append(few - FEW_CLIPS * clip)
            peaks[name].append(peak)
    rows: dict[str, Row] = {}
    for name in checkouts:
        cost = statistics.median(costs[name])
        ratios = [other / own for other, own in zip(costs[name], costs["this"], strict=True)]
        rows[name] = {
            "ms a clip": round(1000.0 * cost, 1),
            "clips/s a core": round(1.0 / cost, 2),
            "x realtime a core": round(corpus.seconds / cost, 1),
            "start, s": round(statistics.median(starts[name]), 2),
            "peak of one process, MiB": round(statistics.median(peaks[name])),
            "this / it": round(1.0 / statistics.median(ratios), 3),
        }
    return rows


def decode_frames(data: bytes, *, arrays: bool) -> None:
    """Every picture and all sound of a container, and nothing else."""
    with av.open(io.BytesIO(data)) as container:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        for stream in streams:
            stream.codec_context.thread_count = 1
        for frame in container.decode(*streams):
            if arrays:
                # PyAV's own arrays refuse pictures of an odd height.
                [np.array(memoryview(plane)) for plane in frame.planes]


def floor(shards: Sequence[str], *, arrays: bool) -> None:
    """What webdataset reads of the shards, decoded."""
    for sample in webdataset.WebDataset(list(shards), shardshuffle=False, empty_check=False):
        decode_frames(media_of(sample), arrays=arrays)


def decoding(corpus: Corpus, repeats: int) -> Row:
    """Decoding against the floor."""
    sampling, media = FrameSampling(), [media_of(corpus.base[i % len(corpus.base)]) for i in range(corpus.clips)]
    pictures = PictureChoice(count=sampling.count, max_side=sampling.max_side, least_keyframes=sampling.min_keyframes)
    pool = DecoderPool(DEFAULT_DECODING, size=1)
    pool.run(decode_member, media[0], pictures=pictures)
    ways: dict[str, Callable[[], object]] = {
        "floor, frames": lambda: floor(corpus.many, arrays=False),
        "floor, arrays": lambda: floor(corpus.many, arrays=True),
        "here": lambda: [decode_member(data, pictures=pictures) for data in media],
        "in the decoder process": lambda: [pool.run(decode_member, data, pictures=pictures) for data in media],
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            started = processor_seconds()
            work()
            taken[name].append(1000.0 * (processor_seconds() - started) / corpus.clips)
    pool.close()
    ratios = {
        "here / floor, frames": ("here", "floor, frames"),
        "here / floor, arrays": ("here", "floor, arrays"),
        "decoder process / here": ("in the decoder process", "here"),
    }
    row: Row = {f"{name}, ms a clip": round(statistics.median(values), 2) for name, values in taken.items()}
    for name, (one, other) in ratios.items():
        row[name] = round(statistics.median(a / b for a, b in zip(taken[one], taken[other], strict=True)), 3)
    return row


def pipeline(corpus: Corpus, wired: Wired, repeats: int, folder: Path) -> Row:
    """Beam against a bare loop; the same models, another store each time."""
    loops: list[float] = []
    ratios: list[float] = []
    for number in range(repeats + 1):
        # New copies each time: the models' own caches must not help the second one.
        one, other = (
            list_shards(str(write_copies(corpus.base, folder / f"{corpus.name}-{way}-{number}", corpus.clips, 20)))
            for way in ("loop", "pipeline")
        )
        loop = by_loop(fresh(wired), one, folder / f"{corpus.name}-a-{number}")
        beam = by_pipeline(fresh(wired), other, folder / f"{corpus.name}-b-{number}")
        if number:  # the first turn warms both up
            loops.append(1000.0 * loop.cpu / corpus.clips)
            ratios.append(beam.cpu / loop.cpu)
    return {
        "bare loop, ms a clip": round(statistics.median(loops), 1),
        "pipeline / loop": round(statistics.median(ratios), 3),
    }


def stages(corpus: Corpus, wired: Wired, repeats: int, folder: Path) -> Row:
    """Medians by stage, in ms a clip."""
    runs: list[dict[str, float]] = []
    for number in range(repeats + 1):
        # New copies each time: tags are kept by content.
        copies = write_copies(corpus.base, folder / f"{corpus.name}-stages-{number}", corpus.clips, CLIPS_PER_SHARD)
        costs = stage_costs(wired, list_shards(str(copies)))
        if number:  # the first turn warms up
            runs.append(costs)
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


def markdown(results: Mapping[str, Mapping[str, Mapping[str, Row] | Row]]) -> str:
    """All tables."""
    parts = [
        "# Processor time a clip\n\nWritten by `bench/throughput.py`; processor time of all processes, one core.\n"
    ]
    for corpus, tables in results.items():
        parts.append(f"## {corpus}\n")
        for title, table in tables.items():
            rows = table if all(isinstance(v, dict) for v in table.values()) else {title: table}
            head = list(next(iter(rows.values())))  # type: ignore[arg-type]
            lines = [f"| {title} | " + " | ".join(head) + " |", "|" + "---|" * (len(head) + 1)]
            lines += [f"| {name} | " + " | ".join(str(row[h]) for h in head) + " |" for name, row in rows.items()]  # type: ignore[index,union-attr]
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def main() -> None:
    """Measure, print, write `bench/results/throughput.json` and `.md`."""
    parser = argparse.ArgumentParser(description="Processor time a clip, stage by stage and against others.")
    parser.add_argument("--against", type=Path, help="another checkout, run by this Python with its own src")
    parser.add_argument("--film", type=Path, default=FILM, help="folder of real film")
    parser.add_argument("--only", choices=("rendered", "film"), help="this corpus; of the other, results stay")
    parser.add_argument("--clips", type=int, default=60, help="clips of each corpus")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    checkouts = {"this": ROOT} | ({} if options.against is None else {"against": options.against.resolve()})
    wired = wire(load_recipe("embedded"))
    file = RESULTS / "throughput.json"
    results: dict[str, dict[str, dict[str, Row] | Row]] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    results.pop("goals", None)
    with tempfile.TemporaryDirectory(prefix="avagent-throughput-") as name:
        folder = Path(name)
        kinds = {"rendered": base_clips(folder / "base", RENDERED_CLIPS), "film": film_clips(options.film)}
        for kind, base in kinds.items():
            if options.only not in (None, kind):
                continue
            for old in [title for title in results if title.startswith(f"{kind}:")]:
                del results[old]
            corpus = corpus_of(kind, base, folder / kind, options.clips)
            title = f"{kind}: {len(base)} clips in {corpus.clips} copies, {corpus.seconds:.1f} s each"
            tables: dict[str, Callable[[], dict[str, Row] | Row]] = {
                "refine": lambda corpus=corpus: whole(corpus, checkouts, options.repeats, folder),
                "decoding": lambda corpus=corpus: decoding(corpus, options.repeats),
                "stage": lambda corpus=corpus: stages(corpus, wired, options.repeats, folder),
                "pipeline": lambda corpus=corpus: pipeline(corpus, wired, options.repeats, folder),
            }
            results[title] = {}
            for table, measure in tables.items():
                results[title][table] = measure()
                print(title, table, results[title][table], flush=True)
    RESULTS.mkdir(exist_ok=True)
    text = markdown(results)
    (RESULTS / "throughput.md").write_text(text, encoding="utf-8")
    file.write_text(json.dumps({"goals": GOALS, **results}, indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
