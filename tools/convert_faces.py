"""Make the ONNX files of face detector and face mesh from the packaged TensorFlow Lite ones, and compare their answers.

    python tools/convert_faces.py MODEL.tflite [--to FILE] [--name NAME]

`MODEL.tflite` is `mediapipe/modules/face_detection/face_detection_short_range.tflite` of the wheel mediapipe 0.10.21
(Apache-2.0; `pip download --no-deps mediapipe==0.10.21`; taken out of the archive, never installed), or, for the mesh,
`mediapipe/modules/face_landmark/face_landmark.tflite` with `--to src/avagent/models/embedded/data/facemesh.onnx --name
facemesh`. Needs the extra `convert`. The graph is written down operator by operator, pictures with channels first
instead of last; the 16-bit weights stay as they are stored. The file depends on the model alone: two runs give the same
bytes. Exit code 1: the answers to random pictures differ by more than the limit below.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper

from avagent.models.embedded.sessions import open_session

OUTPUT = Path(__file__).resolve().parent.parent / "src/avagent/models/embedded/data/blazeface.onnx"
OPSET, IR_VERSION = 17, 8
LIMIT = 1e-3
"""Most that an answer differs, as a share of the largest."""
PICTURES = 8
DTYPES = {0: np.float32, 1: np.float16, 2: np.int32}
OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


@dataclass(slots=True)
class Conversion:
    """One subgraph on its way to ONNX; `names` holds, for each tensor, its name there."""

    model: Any
    names: dict[int, str] = field(default_factory=dict[int, str])
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    weights: list[onnx.TensorProto] = field(default_factory=list[onnx.TensorProto])

    @property
    def graph(self) -> Any:
        """The first subgraph: these models have one."""
        return self.model.subgraphs[0]

    def stored(self, tensor: int) -> np.ndarray | None:
        """What the file holds for a tensor; None: it is computed."""
        entry = self.graph.tensors[tensor]
        data = self.model.buffers[entry.buffer].data
        if data is None or len(data) == 0:
            return None
        return np.frombuffer(bytes(data), DTYPES[entry.type]).reshape(entry.shape)

    def shape(self, tensor: int) -> list[int]:
        """As TensorFlow Lite has it: channels last."""
        return [int(n) for n in self.graph.tensors[tensor].shape]

    def weight(self, tensor: int, axes: Sequence[int] | None = None, shape: tuple[int, ...] | None = None) -> str:
        """A stored tensor, or a 16-bit one that is widened, its axes in another order and shape; its name."""
        values = self.stored(tensor)
        if values is None:
            producer = next(o for o in self.graph.operators if tensor in o.outputs)
            values = self.stored(producer.inputs[0])
        if values is None:
            raise SystemExit(f"tensor {tensor} was expected to be stored in the file")
        name = f"w{len(self.weights)}"
        ordered = np.ascontiguousarray(values.transpose(axes) if axes is not None else values)
        ordered = ordered if shape is None else ordered.reshape(shape)
        self.weights.append(numpy_helper.from_array(ordered, name))
        return self.add("Cast", name, to=TensorProto.FLOAT) if values.dtype == np.float16 else name

    def constant(self, values: np.ndarray) -> str:
        """Values that the graph needs and the file does not hold; their name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; its name."""
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def input_of(self, operator: Any, place: int = 0) -> str:
        """The name of an operator's input that was computed before."""
        return self.names[int(operator.inputs[place])]


def convolution(at: Conversion, operator: Any, *, depthwise: bool) -> str:
    """Weights [out, height, width, in], or [1, height, width, channels] where each channel has its own."""
    options, kernel = operator.builtinOptions, at.shape(operator.inputs[1])[1:3]
    if options.dilationHFactor != 1 or options.dilationWFactor != 1:
        raise SystemExit("a dilated convolution: this is not the expected model")
    strides = [options.strideH, options.strideW]
    weight = at.weight(operator.inputs[1], (3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    group = at.shape(operator.inputs[0])[3] if depthwise else 1
    pads = padding(options.padding, at.shape(operator.inputs[0])[1:3], kernel, strides)
    inputs = at.input_of(operator), weight, at.weight(operator.inputs[2])
    return at.add("Conv", *inputs, group=group, kernel_shape=kernel, strides=strides, pads=pads)


def padding(kind: int, size: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Zeros added before and after, [top, left, bottom, right]: of an odd number, the one more comes after."""
    if kind == schema.Padding.VALID:
        return [0, 0, 0, 0]
    wanted = [max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(size, kernel, strides, strict=True)]
    before = [w // 2 for w in wanted]
    return [*before, *(w - b for w, b in zip(wanted, before, strict=True))]


def pooling(at: Conversion, operator: Any) -> str:
    """The largest of each window."""
    options = operator.builtinOptions
    kernel, strides = [options.filterHeight, options.filterWidth], [options.strideH, options.strideW]
    pads = padding(options.padding, at.shape(operator.inputs[0])[1:3], kernel, strides)
    return at.add("MaxPool", at.input_of(operator), kernel_shape=kernel, strides=strides, pads=pads)


def pad(at: Conversion, operator: Any) -> str:
    """Zeros around, [before, after] for each axis."""
    amounts = at.stored(operator.inputs[1])
    if amounts is None:
        raise SystemExit("a padding that is computed: this is not the expected model")
    ordered = amounts[[0, 3, 1, 2]].T.reshape(-1).astype(np.int64)
    return at.add("Pad", at.input_of(operator), at.constant(ordered))


def reshape(at: Conversion, operator: Any) -> str:
    """The order of the numbers is that of channels last."""
    last = at.add("Transpose", at.input_of(operator), perm=[0, 2, 3, 1])
    return at.add("Reshape", last, at.constant(np.array(at.shape(operator.outputs[0]), np.int64)))


def prelu(at: Conversion, operator: Any) -> str:
    """A slope for each channel: a x + (1 - a) max(0, x), both products as convolutions of one channel each.

    ONNX has an operator for it, for which onnxruntime leaves its blocked layout at every layer: 3.0 ms a picture for
    the face mesh; in this form 0.8 ms.
    """
    source, channels = at.input_of(operator), at.shape(operator.inputs[1])[-1]
    slope = at.weight(operator.inputs[1], (2, 0, 1), (channels, 1, 1, 1))
    rest = at.add("Sub", at.constant(np.ones(1, np.float32)), slope)
    below = at.add("Conv", source, slope, group=channels, kernel_shape=[1, 1])
    above = at.add("Conv", at.add("Relu", source), rest, group=channels, kernel_shape=[1, 1])
    return at.add("Add", below, above)


def convert(at: Conversion, operator: Any) -> str | None:
    """The node or nodes of one operator; None: it only widens a stored tensor, and is written where that is used."""
    code = at.model.operatorCodes[operator.opcodeIndex]
    kind = OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    if fused not in (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU):
        raise SystemExit(f"{kind} with activation {fused}: this is not the expected model")
    match kind:
        case "DEQUANTIZE":
            return None
        case "CONV_2D" | "DEPTHWISE_CONV_2D":
            made = convolution(at, operator, depthwise=kind == "DEPTHWISE_CONV_2D")
        case "ADD":
            made = at.add("Add", at.input_of(operator, 0), at.input_of(operator, 1))
        case "RELU":
            made = at.add("Relu", at.input_of(operator))
        case "PRELU":
            made = prelu(at, operator)
        case "MAX_POOL_2D":
            made = pooling(at, operator)
        case "PAD":
            made = pad(at, operator)
        case "RESHAPE":
            made = reshape(at, operator)
        case "CONCATENATION":
            names = [at.input_of(operator, i) for i in range(len(operator.inputs))]
            made = at.add("Concat", *names, axis=operator.builtinOptions.axis)
        case _:
            raise SystemExit(f"the operator {kind} is not known: this is not the expected model")
    return at.add("Relu", made) if fused else made


def build(data: bytes, name: str) -> onnx.ModelProto:
    """The ONNX model: float32 [1, 3, height, width] to the same answers in the same shapes."""
    at = Conversion(schema.ModelT.InitFromPackedBuf(data, 0))
    source = int(at.graph.inputs[0])
    at.names[source] = "picture"
    for operator in at.graph.operators:
        made = convert(at, operator)
        if made is not None:
            at.names[int(operator.outputs[0])] = made
    answers: list[onnx.ValueInfoProto] = []
    for tensor in at.graph.outputs:
        called, shape = at.graph.tensors[tensor].name.decode(), at.shape(tensor)
        if len(shape) == 4:
            shape = [shape[0], shape[3], shape[1], shape[2]]
        at.nodes.append(helper.make_node("Identity", [at.names[int(tensor)]], [called]))
        answers.append(helper.make_tensor_value_info(called, TensorProto.FLOAT, shape))
    _, height, width, channels = at.shape(source)
    shown = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, channels, height, width])
    made = helper.make_graph(at.nodes, name, [shown], answers, at.weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.producer_name = "avagent"
    onnx.checker.check_model(model, full_check=True)
    return model


def largest_difference(original: bytes, converted: bytes) -> float:
    """Between both networks' answers to random pictures, as a share of the largest answer."""
    reference, session = Interpreter(model_content=original), open_session(converted)
    reference.allocate_tensors()
    entry = reference.get_input_details()[0]
    random, worst = np.random.default_rng(0), 0.0
    for _ in range(PICTURES):
        picture = random.uniform(-1.0, 1.0, entry["shape"]).astype(np.float32)
        reference.set_tensor(entry["index"], picture)
        reference.invoke()
        found = session.run(None, {"picture": np.ascontiguousarray(picture.transpose(0, 3, 1, 2))})
        by_name = dict(zip([o.name for o in session.get_outputs()], found, strict=True))
        for detail in reference.get_output_details():
            wanted = reference.get_tensor(detail["index"])
            difference = np.abs(wanted.ravel() - by_name[detail["name"]].ravel()).max()
            worst = max(worst, float(difference / np.abs(wanted).max()))
    return worst


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; answers its exit code."""
    parser = argparse.ArgumentParser(
        description="Make the face detector's ONNX file, and compare it with the original."
    )
    parser.add_argument("model", type=Path, help="the .tflite file")
    parser.add_argument("--to", type=Path, default=OUTPUT, help="file to write")
    parser.add_argument("--name", default="blazeface", help="the graph's name")
    options = parser.parse_args(arguments)
    original = options.model.read_bytes()
    data = build(original, options.name).SerializeToString(deterministic=True)
    worst = largest_difference(original, data)
    options.to.write_bytes(data)
    print(f"{options.to.name}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    print(f"largest difference of an answer: {worst:.2g} of the largest")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
