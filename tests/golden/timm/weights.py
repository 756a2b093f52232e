"""The weight files that timm read, made anew by our own writer.

Run as a script, from the root of this repository, it writes `tanh.npz` and `exact.npz` with their
model descriptions for `make.py`:

    PYTHONPATH=.:tests python tests/golden/timm/weights.py FOLDER
"""

import pathlib
import sys

from golden import random_weights

from checkpoints import google_npz, trees
from vit_sentiment.models.classifier import Params, abstract_params
from vit_sentiment.models.description import ModelDescription

SEEDS = {"tanh": 40, "exact": 41}
"""GELU form to seed."""


def description(gelu: str) -> ModelDescription:
    """The tiny model with this GELU."""
    return ModelDescription(
        image_size=(32, 32), patch_size=8, hidden_size=48, num_layers=2, num_heads=4, mlp_size=96,
        gelu=gelu,
    )  # fmt: skip


def params(gelu: str) -> Params:
    """Its weights."""
    flat = trees.flatten(abstract_params(description(gelu)))
    shapes = {name: leaf.shape for name, leaf in flat.items()}
    return trees.unflatten(random_weights.like(shapes, SEEDS[gelu]))


def write(gelu: str, folder: pathlib.Path) -> pathlib.Path:
    """Writes the file that timm read; its path."""
    path = folder / f"{gelu}.npz"
    google_npz.write(path, params(gelu), description(gelu))
    return path


if __name__ == "__main__":
    for gelu in SEEDS:
        print(write(gelu, pathlib.Path(sys.argv[1])))
