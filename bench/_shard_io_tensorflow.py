"""TensorFlow's reader and writer of TFRecord, for bench/shard_io.py: run by an interpreter that has TensorFlow.

python bench/_shard_io_tensorflow.py SHARD PASSES
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import tensorflow as tf


def main() -> None:
    """Print MB/s of every pass as the last line, in JSON."""
    shard, passes = sys.argv[1], int(sys.argv[2])
    records = [bytes(record.numpy()) for record in tf.data.TFRecordDataset(shard)]
    nbytes = sum(len(record) for record in records)
    read, write = [], []
    for _ in range(passes):
        started = time.perf_counter()
        count = sum(1 for _ in tf.data.TFRecordDataset(shard, buffer_size=8 << 20))
        read.append(nbytes / (time.perf_counter() - started) / 1e6)
        if count != len(records):
            raise SystemExit(f"{shard}: {count} of {len(records)} records read")
        target = Path(shard).with_suffix(".tensorflow")
        started = time.perf_counter()
        with tf.io.TFRecordWriter(str(target)) as writer:
            for record in records:
                writer.write(record)
        write.append(nbytes / (time.perf_counter() - started) / 1e6)
    print(json.dumps({"TFRecord read: TensorFlow": read, "TFRecord write: TensorFlow": write}))


if __name__ == "__main__":
    main()
