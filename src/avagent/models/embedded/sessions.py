"""Networks in ONNX files, opened for one thread on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avagent.models.embedded.packages import require


def open_session(graph: bytes, weights: Mapping[str, bytes] | None = None) -> Any:
    """A session of onnxruntime.

    Clips are worked on one after the other, in many processes beside each other: threads within one would only contend.

    Args:
        graph: the ONNX file.
        weights: files beside it that hold its weights, by name.

    Raises:
        MissingModelError: onnxruntime is not installed; the message names the command.
    """
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    if weights:
        names, data = list(weights), list(weights.values())
        options.add_external_initializers_from_files_in_memory(names, data, [len(d) for d in data])
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
