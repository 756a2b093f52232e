"""Parameter trees as flat dicts, their comparison with what a model expects, and their hash."""

import hashlib
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import numpy as np

from vit_sentiment.models.classifier import HEAD_NAMES, Params
from vit_sentiment.runtime.errors import UserError

Flat = dict[str, Any]
"""'/'-joined names to arrays, or to anything else that has a shape."""


def flatten(params: Params) -> Flat:
    """A nested tree to '/'-joined names."""
    return flax.traverse_util.flatten_dict(params, sep="/")


def unflatten(flat: Mapping[str, Any]) -> Params:
    """'/'-joined names to a nested tree."""
    return flax.traverse_util.unflatten_dict(dict(flat), sep="/")


def split_head(flat: Mapping[str, Any]) -> tuple[Flat, Flat]:
    """The backbone's part and the head's."""
    head = {name: value for name, value in flat.items() if name.split("/")[0] in HEAD_NAMES}
    return {name: value for name, value in flat.items() if name not in head}, head


def check(found: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Raises one UserError that lists every missing, unexpected and mis-shaped name."""
    missing = [f"{name} {expected[name].shape}" for name in expected if name not in found]
    unexpected = [f"{name} {found[name].shape}" for name in found if name not in expected]
    misshaped = [
        f"{name}: expected {expected[name].shape}, found {found[name].shape}"
        for name in expected
        if name in found and expected[name].shape != found[name].shape
    ]
    if missing or unexpected or misshaped:
        lines = [
            f"{where}: does not fit the model: {len(missing)} missing, "
            f"{len(unexpected)} unexpected, {len(misshaped)} mis-shaped"
        ]
        for title, rows in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("mis-shaped", misshaped),
        ):
            lines += [f"  {title}: {row}" for row in sorted(rows)]
        raise UserError("\n".join(lines))


def model_id(params: Params) -> str:
    """Hash of the weights: 16 hex digits of the sha256 over names, shapes, types and values."""
    digest = hashlib.sha256()
    for name, value in sorted(flatten(params).items()):
        array = np.ascontiguousarray(value)
        digest.update(f"{name} {array.shape} {array.dtype}\n".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()[:16]
