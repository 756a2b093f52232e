"""The stage of `distill` that looks at every photo once: does it decode, and what is its hash."""

import concurrent.futures
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from input_pipeline import photos, pixels
from vit_sentiment.distillation import shards
from vit_sentiment.distillation.hashing import Hashes, hash_photo
from vit_sentiment.distillation.tables import Photos
from vit_sentiment.runtime.progress import Tick

ROWS = 8192
"""Of a shard: a minute of work of two cores."""

SCHEMA = {
    "id": pl.String,
    "problem": pl.String,  # Null: it decodes.
    "hash": pl.UInt64,
    "variance": pl.Float32,
    "digest": pl.UInt64,
}
"""The last three are those of `hashing.Hashes`, null where the photo does not decode."""


def check(
    folder: str | pathlib.Path,
    table: pl.DataFrame,
    files: Photos,
    state: str = "",
    rows: int = ROWS,
) -> pl.DataFrame:
    """Looks at the photos of a table, schema `SCHEMA`, in order, with shards as in `shards`.

    Args:
      folder: of the shards; made if need be.
      table: with the columns id and number, which is what `files` takes.
      state: tells whether the files changed.

    Raises:
      UserError: the folder has shards of other photos.
    """
    ids, numbers = table["id"].to_list(), table["number"].to_list()

    def look(number: int) -> tuple[Any, ...]:
        try:
            return None, *hash_photo(files.read(number))
        except pixels.DecodeError as error:
            return str(error), None, None, None

    def compute(missing: Sequence[slice], tick: Tick) -> Iterator[pl.DataFrame]:
        with concurrent.futures.ThreadPoolExecutor(photos.cores()) as pool:
            for part in missing:
                found, left = [], iter(numbers[part])
                while window := list(itertools.islice(left, photos.WINDOW)):
                    found += pool.map(look, window)
                    tick(len(window))
                rows = [(id_, *row) for id_, row in zip(ids[part], found, strict=True)]
                yield pl.DataFrame(rows, schema=SCHEMA, orient="row")

    digest = shards.hash_rows(zip(ids, strict=True))
    facts = {"rows": rows, "photos": len(ids), "sha256": digest, "files": state}
    shards.claim(folder, "photos.json", "photos", facts)
    return shards.fill(folder, "photos", "look at photos", "photos", ids, rows, compute)


def hashes_of(table: pl.DataFrame) -> Hashes:
    """The hashes in a table that has the columns of `SCHEMA`, all photos of which decode."""
    columns = (("hash", np.uint64), ("digest", np.uint64), ("variance", np.float32))
    return Hashes(*(table[name].to_numpy().astype(dtype) for name, dtype in columns))
