"""Perceptual hashes of photos: what of a photo outlives re-encoding, resizing and light cropping.

The signs of the 64 lowest frequencies (without the mean) of a 32x32 grey copy, by DCT. Other than
in the usual pHash (Zauner, 2010) the bits are not tied together by a median, and the copy is
weighted down towards its edges, where captions stand and crops cut.
"""

import concurrent.futures
import dataclasses
import hashlib
import itertools
from collections.abc import Iterable

import cv2
import numpy as np
import scipy.fft

from input_pipeline import photos, pixels
from vit_sentiment.runtime.progress import progress

FLAT_VARIANCE = 64.0
"""Grey levels squared, of the 32x32 copy; below it the signs are those of noise."""

_SIZE = 32


def _lowest_frequencies(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the DCT by rising sum, without the mean."""
    places = sorted(np.ndindex(count, count), key=lambda place: (sum(place), place))
    rows, columns = zip(*places[1 : count + 1], strict=True)
    return np.array(rows), np.array(columns)


_FREQUENCIES = _lowest_frequencies(64)
_EDGE = np.sqrt(np.sin(np.pi * (np.arange(_SIZE) + 0.5) / _SIZE))
_WINDOW = np.outer(_EDGE, _EDGE) / np.outer(_EDGE, _EDGE).sum()


@dataclasses.dataclass(frozen=True)
class Hashes:
    """What is compared of N photos.

    Attributes:
      values: uint64 [N], perceptual hashes; 0 where a photo does not decode.
      digests: uint64 [N], the first bytes of the files' sha256: equal for identical files.
      variance: float32 [N], of the grey copy; NaN where a photo does not decode.
    """

    values: np.ndarray
    digests: np.ndarray
    variance: np.ndarray

    @property
    def flat(self) -> np.ndarray:
        """Photos with so little in them that only identical files are duplicates; bool [N]."""
        return ~(self.variance >= FLAT_VARIANCE)

    @property
    def readable(self) -> np.ndarray:
        """bool [N]."""
        return np.isfinite(self.variance)

    def __getitem__(self, rows: np.ndarray) -> "Hashes":
        return Hashes(self.values[rows], self.digests[rows], self.variance[rows])


def perceptual_hash(image: np.ndarray) -> tuple[int, float]:
    """The 64-bit hash of uint8 [h, w, 3] and the variance of its grey copy."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA).astype(np.float64)
    centred = (grey - np.sum(grey * _WINDOW)) * _WINDOW
    signs = scipy.fft.dctn(centred)[_FREQUENCIES] > 0
    return int.from_bytes(np.packbits(signs).tobytes(), "big"), float(grey.var())


def hash_photos(files: Iterable[bytes], count: int, what: str = "hash photos") -> Hashes:
    """Hashes `count` encoded photos, a window in memory at a time."""
    hashes = Hashes(
        np.zeros(count, np.uint64), np.zeros(count, np.uint64), np.zeros(count, np.float32)
    )
    files, done = iter(files), 0
    with (
        progress(what, count, "photos") as tick,
        concurrent.futures.ThreadPoolExecutor(photos.cores()) as pool,
    ):
        while window := list(itertools.islice(files, photos.WINDOW)):
            rows = slice(done, done + len(window))
            values, variance, digests = zip(*pool.map(_hash, window), strict=True)
            hashes.values[rows], hashes.digests[rows] = values, digests
            hashes.variance[rows] = variance
            done += len(window)
            tick(len(window))
    return hashes


def hash_photo(data: bytes) -> tuple[int, float, int]:
    """Perceptual hash, variance and digest of an encoded photo, as in `Hashes`.

    Raises:
      DecodeError: the digest, which such a photo has too, is `digest(data)`.
    """
    return *perceptual_hash(pixels.decode(data)), digest(data)


def digest(data: bytes) -> int:
    """The first 8 bytes of the sha256."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def _hash(data: bytes) -> tuple[int, float, int]:
    try:
        return hash_photo(data)
    except pixels.DecodeError:
        return 0, np.nan, digest(data)
