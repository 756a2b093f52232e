"""What the perceptual hash takes for copies: altered copies of real photos against other photos."""

import concurrent.futures
import itertools
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np

from input_pipeline import photos, pixels
from vit_sentiment.distillation.hashing import FLAT_VARIANCE, perceptual_hash
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress

DISTANCES = (3, 6, 8)
_SAME = 0.97
"""Correlation of two photos' pixels above which they are copies of each other; in a sample of 1,188
photos of tweets that of no pair is between 0.95 and 0.99."""
_SIDE = 32


def _encoded(image: np.ndarray, quality: int) -> np.ndarray:
    """What is left of an RGB image after JPEG."""
    options = (cv2.IMWRITE_JPEG_QUALITY, quality)
    data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]
    return pixels.decode(data.tobytes())


def altered(image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The photo, uint8 [h, w, 3], and altered copies of it by name."""
    height, width = image.shape[:2]

    def cropped(share: float) -> np.ndarray:
        """Without `share` of height and width at each edge."""
        y, x = round(height * share), round(width * share)
        return _encoded(image[y : height - y, x : width - x], 90)

    def resized(factor: float, how: int) -> np.ndarray:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        return _encoded(cv2.resize(image, size, interpolation=how), 85)

    def captioned(share: float, below: bool) -> np.ndarray:
        """With a black bar and words, over the lower edge or below it."""
        bar = np.zeros((max(1, round(height * share)), width, 3), np.uint8)
        scale = len(bar) / 40
        place = (4, max(1, len(bar) * 3 // 4))
        cv2.putText(bar, "breaking news", place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255,) * 3)
        rest = image if below else image[: height - len(bar)]
        return _encoded(np.concatenate([rest, bar]), 90)

    yield "as it is", image
    yield "cropped by 5 % of each side", cropped(0.025)
    yield "cropped by 5 % of the area", cropped((1 - 0.95**0.5) / 2)
    yield "JPEG quality 50", _encoded(image, 50)
    yield "JPEG quality 30", _encoded(image, 30)
    yield "half the size", resized(0.5, cv2.INTER_AREA)
    yield "1.5 times the size", resized(1.5, cv2.INTER_CUBIC)
    yield "caption over 8 %", captioned(0.08, below=False)
    yield "caption over 12 %", captioned(0.12, below=False)
    yield "caption of 10 % below", captioned(0.10, below=True)


def measure(folder: str) -> dict[str, object]:
    """Precision and recall by distance, of all pairs of altered copies; recall by alteration.

    Photos that are copies of another one in the folder (by their pixels, not by the hash that is
    measured), flat ones, which are never compared by hash, and damaged ones are left out.

    Raises:
      UserError: there are fewer than two photos to compare.
    """
    files = sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    with (
        progress("alter photos", len(files), "photos") as tick,
        concurrent.futures.ThreadPoolExecutor(photos.cores()) as pool,
    ):
        found = []
        for photo in pool.map(_hashed, files):
            found += [photo] if photo else []
            tick()
    textured = [(hashes, small) for hashes, variance, small in found if variance >= FLAT_VARIANCE]
    if textured:
        small = np.stack([small for _, small in textured])
        copies = (np.tril(small @ small.T, -1) > _SAME).any(axis=1)
    if len(textured) - (np.sum(copies) if textured else 0) < 2:
        raise UserError(f"{folder}: expected at least two different photos")
    names = list(textured[0][0])
    hashes = np.array([list(hashes.values()) for hashes, _ in textured], np.uint64)[~copies]
    return {
        "files": len(files),
        "damaged": len(files) - len(found),
        "flat": len(found) - len(textured),
        "copies": int(copies.sum()),
        "photos": len(hashes),
        "distances": {distance: _judged(hashes, distance) for distance in DISTANCES},
        "recall": {
            name: {d: float(np.mean(_apart(hashes, 0, number) <= d)) for d in DISTANCES}
            for number, name in enumerate(names)
            if number
        },
    }


def _hashed(path: pathlib.Path) -> tuple[dict[str, int], float, np.ndarray] | None:
    """Hashes by alteration, variance, and grey pixels of mean 0 and length 1; None: damaged."""
    try:
        image = pixels.decode(photos.read(path))
    except pixels.DecodeError:
        return None
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = (small - small.mean()).ravel()
    hashes = {name: perceptual_hash(copy)[0] for name, copy in altered(image)}
    return hashes, perceptual_hash(image)[1], small / max(float(np.linalg.norm(small)), 1e-6)


def _apart(hashes: np.ndarray, one: int, other: int) -> np.ndarray:
    return np.bitwise_count(hashes[:, one] ^ hashes[:, other])


def _judged(hashes: np.ndarray, distance: int) -> dict[str, float]:
    """Of all pairs of hashes [photos, alterations]: right ones are those of the same photo."""
    count, kinds = hashes.shape
    right = wrong = 0
    for one, other in itertools.combinations_with_replacement(range(kinds), 2):
        near = np.bitwise_count(hashes[:, one, None] ^ hashes[:, other]) <= distance
        same = int(np.trace(near))
        if one == other:  # Each with itself, and all other pairs twice.
            wrong += (int(near.sum()) - same) // 2
        else:
            right += same
            wrong += int(near.sum()) - same
    return {
        "precision": right / max(right + wrong, 1),
        "recall": right / (count * kinds * (kinds - 1) // 2),
        "right": right,
        "wrong": wrong,
    }
