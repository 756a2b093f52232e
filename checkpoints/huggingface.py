"""Folders in Hugging Face's layout: `config.json` and `model.safetensors`, whole or in parts.

Pickled weights (`pytorch_model.bin`) are never loaded.
"""

import pathlib

import numpy as np
import safetensors
import safetensors.numpy

from checkpoints import key_map, siglip, trees
from checkpoints.described import Described
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

FAMILIES = {"siglip": siglip, "siglip_vision_model": siglip}
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
    tower = family.image_tower(read_arrays(folder))
    flat = key_map.translate(tower, family.RULES, description)
    told = f"everything from {CONFIG_FILE}"
    assumed = ("input range [-1, 1]",)
    return Described(f"Hugging Face folder ({kind})", description, (told,), assumed), flat


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
