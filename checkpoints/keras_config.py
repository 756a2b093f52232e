"""What the `model_config` of a Keras file tells of a vit-keras classifier.

It is JSON, and only read: no object is made from it. Every model of vit-keras has a layer of class
Lambda whose Python bytecode is in there; that layer takes the class token, so its name says all.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vit_sentiment.runtime.errors import UserError

EXTRACT_TOKEN = "ExtractToken"
"""Name of the one Lambda that is known."""
EPSILON = 1e-6
"""Of the LayerNorms; those within the blocks have it fixed (source: vit-keras, layers.py)."""

_CONTAINERS = ("Sequential", "Functional", "Model")
_KNOWN = (
    "InputLayer", "Conv2D", "Reshape", "ClassToken", "AddPositionEmbs", "Dropout",
    "TransformerBlock", "LayerNormalization", "Lambda", "Dense", "Multiply",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class KerasModel:
    """Facts that the weights do not show.

    Attributes:
      num_heads, dropout: of the blocks.
      image_size: of the input; None where it is left open.
      activations: of each Dense layer, by name.
      mask: factors on the probabilities, or None.
    """

    num_heads: int
    dropout: float
    image_size: tuple[int, int] | None
    activations: Mapping[str, str]
    mask: tuple[float, ...] | None


def parse(text: str) -> KerasModel:
    """Reads the JSON.

    Raises:
      UserError: it is not the config of a vit-keras classifier: other layers, a Lambda other than
        `ExtractToken`, blocks that differ, a mask somewhere else than at the end.
    """
    try:
        return _facts(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"model_config: not the description of a Keras model: {reason}") from error


def _facts(config: Mapping[str, Any]) -> KerasModel:
    layers = list(_layers(config))
    for kind, name, _ in layers:
        if kind == "Lambda" and name != EXTRACT_TOKEN:
            raise UserError(
                f"model_config: layer {name!r} of class Lambda holds code, which is never run; "
                f"the only Lambda that is known is {EXTRACT_TOKEN!r}"
            )
        if kind not in _KNOWN:
            raise UserError(f"model_config: layer {name!r} of class {kind!r}; not in vit-keras")
    blocks = {(c["num_heads"], c["dropout"]) for kind, _, c in layers if kind == "TransformerBlock"}
    if len(blocks) != 1:
        raise UserError(f"model_config: expected blocks that are alike, found {sorted(blocks)}")
    for kind, name, c in layers:
        if kind == "LayerNormalization" and not np.isclose(c["epsilon"], EPSILON, rtol=1e-3):
            raise UserError(
                f"model_config: layer {name!r}: epsilon {c['epsilon']}, expected {EPSILON}"
            )
    ((heads, dropout),) = blocks
    return KerasModel(
        num_heads=int(heads),
        dropout=float(dropout),
        image_size=_image_size(layers),
        activations={n: _activation(c["activation"]) for kind, n, c in layers if kind == "Dense"},
        mask=_mask(config, [name for kind, name, _ in layers if kind == "Multiply"]),
    )


def _layers(model: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Class, name and config of each layer of a model and of the models in it."""
    for layer in model["config"]["layers"]:
        kind = _without_package(layer["class_name"])
        if kind in _CONTAINERS:
            yield from _layers(layer)
        else:
            yield kind, layer["config"]["name"], layer["config"]


def _without_package(name: str) -> str:
    """`Custom>TransformerBlock`, as some versions write it, to `TransformerBlock`."""
    return name.rpartition(">")[2]


def _image_size(layers: Sequence[tuple[str, str, Mapping[str, Any]]]) -> tuple[int, int] | None:
    """Of the first input; Keras 3 calls its shape `batch_shape`."""
    for kind, _, config in layers:
        if kind == "InputLayer":
            _, height, width, _ = config.get("batch_input_shape") or config["batch_shape"]
            return (int(height), int(width)) if height and width else None
    return None


def _activation(value: Any) -> str:
    """A name, with or without its package, or an object that holds one."""
    if isinstance(value, Mapping):
        name = value["config"]
        value = name if isinstance(name, str) else value["registered_name"]
    return _without_package(value)


def _mask(model: Mapping[str, Any], multiply: Sequence[str]) -> tuple[float, ...] | None:
    """The constant that the output is multiplied by."""
    if not multiply:
        return None
    output = np.ravel(np.asarray(model["config"]["output_layers"], object))[0]
    (last,) = (x for x in model["config"]["layers"] if x["config"]["name"] == output)
    constants = list(_constants(last["inbound_nodes"]))
    if [output] != list(multiply) or len(constants) != 1:
        raise UserError(
            f"model_config: layers {list(multiply)} of class Multiply; expected one, at the end, "
            "that multiplies by a constant"
        )
    # The shortest decimal that is the same float32: 1e-7, not 1.0000000116860974e-07.
    return tuple(float(str(value)) for value in np.ravel(np.float32(constants[0])))


def _constants(value: Any) -> Iterator[Any]:
    """Constants among the inputs of a layer, as Keras 2 and as Keras 3 write them."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__tensor__":
            yield value["config"]["value"]
        else:
            for item in value.values():
                yield from _constants(item)
    elif isinstance(value, list):
        if len(value) > 2 and value[0] == "_CONSTANT_VALUE":
            yield value[2]
        else:
            for item in value:
                yield from _constants(item)
