"""Folders in Hugging Face's layout: `config.json` and `model.safetensors`, whole or in parts.

Pickled weights (`pytorch_model.bin`) are never loaded. Our two-layer head, for which transformers
has no model, is in a file of its own beside them. What else transformers has no word for, how
pixels are made or a calibration, is under a key of our own in `config.json`, which it ignores.
"""

import dataclasses
import math
import pathlib
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from checkpoints import hf_vit, key_map, siglip, trees
from checkpoints.described import Described
from vit_sentiment.models.classifier import Params
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
HEAD_FILE = "head.safetensors"
"""Of our own: two linear layers, `head_hidden`, a tanh GELU and `head_out`, as PyTorch has them."""
PREPROCESSOR_FILE = "preprocessor_config.json"
OUR_KEY = "vit_sentiment"
"""Of `config.json`: the `model_id` of the weights and the `description` of the model."""

_TOLD_BY_US_ALONE = ("stochastic_depth", "pixel_mode", "dtype", "calibration")
_COMPUTED = {
    "class_token": True,
    "pooling": "cls",
    "representation_size": None,
    "output_mask": None,
}
"""What transformers' ViT has in place of choices of ours."""

FAMILIES = {"siglip": siglip, "siglip_vision_model": siglip, "vit": hf_vit}
"""Model types that `config.json` may name, and the family that reads them."""


def read(folder: pathlib.Path) -> tuple[Described, trees.Flat]:
    """Reads a folder: what it says of its model, and its arrays under our names.

    Raises:
      UserError: a file is missing or damaged, the family is unknown, or our own key contradicts
        what transformers reads.
    """
    config = files.read_json(folder / CONFIG_FILE)
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(kind, str) or kind not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UserError(f"{folder / CONFIG_FILE}: model_type {kind!r}; known are {known}")
    family = FAMILIES[kind]
    try:
        description = family.describe(config)
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{folder / CONFIG_FILE}: not a config of {kind}: {error!r}") from error
    except UserError as error:
        raise UserError(f"{folder / CONFIG_FILE}: {error}") from error
    told, assumed = [f"everything from {CONFIG_FILE}"], []
    ours = _ours(config, folder / CONFIG_FILE)
    if (folder / PREPROCESSOR_FILE).exists():
        description = description.replace(input_range=_input_range(folder / PREPROCESSOR_FILE))
        told.append(f"input range from {PREPROCESSOR_FILE}")
    elif ours is not None:
        description = description.replace(input_range=ours.input_range)
    else:
        assumed.append("input range [-1, 1]")
    if ours is not None:
        _refuse_contradiction(ours, description, folder / CONFIG_FILE)
        description = ours
    arrays = read_arrays(folder)
    tower = family.image_tower(arrays)
    if description.head_hidden:
        tower |= _read_file(folder / HEAD_FILE)
    if any(name.startswith("pooler.") for name in arrays):
        told.append("the pooler is left out: features are the class token")
    flat = key_map.translate(tower, family.RULES, description)
    if description.calibration is not None:
        found = trees.model_id(trees.unflatten(flat))
        if found != config[OUR_KEY]["model_id"]:  # transformers keeps the key when it trains on.
            say(f"warning: {folder}: its calibration is of other weights, and left out")
            description = description.replace(calibration=None)
    return Described(
        f"Hugging Face folder ({kind})", description, tuple(told), tuple(assumed)
    ), flat


def _ours(config: dict[str, Any], path: pathlib.Path) -> ModelDescription | None:
    if OUR_KEY not in config:
        return None
    saved = config[OUR_KEY]
    if not isinstance(saved, dict) or set(saved) != {"model_id", "description"}:
        raise UserError(f"{path}: {OUR_KEY}: expected the fields model_id and description")
    where = f"{path}: {OUR_KEY}.description"
    if not isinstance(saved["description"], dict):
        raise UserError(f"{where}: expected an object, found {saved['description']!r}")
    try:
        return ModelDescription.from_json(saved["description"], where)
    except TypeError as error:
        raise UserError(f"{where}: {error}") from error


def _refuse_contradiction(
    ours: ModelDescription, theirs: ModelDescription, path: pathlib.Path
) -> None:
    """Raises UserError with each field in which transformers would read another model."""
    wrong = []
    for field in dataclasses.fields(ours):
        told, found = getattr(ours, field.name), getattr(theirs, field.name)
        if field.name in _TOLD_BY_US_ALONE or told == found:
            continue
        if field.name == "classes":
            told, found = hf_vit.labels(ours), hf_vit.labels(theirs)
        same = told == found
        if field.name == "input_range":  # The processor's mean and deviation are rounded.
            same = all(math.isclose(*pair, abs_tol=1e-6) for pair in zip(told, found, strict=True))
        if not same:
            wrong.append(f"{field.name} {told}, the rest of the folder {found}")
    if wrong:
        raise UserError(f"{path}: {OUR_KEY}.description says {'; '.join(wrong)}")


def _input_range(path: pathlib.Path) -> tuple[float, float]:
    """What pixel values 0 and 255 become: scaled by 1/255, less the mean, over the deviation."""
    config = files.read_json(path)
    try:
        scale = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
        mean, std = [0.0], [1.0]
        if config.get("do_normalize", True):
            mean, std = config["image_mean"], config["image_std"]
        if len({*mean}) != 1 or len({*std}) != 1:
            raise UserError(f"{path}: image_mean and image_std differ from channel to channel")
        low, high = ((pixel * scale - mean[0]) / std[0] for pixel in (0, 255))
        return round(low, 9), round(high, 9)
    except (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"{path}: not the config of an image processor: {error!r}") from error


def write(folder: pathlib.Path, params: Params, description: ModelDescription) -> None:
    """Writes a new folder that transformers reads.

    A linear head makes it a ViTForImageClassification. No head makes it a ViTModel, and so does the
    two-layer head, which goes into `head.safetensors`.

    Raises:
      UserError: transformers' ViT cannot compute the model.
    """
    d = description
    other = [
        f"{name} {getattr(d, name)}, where it has {value}"
        for name, value in _COMPUTED.items()
        if getattr(d, name) != value
    ]
    if other:
        raise UserError(
            "transformers' ViT, which a Hugging Face folder is for, cannot compute this model: "
            + "; ".join(other)
        )
    host = jax.tree.map(np.asarray, params)
    arrays = hf_vit.to_arrays(trees.flatten(host))
    head = {name: v for name, v in arrays.items() if name.startswith(("head_hidden", "head_out"))}
    config = hf_vit.to_config(d)
    config[OUR_KEY] = {"model_id": trees.model_id(host), "description": d.to_json()}
    prefix = "vit." if config["architectures"] == [hf_vit.CLASSIFIER] else ""
    body = {
        name if name.startswith("classifier.") else f"{prefix}{name}": value
        for name, value in arrays.items()
        if name not in head
    }
    folder.mkdir()
    for file, part in ((WEIGHTS_FILE, body), (HEAD_FILE, head)):
        if part:
            with files.replacing(folder / file) as temporary:
                safetensors.numpy.save_file(part, temporary, metadata={"format": "pt"})
    files.write_json(folder / CONFIG_FILE, config)
    files.write_json(folder / PREPROCESSOR_FILE, _preprocessor(d))


def _preprocessor(d: ModelDescription) -> dict[str, Any]:
    low, high = d.input_range
    height, width = d.image_size
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": 2,  # Bilinear.
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [-low / (high - low)] * 3,
        "image_std": [1 / (high - low)] * 3,
    }


def read_arrays(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of `model.safetensors`, or of the parts that its index names."""
    if (folder / WEIGHTS_FILE).exists():
        return _read_file(folder / WEIGHTS_FILE)
    if not (folder / INDEX_FILE).exists():
        raise UserError(f"{folder}: expected {WEIGHTS_FILE}; pickled weights are never loaded")
    try:
        weight_map = files.read_json(folder / INDEX_FILE)["weight_map"]
        parts = sorted({folder / part for part in weight_map.values()})
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / INDEX_FILE}: expected a weight_map") from error
    flat: dict[str, np.ndarray] = {}
    for part in parts:
        flat |= _read_file(part)
    return flat


def _read_file(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: damaged or unsupported .safetensors file: {reason}") from error
