"""Uploaded files to pixels, more warily than files of one's own."""

import numpy as np

from input_pipeline import pixels
from vit_sentiment.models.description import ModelDescription

_SIGNATURES = (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")
FORMATS = "JPEG, PNG, GIF, BMP or WebP"


def decode(data: bytes, most_pixels: int) -> np.ndarray:
    """Pixels uint8 [h, w, 3] of a JPEG, PNG, GIF, BMP or WebP file.

    Pillow knows many more formats, some of which start other programs or write temporary files.

    Raises:
      DecodeError: what is wrong with it; that it claims more than `most_pixels`, for one.
    """
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if data and not webp and not data.startswith(_SIGNATURES):
        raise pixels.DecodeError(f"not an image in a known format; {FORMATS} are")
    return pixels.decode(data, most_pixels)


def load(data: bytes, description: ModelDescription, most_pixels: int) -> np.ndarray:
    """Pixels [H, W, 3] as the model wants them; see `decode` for what is raised."""
    return pixels.RESIZE[description.pixel_mode](decode(data, most_pixels), description.image_size)
