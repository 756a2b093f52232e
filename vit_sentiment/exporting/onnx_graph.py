"""A model as an ONNX graph, written node by node, with the parameters' own names.

Opset 20 has LayerNormalization and Gelu as single nodes, which runtimes have kernels for. The patch
embedding stays a convolution, all other layers are MatMul or Gemm.
"""

import math
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from checkpoints import trees
from vit_sentiment.models.classifier import Params
from vit_sentiment.models.description import ModelDescription

OPSET = 20
IR_VERSION = 9
"""The one that came with the opset: older runtimes refuse newer ones."""

INPUT = "pixels"


class _Graph:
    """Nodes and initializers so far; each method adds nodes and gives the name of its result."""

    def __init__(self, flat: Mapping[str, np.ndarray]) -> None:
        self.flat = flat
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(value, name)
        return name

    def integers(self, *values: int) -> str:
        name = "_".join(["ints", *map(str, values)]).replace("-", "m")
        return self.constant(name, np.array(values, np.int64))

    def scalar(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, np.float32))

    def param(self, name: str, shape: tuple[int, ...] | None = None) -> str:
        value = self.flat[name]
        return self.constant(name, value if shape is None else value.reshape(shape))

    def op(self, kind: str, name: str, *inputs: str, **attributes: object) -> str:
        """A node called `name`, whose result is called the same."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def linear(self, name: str, x: str, layer: str, kernel: tuple[int, int] | None = None) -> str:
        """A Dense layer over the last axis of three."""
        product = self.op("MatMul", f"{name}/matmul", x, self.param(f"{layer}/kernel", kernel))
        bias = self.param(f"{layer}/bias", (kernel[1],) if kernel else None)
        return self.op("Add", name, product, bias)

    def gemm(self, name: str, x: str, layer: str) -> str:
        """A Dense layer of a head: [B, D] to [B, E]."""
        return self.op("Gemm", name, x, self.param(f"{layer}/kernel"), self.param(f"{layer}/bias"))

    def norm(self, d: ModelDescription, x: str, layer: str) -> str:
        scale, bias = self.param(f"{layer}/scale"), self.param(f"{layer}/bias")
        return self.op(
            "LayerNormalization", layer, x, scale, bias, axis=-1, epsilon=d.layer_norm_epsilon
        )

    def gelu(self, form: str, name: str, x: str) -> str:
        return self.op("Gelu", name, x, approximate={"tanh": "tanh", "exact": "none"}[form])


def make_model(
    description: ModelDescription, params: Params, metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """The graph: `pixels` float32 [batch, H, W, 3], RGB 0..255, to `probs`, `logits`, `features`.

    It computes in float32 whatever the description says. A model without head gives features alone.

    Args:
      metadata: texts by key that the file carries.
    """
    d = description
    flat = {name: np.asarray(value, np.float32) for name, value in trees.flatten(params).items()}
    g = _Graph(flat)
    tokens = _encoder(g, d, _tokens(g, d))
    outputs = {_features(g, d, tokens): d.hidden_size}
    if d.num_classes:
        _head(g, d)
        outputs = {"probs": d.num_classes, "logits": d.num_classes, **outputs}

    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    graph = helper.make_graph(
        g.nodes,
        "vit_sentiment",
        [value(INPUT, *d.image_size, 3)],
        [value(name, width) for name, width in outputs.items()],
        list(g.initializers.values()),
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="vit_sentiment",
    )
    helper.set_model_props(model, dict(metadata))
    return model


def _tokens(g: _Graph, d: ModelDescription) -> str:
    """Pixels to tokens [batch, T, D] with their positions."""
    low, high = d.input_range
    # As `normalise` does it, division first, so that no rounding differs.
    x = g.op("Div", "normalise/div", INPUT, g.scalar("normalise/range", 255.0 / (high - low)))
    x = g.op("Add", "normalise", x, g.scalar("normalise/low", low))
    x = g.op("Transpose", "embedding/nchw", x, perm=[0, 3, 1, 2])
    kernel = g.constant("embedding/kernel", g.flat["embedding/kernel"].transpose(3, 2, 0, 1))
    patch = [d.patch_size, d.patch_size]
    bias = g.param("embedding/bias")
    x = g.op("Conv", "embedding", x, kernel, bias, kernel_shape=patch, strides=patch)
    x = g.op("Reshape", "embedding/rows", x, g.integers(0, d.hidden_size, -1))
    x = g.op("Transpose", "embedding/tokens", x, perm=[0, 2, 1])
    if d.class_token:
        batch = g.op("Shape", "cls/batch", x, start=0, end=1)
        shape = g.op("Concat", "cls/shape", batch, g.integers(1, d.hidden_size), axis=0)
        cls = g.op("Expand", "cls/expand", g.param("cls"), shape)
        x = g.op("Concat", "cls/tokens", cls, x, axis=1)
    positions = g.param("Transformer/posembed_input/pos_embedding")
    return g.op("Add", "Transformer/posembed_input", x, positions)


def _attention(g: _Graph, d: ModelDescription, layer: str, queries: str, keys: str) -> str:
    """Attention of tokens [batch, T, D] over [batch, S, D] to [batch, T, D]."""
    square = (d.hidden_size, d.hidden_size)
    split = g.integers(0, 0, d.num_heads, d.hidden_size // d.num_heads)
    parts = {}
    for name, x, order in (
        ("query", queries, [0, 2, 1, 3]),
        ("key", keys, [0, 2, 3, 1]),
        ("value", keys, [0, 2, 1, 3]),
    ):
        part = g.linear(f"{layer}/{name}", x, f"{layer}/{name}", square)
        part = g.op("Reshape", f"{layer}/{name}/split", part, split)
        parts[name] = g.op("Transpose", f"{layer}/{name}/heads", part, perm=order)
    scale = g.scalar("attention/scale", 1 / math.sqrt(d.hidden_size // d.num_heads))
    x = g.op("MatMul", f"{layer}/products", parts["query"], parts["key"])
    x = g.op("Mul", f"{layer}/scaled", x, scale)
    x = g.op("Softmax", f"{layer}/weights", x, axis=-1)
    x = g.op("MatMul", f"{layer}/mixed", x, parts["value"])
    x = g.op("Transpose", f"{layer}/merge", x, perm=[0, 2, 1, 3])
    x = g.op("Reshape", f"{layer}/merged", x, g.integers(0, 0, d.hidden_size))
    return g.linear(f"{layer}/out", x, f"{layer}/out", square)


def _mlp(g: _Graph, d: ModelDescription, layer: str, x: str) -> str:
    x = g.linear(f"{layer}/Dense_0", x, f"{layer}/Dense_0")
    x = g.gelu(d.gelu, f"{layer}/gelu", x)
    return g.linear(f"{layer}/Dense_1", x, f"{layer}/Dense_1")


def _encoder(g: _Graph, d: ModelDescription, x: str) -> str:
    for number in range(d.num_layers):
        block = f"Transformer/encoderblock_{number}"
        y = g.norm(d, x, f"{block}/LayerNorm_0")
        y = _attention(g, d, f"{block}/MultiHeadDotProductAttention_0", y, y)
        x = g.op("Add", f"{block}/attended", x, y)
        y = g.norm(d, x, f"{block}/LayerNorm_1")
        x = g.op("Add", block, x, _mlp(g, d, f"{block}/MlpBlock_0", y))
    return g.norm(d, x, "Transformer/encoder_norm")


def _features(g: _Graph, d: ModelDescription, x: str) -> str:
    if d.pooling == "map":
        # The query is the same for every photo: one row, which broadcasts over the batch.
        probe = g.param("MAPHead_0/probe")
        y = _attention(g, d, "MAPHead_0/MultiHeadDotProductAttention_0", probe, x)
        z = _mlp(g, d, "MAPHead_0/MlpBlock_0", g.norm(d, y, "MAPHead_0/LayerNorm_0"))
        x = g.op("Add", "MAPHead_0", y, z)
        return g.op("Squeeze", "features", x, g.integers(1))
    if d.pooling == "cls":
        return g.op("Gather", "features", x, g.constant("first", np.array(0, np.int64)), axis=1)
    if d.class_token:
        last = g.integers(np.iinfo(np.int64).max)
        x = g.op("Slice", "patches", x, g.integers(1), last, g.integers(1))
    return g.op("ReduceMean", "features", x, g.integers(1), keepdims=0)


def _head(g: _Graph, d: ModelDescription) -> None:
    """From `features` to `logits` and `probs`."""
    if d.head_hidden:
        # The original head's GELU is the tanh form, whatever the backbone uses.
        hidden = g.gelu(
            "tanh", "head_hidden/gelu", g.gemm("head_hidden", "features", "head_hidden")
        )
        x = g.gemm("logits", hidden, "head_out")
    else:
        x = "features"
        if d.representation_size:
            x = g.op("Tanh", "pre_logits/tanh", g.gemm("pre_logits", x, "pre_logits"))
        x = g.gemm("logits", x, "head")
    if d.calibration is not None:
        temperature = g.scalar("calibration/temperature", d.calibration.temperature)
        x = g.op("Div", "calibration", x, temperature)
    if d.output_mask is None:
        g.op("Softmax", "probs", x, axis=-1)
        return
    x = g.op("Softmax", "softmax", x, axis=-1)
    g.op("Mul", "probs", x, g.constant("output_mask", np.array(d.output_mask, np.float32)))
