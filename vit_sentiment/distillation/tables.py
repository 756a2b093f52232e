"""The tables that the stages of `distill` hand on, and how to get at the photos they name.

A stage takes tables and gives tables and counts. Rows keep the order in which they were read.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import polars as pl

from input_pipeline import photos, pixels
from input_pipeline.sources import RandomAccess

TWEETS = {
    "tweet": pl.String,  # Unique.
    "text": pl.String,
    "lang": pl.String,  # Null: the source does not say.
    "referenced": pl.Boolean,  # Retweet, quote or reply; null: the source does not say.
}
"""One row a tweet."""

PHOTOS = {
    "id": pl.String,  # Unique: the path in the source's list, or `<tweet>-<k>.jpg` of a URL.
    "tweet": pl.String,
    "path": pl.String,  # Null: not on disk.
    "url": pl.String,  # Null: the source has none.
    "human_label": pl.Int32,  # -1: unknown.
    "where": pl.String,  # File and line that named it.
}
"""One row a photo of a tweet in `TWEETS`."""


class Photos(Protocol):
    """Encoded photos by the row number of a table; picklable, so that processes can share work."""

    def __len__(self) -> int: ...

    def read(self, number: int) -> bytes:
        """The file's bytes; raises `pixels.DecodeError` where it cannot be read."""
        ...

    def take(self, numbers: Sequence[int]) -> "Photos":
        """Those of these numbers, in this order; small enough to be sent to a worker."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoFiles:
    """Photos on disk; a path is null where there is no file.

    Millions of paths take a third of the memory as a polars column of text.
    """

    paths: pl.Series

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, number: int) -> bytes:
        path = self.paths[number]
        if path is None:
            raise pixels.DecodeError("not fetched")
        return photos.read(pathlib.Path(path))

    def take(self, numbers: Sequence[int]) -> "PhotoFiles":
        return PhotoFiles(self.paths.gather(list(numbers)))


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoRecords:
    """Photos of a written dataset; numbers into it, int64 [N]."""

    data: RandomAccess
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, number: int) -> bytes:
        (example,) = self.data.__getitems__([int(self.numbers[number])])
        return example["image"]

    def take(self, numbers: Sequence[int]) -> "PhotoRecords":
        return PhotoRecords(self.data, self.numbers[list(numbers)])
