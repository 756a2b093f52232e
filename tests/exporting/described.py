"""Tiny models of every kind, with weights that make their answers differ."""

import jax
import numpy as np
from models.written_out import TINY, random_params

from vit_sentiment.inference.model import Model
from vit_sentiment.models.calibration import Calibration

CALIBRATION = Calibration(
    temperature=2.0, prior=(0.2, 0.3, 0.5), rows=9, data="d", split="s", label="l",
    fingerprint="f", step=7, coverage=((0.0, 1.0, 0.5),),
)  # fmt: skip

VARIANTS = {
    "class token, tanh": {},
    "mean, exact": {"pooling": "mean", "gelu": "exact"},
    "mean without class token": {"pooling": "mean", "class_token": False},
    "map": {"pooling": "map"},
    "map without class token": {"pooling": "map", "class_token": False, "gelu": "exact"},
    "representation": {"representation_size": 7, "num_classes": 9, "classes": ()},
    "two-layer head, exact": {"head_hidden": 5, "gelu": "exact"},
    "mask and calibration": {"output_mask": (1.0, 1e-7, 0.5), "calibration": CALIBRATION},
    "epsilon and input range": {"layer_norm_epsilon": 0.5, "input_range": (0.0, 1.0)},
    "no head": {"num_classes": 0, "classes": ()},
}


def model(**changes):
    """A model with random weights; `changes` are fields of its description."""
    description = TINY.replace(**changes)
    return Model(description, jax.tree.map(np.float32, random_params(description)), "a model")


def pixels(description, count=5):
    """Float32 noise, 0..255."""
    shape = (count, *description.image_size, 3)
    return np.random.default_rng(3).uniform(0, 255, shape).astype(np.float32)
