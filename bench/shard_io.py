"""Reading and writing shards, side by side in one run with `tarfile`, `webdataset`, TensorFlow and Beam's TFRecord IO.

    python bench/shard_io.py [--clips 200] [--mebibytes 1] [--passes 7] [--tensorflow PYTHON]

Every pass runs every way once, in turn; what is reported is the median of the passes' rates and, for the goals, the
median of the *ratios within a pass*: the machine's speed changes from one second to the next. Files lie in the page
cache. Reading delivers every member's bytes; rows marked with SHA-256 hash them, as a run does. `--tensorflow` names an
interpreter that has TensorFlow, which need not be in this environment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from _shard_io_beam import beam_read, beam_write, our_beam_read, our_beam_write
from _shard_io_ways import SHARDS, Corpus, make_corpus, read_ways, write_ways

RESULTS = Path(__file__).resolve().parent / "results" / "shard_io.json"
TENSORFLOW = Path(__file__).resolve().parent / "_shard_io_tensorflow.py"
GOALS: tuple[tuple[str, str, str, float], ...] = (
    ("tar read / raw", "tar read: avagent", "raw read", 0.7),
    ("tar write / raw", "tar write: avagent", "raw write", 0.7),
    ("tar read / webdataset", "tar read: avagent", "tar read: webdataset", 3.0),
    ("tar write / webdataset", "tar write: avagent", "tar write: webdataset", 3.0),
    ("TFRecord read / Beam", "TFRecord read, pipeline: avagent", "TFRecord read, pipeline: Beam", 3.0),
    (
        "TFRecord write / Beam, fixed shards",
        "TFRecord write, pipeline: avagent",
        "TFRecord write, pipeline, fixed shards: Beam",
        3.0,
    ),
    (
        "TFRecord write / Beam, any shards",
        "TFRecord write, pipeline: avagent",
        "TFRecord write, pipeline, any shards: Beam",
        3.0,
    ),
)


def all_ways(corpus: Corpus) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    return {
        **read_ways(corpus),
        **write_ways(corpus),
        "TFRecord read, pipeline: Beam": lambda: beam_read(corpus),
        "TFRecord read, pipeline: avagent": lambda: our_beam_read(corpus),
        "TFRecord write, pipeline, fixed shards: Beam": lambda: beam_write(corpus, SHARDS),
        "TFRecord write, pipeline, any shards: Beam": lambda: beam_write(corpus, 0),
        "TFRecord write, pipeline: avagent": lambda: our_beam_write(corpus),
    }


def measure(corpus: Corpus, passes: int) -> dict[str, list[float]]:
    """MB/s of every way in every pass; what comes first in a pass is another way each time."""
    ways = list(all_ways(corpus).items())
    rates: dict[str, list[float]] = {name: [] for name, _ in ways}
    for number in range(passes + 1):
        turn = number % len(ways)
        for name, work in ways[turn:] + ways[:turn]:
            started = time.perf_counter()
            work()
            if number:  # the first pass warms up
                nbytes = corpus.nbytes * (SHARDS if "pipeline" in name else 1)
                rates[name].append(nbytes / (time.perf_counter() - started) / 1e6)
    return rates


def with_tensorflow(python: str, corpus: Corpus, passes: int) -> Mapping[str, list[float]]:
    """The same by TensorFlow's reader and writer, in an interpreter that has it."""
    command = [python, str(TENSORFLOW), str(corpus.tfrecord), str(passes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _others(result: Mapping[str, object]) -> list[dict[str, object]]:
    """Earlier results with clips of another size."""
    found = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else []
    return [known for known in found if known["mebibytes"] != result["mebibytes"]]


def main() -> None:
    """Measure, print, add to `bench/results/shard_io.json`."""
    parser = argparse.ArgumentParser(description="Speed of reading and writing shards beside other packages.")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--mebibytes", type=float, default=1.0, help="size of a clip")
    parser.add_argument("--passes", type=int, default=7)
    parser.add_argument("--tensorflow", metavar="PYTHON", help="an interpreter with TensorFlow")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avagent-io-") as name:
        corpus = make_corpus(Path(name), options.clips, int(options.mebibytes * (1 << 20)))
        rates = measure(corpus, options.passes)
        if options.tensorflow:
            rates.update(with_tensorflow(options.tensorflow, corpus, options.passes))
    ratios = {
        what: {"ratio": round(statistics.median(a / b for a, b in zip(rates[ours], rates[theirs], strict=True)), 2)}
        | {"goal": goal}
        for what, ours, theirs, goal in GOALS
    }
    result = {
        "clips": options.clips,
        "mebibytes": options.mebibytes,
        "megabytes_per_second": {what: round(statistics.median(found)) for what, found in rates.items()},
        "ratios": ratios,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([*_others(result), result], indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
