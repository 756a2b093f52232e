"""Seeded weights for the golden files: of every array, none zero, and small when compressed."""

from collections.abc import Mapping

import numpy as np


def like(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Float32 arrays of the given names and shapes, drawn in the order of their names.

    Values are k/256 with 1 <= |k| <= 64, plus one for the factors of a LayerNorm or LayerScale:
    large enough that a wrong GELU shows. Of embeddings they are k/4096, so that a wrong epsilon
    of the first LayerNorm shows.
    """
    # Not `default_rng`: NumPy promises that this stream never changes.
    random = np.random.RandomState(seed)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        steps = random.randint(1, 65, shape) * (2 * random.randint(0, 2, shape) - 1)
        factor = name.endswith(("scale", "lambda1")) or (
            "norm" in name.lower() and name.endswith("weight")
        )
        unit = 4096 if "embed" in name or "cls" in name else 256
        return np.float32(factor) + (steps / unit).astype(np.float32)

    return {name: draw(name, shapes[name]) for name in sorted(shapes)}


def images(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Float32 images, uniform between -1 and 1."""
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32)
