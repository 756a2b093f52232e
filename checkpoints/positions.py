"""Position embeddings on another grid of patches."""

import numpy as np

from checkpoints import trees
from vit_sentiment.models.classifier import Params
from vit_sentiment.models.description import ModelDescription

NAME = "Transformer/posembed_input/pos_embedding"
"""Of the table, in memory and in Google's files alike."""


def for_size(
    params: Params, description: ModelDescription, image_size: tuple[int, int]
) -> tuple[Params, ModelDescription]:
    """The same model for images of another height and width, its positions resized."""
    resized = description.replace(image_size=image_size)
    flat = trees.flatten(params)
    flat[NAME] = resize(
        np.asarray(flat[NAME]), description.grid, resized.grid, class_token=description.class_token
    )
    return trees.unflatten(flat), resized


def resize(
    table: np.ndarray, grid: tuple[int, int], new_grid: tuple[int, int], *, class_token: bool
) -> np.ndarray:
    """Resizes position embeddings [1, (1 +) rows * columns, D] to another grid of patches.

    The class token's slot, which is the first, is kept; the grid is zoomed linearly with its
    corners aligned (`scipy.ndimage.zoom`, order 1), as Google's and vit-keras' loaders do.
    """
    if grid == new_grid:
        return table
    import scipy.ndimage  # Takes a while, and most loads do not resize.

    slots = int(class_token)
    first, rest = table[:, :slots], table[0, slots:].reshape(*grid, -1)
    factors = (new_grid[0] / grid[0], new_grid[1] / grid[1], 1)
    zoomed = scipy.ndimage.zoom(rest, factors, order=1)
    return np.concatenate([first, zoomed.reshape(1, -1, table.shape[-1])], axis=1)
