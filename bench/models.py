"""What a captioner reaches inside the pipeline against the bare model, called with media that is decoded already.

    python bench/models.py [--clips 12] [--repeats 3] [--captioner audio_llm --weights FOLDER --device cuda --wall]

Without weights a small random Qwen2-Audio is made: its captions mean nothing, its arithmetic is that of the real ones
on a small scale. The pipeline reads and decodes the clips and captions them in batches; the bare model gets all clips
at once, in the same batches. Times are processor seconds of this process, with one thread: steadier than wall time on
a shared machine, but without the decoding, which has a process of its own. Give real weights on a GPU `--wall`; the
smaller the model, the more of that is decoding.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import torch
import transformers
from _copies import ROOT, base_clips, write_copies

from avagent.core.decide import Policy
from avagent.models.registry import build_captioner, build_planner, build_scorer
from avagent.pipelines.beam_options import beam_options
from avagent.runs.run_plan import ShardTask
from avagent.shards.listing import list_shards
from avagent.transforms.loop import Loop, PortLoader
from avagent.transforms.read import STATES, ReadShards, read_states
from avagent.transforms.refine import CaptionClips
from avagent.transforms.store import StoreConfig, process_store

clock: Callable[[], float] = time.process_time
RESULTS = Path(__file__).resolve().parent / "results" / "models.json"
BASE_CLIPS = 6
SHARDS = 3
BATCH = 8


def random_weights(folder: Path) -> Path:
    """Qwen2-Audio with 8 million random weights, on the tokenizer of the tests."""
    sys.path.insert(0, str(ROOT / "tests"))
    from tiny_captioners import save_qwen2_audio  # noqa: PLC0415

    save_qwen2_audio(folder)
    config = transformers.Qwen2AudioConfig.from_pretrained(folder)
    audio = {"d_model": 192, "encoder_layers": 4, "encoder_attention_heads": 4, "encoder_ffn_dim": 768}
    text = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 4}
    for part, sizes in ((config.audio_config, audio), (config.text_config, {**text, "num_key_value_heads": 4})):
        for name, value in sizes.items():
            setattr(part, name, value)
    config.text_config.layer_types = None
    torch.manual_seed(0)
    transformers.Qwen2AudioForConditionalGeneration(
        transformers.Qwen2AudioConfig(
            audio_config=config.audio_config.to_dict(),
            text_config={k: v for k, v in config.text_config.to_dict().items() if k != "layer_types"},
            audio_token_index=config.audio_token_index,
        )
    ).save_pretrained(folder)
    return folder


def make_loop(name: str, options: dict[str, Any]) -> Loop:
    """The captioner with what else a loop must have."""
    return Loop(
        captioner=PortLoader(partial(build_captioner, name, options)),
        planner=PortLoader(partial(build_planner, "embedded")),
        scorer=PortLoader(partial(build_scorer, "embedded")),
        policy=Policy(),
        allowed=frozenset(),
        store=StoreConfig(),
        max_batch=BATCH,
    )


def fresh(loop: Loop) -> Loop:
    """The same ports with an empty media store."""
    return replace(loop, store=StoreConfig(run=uuid.uuid4().hex, max_bytes=1 << 30))


def bare(loop: Loop, shards: Sequence[str]) -> tuple[float, float]:
    """Processor seconds that decoding takes, and the captioner on what is decoded."""
    store, captioner = process_store(loop.store), loop.captioner()
    started = clock()
    views = [store.view(state.ref) for shard in shards for state in read_states(ShardTask(url=shard), store)]
    for view in views:
        view.audio()
        view.frames()
    decoded = clock()
    for first in range(0, len(views), BATCH):
        captioner.caption_audio(views[first : first + BATCH])
        captioner.caption_video(views[first : first + BATCH])
    return decoded - started, clock() - decoded


def by_pipeline(loop: Loop, shards: Sequence[str]) -> float:
    """Processor seconds of reading and captioning on Beam."""
    pipeline = beam.Pipeline(options=beam_options([]))
    tasks = [ShardTask(url=shard) for shard in shards]
    reading = ReadShards(loop.store, tempfile.gettempdir())
    read: Any = pipeline | "Shards" >> beam.Create(tasks, reshuffle=False) | "Read" >> reading
    _ = read[STATES] | "Captions" >> CaptionClips(loop)
    started = clock()
    pipeline.run().wait_until_finish()
    return clock() - started


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Rows of paired runs, and their medians."""
    weights = options.weights or str(random_weights(folder / "weights"))
    port_options = {"model": weights, "device": options.device, "max_new_tokens": 32}
    base = base_clips(folder / "base", BASE_CLIPS)
    rows: list[dict[str, float]] = []
    loop = make_loop(options.captioner, port_options)
    kept = loop.captioner.host()
    kept.load()  # the pipeline finds it so
    for number in range(options.repeats + 1):
        clips = options.clips if number else BASE_CLIPS
        copies = write_copies(base, folder / f"clips-{number}", clips, -(-clips // SHARDS))
        shards = list_shards(str(copies))
        decode_s, model_s = bare(fresh(loop), shards)
        pipeline_s = by_pipeline(fresh(loop), shards)
        if number:  # the first turn warms up
            row = {"decode_s": decode_s, "model_s": model_s, "pipeline_s": pipeline_s}
            rows.append({name: round(value, 3) for name, value in row.items()})
    return {
        "captioner": options.captioner,
        "device": options.device,
        "weights": options.weights or "random Qwen2-Audio",
        "clips": options.clips,
        "clock": "wall" if options.wall else "processor",
        "rows": rows,
        "model_clips_per_s": round(statistics.median(options.clips / r["model_s"] for r in rows), 3),
        "pipeline_clips_per_s": round(statistics.median(options.clips / r["pipeline_s"] for r in rows), 3),
        "pipeline_over_model": round(statistics.median(r["pipeline_s"] / r["model_s"] for r in rows), 3),
        "pipeline_over_model_and_decoding": round(
            statistics.median(r["pipeline_s"] / (r["model_s"] + r["decode_s"]) for r in rows), 3
        ),
    }


def main() -> None:
    """Measure, print, write `bench/results/models.json`."""
    parser = argparse.ArgumentParser(description="A captioner in the pipeline against the bare model.")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--captioner", default="audio_llm")
    parser.add_argument("--weights", help="folder; none: a small random model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--wall", action="store_true", help="wall time in place of processor time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.wall:
        global clock  # noqa: PLW0603
        clock = time.perf_counter
    with tempfile.TemporaryDirectory(prefix="avagent-models-") as name:
        result = measure(options, Path(name))
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
