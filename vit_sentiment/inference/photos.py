"""Photos of any kind through a model: decoded in threads, computed in batches, told in order."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from input_pipeline import photos, pixels
from vit_sentiment.inference.forward import Fetch, Forward, HostOutputs
from vit_sentiment.models.description import ModelDescription

Photo = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""A path, the bytes of an image file, an image of Pillow's or RGB pixels uint8 [h, w, 3]."""

_PILLOW = threading.Lock()
"""Pillow reads a file when its pixels are wanted, and an image may be in a batch twice."""
_BATCHES_AHEAD = 2
"""Batches that are decoded while the devices compute one."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Of the photos of one batch.

    Attributes:
      photos: as they were given.
      errors: why there is no output, or None, for each.
      readable: numbers of the photos with an output, rising.
      outputs: of those, in that order; see `forward.Outputs`.
    """

    photos: Sequence[Photo]
    errors: Sequence[pixels.DecodeError | None]
    readable: np.ndarray
    outputs: HostOutputs


def decode(photo: Photo) -> np.ndarray:
    """Pixels uint8 [h, w, 3] of a photo.

    Raises:
      DecodeError: what is wrong with it.
    """
    if isinstance(photo, np.ndarray):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
            found = f"{photo.dtype} {list(photo.shape)}"
            raise pixels.DecodeError(f"expected RGB pixels uint8 [h, w, 3], found {found}")
        return photo
    if isinstance(photo, Image.Image):
        with _PILLOW:
            return pixels.from_pillow(photo)
    if not isinstance(photo, bytes | str | os.PathLike):
        found = type(photo).__name__
        raise TypeError(f"expected a path, bytes, an image of Pillow's or an array, found {found}")
    if not isinstance(photo, bytes):
        photo = photos.read(pathlib.Path(photo))
    return pixels.decode(photo)


def load(photo: Photo, description: ModelDescription) -> np.ndarray:
    """Pixels [H, W, 3] as the model wants them: resized, of the dtype of its pixel mode.

    Raises:
      DecodeError: what is wrong with the photo.
    """
    mode = description.pixel_mode
    return pixels.RESIZE[mode](decode(photo), description.image_size)


def run(
    forward: Forward,
    photos: Iterable[Photo],
    load: Callable[[Photo], np.ndarray],
    batch_size: int,
) -> Iterator[Outcome]:
    """Photos to outcomes of `batch_size` photos each (the last: what is left), in order.

    Never holds more than a few batches, however many photos there are. The devices compute one
    batch while the next are decoded.

    Args:
      load: a photo to its pixels [H, W, 3], or raises DecodeError; runs in threads.
      batch_size: at most the largest of the forward path's sizes.
    """
    waiting: collections.deque[tuple[Sequence[Photo], Sequence, np.ndarray, Fetch]]
    waiting = collections.deque()
    with contextlib.closing(_decoded(photos, load, batch_size)) as batches:
        for batch, found in batches:
            errors = [item if isinstance(item, pixels.DecodeError) else None for item in found]
            readable = np.flatnonzero([error is None for error in errors])
            fetch = dict
            if len(readable):
                fetch = forward.start(np.stack([found[number] for number in readable]))
            waiting.append((batch, errors, readable, fetch))
            if len(waiting) > 1:
                yield _outcome(*waiting.popleft())
        while waiting:
            yield _outcome(*waiting.popleft())


def _outcome(
    batch: Sequence[Photo],
    errors: Sequence[pixels.DecodeError | None],
    readable: np.ndarray,
    fetch: Fetch,
) -> Outcome:
    return Outcome(batch, errors, readable, fetch())


def _decoded(
    given: Iterable[Photo], load: Callable[[Photo], np.ndarray], batch_size: int
) -> Iterator[tuple[list[Photo], list[np.ndarray | pixels.DecodeError]]]:
    attempt = functools.partial(_attempt, load)
    pool = concurrent.futures.ThreadPoolExecutor(photos.cores())
    try:
        ahead: collections.deque = collections.deque()
        for batch in _batched(given, batch_size):
            ahead.append((batch, [pool.submit(attempt, photo) for photo in batch]))
            if len(ahead) > _BATCHES_AHEAD:
                batch, futures = ahead.popleft()
                yield list(batch), [future.result() for future in futures]
        while ahead:
            batch, futures = ahead.popleft()
            yield list(batch), [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(load: Callable[[Photo], np.ndarray], photo: Photo) -> np.ndarray | pixels.DecodeError:
    try:
        return load(photo)
    except pixels.DecodeError as error:
        return error


def _batched(given: Iterable[Photo], size: int) -> Iterator[tuple[Photo, ...]]:
    """`itertools.batched`, which Python 3.11 lacks."""
    iterator = iter(given)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch
