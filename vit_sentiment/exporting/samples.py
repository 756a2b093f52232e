"""Photos to check an exported model on: of a dataset, or drawn."""

from collections.abc import Iterable, Iterator

import numpy as np

from input_pipeline import pixels
from input_pipeline.sources import Source
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError

SIZES = ((675, 1200), (900, 1200), (1024, 768), (480, 640), (1080, 1080), (383, 680))
"""Height and width of drawn photos, as tweets have them."""


def drawn(count: int) -> Iterator[np.ndarray]:
    """Uint8 photos [h, w, 3], always the same.

    They are noise whose amplitude falls with the frequency as in photographs, 1/f (Field 1987,
    "Relations between the statistics of natural images and the response properties of cortical
    cells"), so that resizing loses as much detail as it does of photographs.
    """
    rng = np.random.default_rng(0)
    for number in range(count):
        height, width = SIZES[number % len(SIZES)]
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
        frequency[0, 0] = np.inf  # No constant part.
        frequency = frequency.astype(np.float32)
        noise = np.fft.rfft2(rng.standard_normal((3, height, width), np.float32)) / frequency
        # Colours of photographs go together.
        colours = np.fft.irfft2(noise[:1] + 0.3 * noise, (height, width))
        colours *= 50 / colours.std()
        yield (colours + 128).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


def photos(source: Source | None, count: int, on_error: str) -> Iterator[np.ndarray]:
    """Uint8 photos [h, w, 3]: `count` at most, at even distances in the source; drawn without one.

    Raises:
      UserError: a photo is unreadable, unless `on_error` is `skip`.
    """
    if source is None:
        yield from drawn(count)
        return
    for number in np.unique(np.linspace(0, len(source) - 1, min(count, len(source)), dtype=int)):
        (example,) = source.data.__getitems__([int(number)])
        try:
            if isinstance(example["image"], pixels.DecodeError):
                raise example["image"]
            yield pixels.decode(example["image"])
        except pixels.DecodeError as error:
            if on_error == "fail":
                raise UserError(f"{source.data.place(int(number))}: {error}") from error


def to_pixels(description: ModelDescription, images: Iterable[np.ndarray]) -> np.ndarray:
    """Float32 [N, H, W, 3], 0..255, resized as the model wants it.

    Raises:
      UserError: there are no images.
    """
    resize = pixels.RESIZE[description.pixel_mode]
    resized = [resize(image, description.image_size).astype(np.float32) for image in images]
    if not resized:
        raise UserError("--data: no photo in it is readable")
    return np.stack(resized)
