"""Maps over the patches of a photo, laid over the photo itself."""

import functools
import io
import os
from collections.abc import Mapping

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from vit_sentiment.runtime import files

COLOURS = "magma"
"""Of Matplotlib; its lightness rises evenly, so it reads in grey and without colour vision."""


@functools.cache
def _palette() -> np.ndarray:
    """RGB uint8 [256, 3] from the least to the most."""
    return matplotlib.colormaps[COLOURS](np.arange(256), bytes=True)[:, :3]


def overlay(photo: np.ndarray, heat: np.ndarray, *, alpha: float = 0.6) -> np.ndarray:
    """The photo, uint8 RGB [h, w, 3], under the colours of a map: uint8 [h, w, 3].

    Colours span the map's own least and most, so those of two photos cannot be compared; a map
    that is the same everywhere has the colour of the least. The photo's own colours fade as the
    map's come, or they would be taken for the map's.

    Args:
      heat: float [rows, columns] over the whole photo; enlarged bilinearly to its size.
      alpha: share of the colour, 0 (the photo) to 1.
    """
    low, span = heat.min(), np.ptp(heat)
    heat = np.float32((heat - low) / (span if span > 0 else 1))
    height, width = photo.shape[:2]
    heat = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    colour = _palette()[np.rint(heat * 255).astype(np.uint8)]
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[:, :, None]
    faded = (1 - alpha) * photo + alpha * grey
    return np.rint((1 - alpha) * faded + alpha * colour).astype(np.uint8)


def encode(image: np.ndarray, suffix: str = ".png") -> bytes:
    """A file of RGB uint8 [h, w, 3]; `.png`, `.jpg` or what else OpenCV can write."""
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def write_figure(
    path: str | os.PathLike[str], photo: np.ndarray, maps: Mapping[str, np.ndarray], title: str
) -> None:
    """Writes a PNG of the photo and its maps side by side, 200 dots to the inch.

    Args:
      photo: uint8 RGB [h, w, 3].
      maps: name to float [rows, columns], as `overlay` takes it.
      title: its lines stand above; label and probabilities, say.
    """
    panels = {"photo": photo} | {name: overlay(photo, heat) for name, heat in maps.items()}
    side = 2.8  # Inches; three of them fit on a page.
    height = side * min(max(photo.shape[0] / photo.shape[1], 0.3), 2)
    # A Figure of its own: pyplot would keep each one, and is not for threads.
    figure = Figure(figsize=(side * len(panels) + 0.8, height + 0.8), layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)  # File names may have dollars.
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (name, image) in zip(axes, panels.items(), strict=True):
        axis.imshow(image)
        axis.set_title(name, fontsize=10, parse_math=False)
        axis.set_axis_off()
    scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, 1), COLOURS)
    bar = figure.colorbar(scale, ax=list(axes), ticks=[0, 1], shrink=0.8, aspect=30)
    bar.set_ticklabels(["least", "most"])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    with files.replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
