"""From the bytes of an image file to pixels, RGB, 0..255.

`exact` reproduces TensorFlow's `decode_image` and bilinear `tf.image.resize` bit for bit, which is
what the original system saw; `uint8` is a quarter of the bytes and within a grey level of it.
The format is told from the content, since tweets' PNG and GIF files are called .jpg.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg
from PIL import Image

cv2.setNumThreads(1)  # Parallelism is over images.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Big is allowed, see MOST_PIXELS.

MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 2**27)
"""Pillow's limit against small files that claim to be huge pictures; for JPEG it is ours too."""

_OF_PIXELS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF", "TGA")
Image.init()
FORMATS = tuple(name for name in _OF_PIXELS if name in Image.OPEN)
"""Of this Pillow's, those of pixels. Others start programs (EPS: Ghostscript) or write files."""

MOST_SIDE = 65_535
"""JPEG's limit of a side; of others, too, since each row costs memory besides its pixels."""


class DecodeError(ValueError):
    """Says what is wrong with an image file."""


def decode(data: bytes, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """Decodes the first frame to uint8 [h, w, 3]; EXIF rotation is not applied, alpha is dropped.

    libjpeg's fast integer DCT and fancy upsampling are what TensorFlow uses. JPEG files that this
    strict decoder refuses go to Pillow, which knows whether they are damaged or merely unusual.

    Args:
      most_pixels: a file that claims more is refused before it is decoded.

    Raises:
      DecodeError: what is wrong with the file; truncated files are errors.
    """
    if not data:
        raise DecodeError("empty file")
    pixels = _decode_jpeg(data, most_pixels) if data[:2] == b"\xff\xd8" else None
    return _decode_with_pillow(data, most_pixels) if pixels is None else pixels


def _decode_jpeg(
    data: bytes, most_pixels: int = MOST_PIXELS, short_side: int = 0
) -> np.ndarray | None:
    """None where libjpeg's strict decoder refuses the file.

    Args:
      short_side: the picture may be scaled down to one whose sides are no less.
    """
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height, most_pixels)
        return simplejpeg.decode_jpeg(
            data, fastdct=True, min_height=short_side, min_width=short_side
        )
    except DecodeError:
        raise
    except ValueError:
        return None


def _check_size(width: int, height: int, most_pixels: int) -> None:
    if max(width, height) > MOST_SIDE:
        raise DecodeError(f"claims {width}x{height} pixels, a side of more than {MOST_SIDE:,}")
    if width * height > most_pixels:
        raise DecodeError(f"claims {width}x{height} pixels, more than {most_pixels:,}")


def _decode_with_pillow(data: bytes, most_pixels: int) -> np.ndarray:
    with _telling_damage(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(*image.size, most_pixels)
        return from_pillow(image)


def from_pillow(image: Image.Image) -> np.ndarray:
    """Pixels uint8 [h, w, 3] of an image of Pillow's, which may not have read its file yet.

    Raises:
      DecodeError: what is wrong with the file, or the image has no pixels.
    """
    if not all(image.size):
        raise DecodeError(f"an image of {image.width}x{image.height} pixels")
    with _telling_damage():
        if image.mode.startswith("I;16") or image.mode == "I":
            grey = (np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[:, :, None], 3, axis=2)
        return np.asarray(image.convert("RGB"))


@contextlib.contextmanager
def _telling_damage() -> Iterator[None]:
    try:
        yield
    except Image.UnidentifiedImageError as error:
        raise DecodeError("not an image in a known format") from error
    except Image.DecompressionBombError as error:
        raise DecodeError(str(error)) from error
    except (DecodeError, MemoryError):
        raise
    except Exception as error:
        # On damaged files Pillow's many decoders raise whatever they stumble over.
        raise DecodeError(f"damaged image: {error}") from error


def _axis(size: int, out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source indices below and above each output pixel, int64 [out], and the float32 weight.

    Half-pixel centres in float32 arithmetic, as TensorFlow computes them.
    """
    scale = np.float32(size) / np.float32(out)
    position = (np.arange(out, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    floor = np.floor(position)
    lower = np.maximum(floor, 0).astype(np.int64)
    upper = np.minimum(np.ceil(position).astype(np.int64), size - 1)
    return lower, upper, position - floor


def resize_exact(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear resize without antialias of uint8 [h, w, 3] to float32 [*size, 3]."""
    top, bottom, down = _axis(image.shape[0], size[0])
    left, right, across = _axis(image.shape[1], size[1])

    def rows(index: np.ndarray) -> np.ndarray:
        row = image[index]
        a = row[:, left].astype(np.float32)
        return a + (row[:, right].astype(np.float32) - a) * across[:, None]

    upper = rows(top)
    return upper + (rows(bottom) - upper) * down[:, None, None]


def resize_uint8(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear resize without antialias of uint8 [h, w, 3] to uint8 [*size, 3]."""
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


RESIZE = {"exact": resize_exact, "uint8": resize_uint8}
DTYPE = {"exact": np.float32, "uint8": np.uint8}


def load(data: bytes, size: tuple[int, int], mode: str) -> np.ndarray:
    """Decodes and resizes: [*size, 3], float32 for mode `exact`, uint8 for `uint8`."""
    return RESIZE[mode](decode(data), size)


def shrink(data: bytes, short_side: int, quality: int) -> bytes:
    """A photo file as a JPEG whose short side is `short_side`; as it is where that is no less.

    A JPEG is scaled by libjpeg while it decodes, to the smallest size that suffices, so that big
    photos cost little; the rest is averaged over areas. EXIF is not kept, as `decode` ignores it.

    Args:
      quality: of the JPEG, 1 to 100.

    Raises:
      DecodeError: what is wrong with the file.
    """
    image = _decode_jpeg(data, short_side=short_side) if data[:2] == b"\xff\xd8" else None
    if image is None:
        image = decode(data)
        height, width = image.shape[:2]
    else:
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
    if min(height, width) <= short_side:
        return data
    if min(image.shape[:2]) > short_side:
        scale = short_side / min(height, width)
        size = round(width * scale), round(height * scale)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality)
