"""Folders in Hugging Face's layout: `config.json` and `model.safetensors`, whole or in parts.

Pickled weights (`pytorch_model.bin`) are never loaded. Our two-layer head, for which transformers
has no model, is in a file of its own beside them.
"""

import pathlib
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from checkpoints import hf_vit, key_map, siglip, trees
from checkpoints.described import Described, refuse_loss
from vit_sentiment.models.classifier import Params
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
HEAD_FILE = "head.safetensors"
"""Of our own: two linear layers, `head_hidden`, a tanh GELU and `head_out`, as PyTorch has them."""
PREPROCESSOR_FILE = "preprocessor_config.json"

FAMILIES = {"siglip": siglip, "siglip_vision_model": siglip, "vit": hf_vit}
"""Model types that `config.json` may name, and the family that reads them."""


def read(folder: pathlib.Path) -> tuple[Described, trees.Flat]:
    """Reads a folder: what it says of its model, and its arrays under our names.

    Raises:
      UserError: a file is missing or damaged, or the family is unknown.
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
    if (folder / PREPROCESSOR_FILE).exists():
        description = description.replace(input_range=_input_range(folder / PREPROCESSOR_FILE))
        told.append(f"input range from {PREPROCESSOR_FILE}")
    else:
        assumed.append("input range [-1, 1]")
    arrays = read_arrays(folder)
    tower = family.image_tower(arrays)
    if description.head_hidden:
        tower |= _read_file(folder / HEAD_FILE)
    if any(name.startswith("pooler.") for name in arrays):
        told.append("the pooler is left out: features are the class token")
    flat = key_map.translate(tower, family.RULES, description)
    return Described(
        f"Hugging Face folder ({kind})", description, tuple(told), tuple(assumed)
    ), flat


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
      UserError: the folder would not tell something that the model's outputs depend on.
    """
    d = description
    kept = d.replace(
        class_token=True,
        pooling="cls",
        representation_size=None,
        pixel_mode=ModelDescription.pixel_mode,
        dtype=ModelDescription.dtype,
        output_mask=None,
        calibration=None,
    )
    refuse_loss(d, kept, "a Hugging Face folder (vit)")
    arrays = hf_vit.to_arrays(trees.flatten(jax.tree.map(np.asarray, params)))
    head = {name: v for name, v in arrays.items() if name.startswith(("head_hidden", "head_out"))}
    config = hf_vit.to_config(d)
    prefix = "vit." if config["architectures"] == [hf_vit.CLASSIFIER] else ""
    body = {
        name if name.startswith("classifier.") else f"{prefix}{name}": value
        for name, value in arrays.items()
        if name not in head
    }
    folder.mkdir()
    for file, part in ((WEIGHTS_FILE, body), (HEAD_FILE, head)):
        if part:
            safetensors.numpy.save_file(part, folder / file, metadata={"format": "pt"})
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
