"""Keras `.h5` files of vit-keras classifiers, as the original system saved them.

A whole model has its weights below `model_weights`, a `model_config` and often the state of an
optimiser, which is ignored; a file of weights alone has them at the top. The order depends on what
was frozen and on versions, so everything goes by name (see `checkpoints.keras_names`).
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import h5py
import jax
import numpy as np

from checkpoints import google_npz, hdf5, keras_config, keras_names, trees
from checkpoints.described import Described, refuse_loss
from checkpoints.keras_config import KerasModel
from vit_sentiment.models.classifier import Params
from vit_sentiment.models.description import VARIANTS, ModelDescription, sizes
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

WEIGHTS_GROUP = "model_weights"
DROPOUT = 0.1
"""Of every vit-keras model; a file of weights does not tell it."""
KERAS_VERSION = "2.15.0"
"""Whose layout is written."""

_MASK = re.compile(r"multiply(_\d+)?")
_ACTIVATIONS = {
    "pre_logits": ("tanh",),
    "head_hidden": ("gelu",),
    "head_out": ("softmax", "linear"),
    "head": ("softmax", "linear"),
}


def read(
    path: str | os.PathLike[str],
    *,
    num_heads: int | None = None,
    image_size: tuple[int, int] | None = None,
    mask: tuple[float, ...] | None = None,
    input_range: tuple[float, float] | None = None,
    fallback_heads: int | None = None,
) -> tuple[Described, trees.Flat]:
    """Reads a file: what it says of its model, and its arrays under our names.

    Args:
      num_heads: of a file of weights alone that is not of a known size.
      image_size: of a file of weights alone whose positions are not a square grid.
      mask: factors on the probabilities, of a k-fold model's file of weights alone.
      input_range: what no Keras file tells; [-1, 1] without it.
      fallback_heads: taken where nothing else tells.

    Raises:
      UserError: no such file, damaged, another model, a Lambda that is not known, a hint that
        contradicts; or arrays do not fit, all of them in one message under Keras' names.
    """
    with hdf5.opened(path) as file, _named(path):
        text = hdf5.text(file, "model_config")
        model = None if text is None else keras_config.parse(text)
        group = hdf5.member(file, WEIGHTS_GROUP) or file
        found = hdf5.contents(group, leave_out=("optimizer_weights",))
        names, problems = keras_names.released(found.arrays)
        shapes = {name: found.arrays[theirs].shape for name, theirs in names.items()}
        if not any(name.startswith("Transformer/encoderblock_") for name in shapes):
            raise UserError(_no_blocks(found))
        heads, heads_source = _heads(shapes, model, num_heads, fallback_heads)
        description = google_npz.description_from_shapes(
            shapes,
            num_heads=heads,
            image_size=(model and model.image_size) or image_size,
            gelu="exact",
        ).replace(class_token=True, pooling="cls", dropout=model.dropout if model else DROPOUT)
        problems += [*found.problems, *keras_names.misfits(names, shapes, description)]
        if model:
            problems += _other_activations(names, model)
            _contradictions(description, model, num_heads, image_size, mask)
        if problems:
            raise UserError("\n  ".join(["does not fit the model:", *sorted(problems)]))
        masked = any(map(_MASK.fullmatch, found.groups))
        described = _describe(description, model, masked, heads_source, mask, input_range)
        arrays = hdf5.read_arrays(found.arrays, os.path.getsize(path))
    flat = {name: arrays[theirs] for name, theirs in names.items()}
    return described, google_npz.to_memory_names(google_npz.with_heads(flat, description))


@contextlib.contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _no_blocks(found: hdf5.Contents) -> str:
    if any(re.search(r"/vars/\d+$", name) for name in found.arrays):
        return (
            "a .weights.h5 of Keras 3 numbers its arrays instead of naming them; save the whole "
            "model instead: model.save('NAME.h5')"
        )
    names = sorted(found.arrays) or ["none"]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (
        "not a vit-keras model: expected arrays such as Transformer/encoderblock_0/LayerNorm_0/"
        f"gamma:0, found: {', '.join(names[:5])}{more}"
    )


def _heads(
    shapes: Mapping[str, tuple[int, ...]],
    model: KerasModel | None,
    given: int | None,
    fallback: int | None,
) -> tuple[int | None, str]:
    """The number of heads and who tells it: attention kernels are matrices in Keras."""
    if model:
        return model.num_heads, "model_config"
    if given:
        return given, "--num_heads"
    widths = [shape[-1] for name, shape in shapes.items() if "LayerNorm_" in name and shape]
    known, variant = _known_heads(max(set(widths), key=widths.count, default=0))
    if known:
        return known, f"the width, which is that of {variant}"
    return fallback, "the model to be initialised"


def _known_heads(width: int) -> tuple[int | None, str]:
    """The number of heads of the variant that is as wide, and the variant."""
    for variant in VARIANTS:
        if sizes(variant)["hidden_size"] == width:
            return sizes(variant)["num_heads"], f"ViT-{variant.partition('/')[0]}"
    return None, ""


def _other_activations(names: Mapping[str, str], model: KerasModel) -> list[str]:
    problems = []
    for layer, known in _ACTIVATIONS.items():
        keras = names.get(f"{layer}/kernel", "").split("/")[-2:-1]
        found = model.activations.get(keras[0]) if keras else None
        if found is not None and found not in known:
            problems.append(f"activation of {keras[0]}: expected {known[0]}, found {found}")
    return problems


def _contradictions(
    d: ModelDescription,
    model: KerasModel,
    num_heads: int | None,
    image_size: tuple[int, int] | None,
    mask: tuple[float, ...] | None,
) -> None:
    """Raises UserError where a hint is not what `model_config` tells."""
    for flag, given, told in (
        ("num_heads", num_heads, model.num_heads),
        ("image_size", image_size, d.image_size),
        ("mask", mask, model.mask),
    ):
        same = given == told or (flag == "mask" and told and _float32(given) == _float32(told))
        if given is not None and not same:
            raise UserError(f"--{flag}={given} contradicts the file, which has {told}")


def _float32(values: Sequence[float] | None) -> bytes:
    return np.asarray(values, np.float32).tobytes()


def _describe(
    d: ModelDescription,
    model: KerasModel | None,
    masked: bool,
    heads_source: str,
    mask: tuple[float, ...] | None,
    input_range: tuple[float, float] | None,
) -> Described:
    kind = "Keras .h5 of vit-keras, " + ("whole model" if model else "weights alone")
    height, width = d.image_size
    size_source = (
        "model_config" if model and model.image_size else f"{d.num_positions - 1} positions"
    )
    derived = [
        f"sizes and patch from shapes; {d.num_layers} blocks",
        f"image size {height}x{width} from {size_source}",
    ]
    assumed = ["exact GELU in the blocks and LayerNorm epsilon 1e-6, as in vit-keras"]
    told = heads_source in ("model_config", "--num_heads")
    (derived if told else assumed).append(f"{d.num_heads} heads from {heads_source}")
    if d.head_hidden:
        assumed.append("tanh GELU in the head, as in tensorflow-addons")
    if d.classes:
        assumed.append(f"classes {', '.join(d.classes)} for three outputs")
    if input_range is None:
        assumed.append("input range [-1, 1]; --input_range=0,1 for the published ViT-B/32")
    if masked:
        kind += ", k-fold: probabilities are masked"
    d = d.replace(
        output_mask=model.mask if model else mask, input_range=input_range or d.input_range
    )
    unknown = ("output_mask",) if masked and d.output_mask is None else ()
    return Described(kind, d, tuple(derived), tuple(assumed), unknown)


def write(
    path: str | os.PathLike[str], params: Params, description: ModelDescription
) -> dict[str, Any]:
    """Writes weights alone, which `load_weights` of the original's Keras model takes.

    Returns:
      the arguments that `read` needs for this file.

    Raises:
      UserError: the file would not tell something that the model's outputs depend on.
    """
    refuse_loss(description, _kept(description), "a Keras .h5 of weights")
    flat = google_npz.to_disk_names(trees.flatten(jax.tree.map(np.asarray, params)))
    with files.replacing(path) as temporary, h5py.File(temporary, "w") as file:
        layers: dict[str, list[str]] = {}
        for layer, keras, name, shape in keras_names.layout(description):
            file[f"{layer}/{keras}"] = flat[name].astype(np.float32).reshape(shape)
            layers.setdefault(layer, []).append(keras)
        layers_and_top = {**layers, "top_level_model_weights": []}
        for layer, names in layers_and_top.items():
            file.require_group(layer).attrs["weight_names"] = names
        file.attrs["layer_names"] = list(layers)
        file.attrs["backend"] = "tensorflow"
        file.attrs["keras_version"] = KERAS_VERSION
    needed: dict[str, Any] = {}
    if _known_heads(description.hidden_size)[0] != description.num_heads:
        needed["num_heads"] = description.num_heads
    if description.grid[0] != description.grid[1]:
        needed["image_size"] = description.image_size
    return needed


def _kept(d: ModelDescription) -> ModelDescription:
    """What a reader of such a file takes a model for; heads and image size can be told to it."""
    return d.replace(
        gelu="exact",
        layer_norm_epsilon=keras_config.EPSILON,
        class_token=True,
        pooling="cls",
        classes=ModelDescription.classes if d.num_classes == len(ModelDescription.classes) else (),
        input_range=ModelDescription.input_range,
        pixel_mode=ModelDescription.pixel_mode,
        dtype=ModelDescription.dtype,
        output_mask=None,
        calibration=None,
    )
