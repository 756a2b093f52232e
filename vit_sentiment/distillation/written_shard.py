"""One shard of a dataset, written by itself: in one thread of several, or on another machine."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator

import numpy as np
import polars as pl

from input_pipeline import dataset_files, pixels
from input_pipeline.builder import INDEX_SCHEMA
from input_pipeline.records import Record
from vit_sentiment.distillation.tables import Photos
from vit_sentiment.distillation.teachers import COLUMNS
from vit_sentiment.runtime import files

NAME = "distilled_tweets"
ROWS = {
    "id": pl.String,
    "tweet": pl.String,
    "group": pl.String,
    **dict.fromkeys(COLUMNS, pl.Float32),
    "teacher_label": pl.Int32,
    "human_label": pl.Int32,
    "number": pl.Int64,
}
"""What is to be written, one row a photo; `number` is its row in the photos."""

ORIGINS_SCHEMA = {"tweet": pl.String, "source_sha256": pl.String}
"""Of each record: its tweet, which `group` need not name, and the file it was made from."""

NOTES_SCHEMA = INDEX_SCHEMA | ORIGINS_SCHEMA | {"bytes": pl.Int64, "problem": pl.String}
"""What is noted of each row of a shard; of a photo that was lost there is a problem instead."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How photos are written.

    Attributes:
      short_side: pixels that the short side has at most; 0: files stay as they are.
      quality: of a JPEG that is made smaller, 1 to 100.
      shard_photos: rows of every shard but the last of a split.
      workers: threads; 0: one a core. Of no influence on what is written.
    """

    short_side: int = 0
    quality: int = 95
    shard_photos: int = 1024
    workers: int = 0


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard to be written; picklable.

    Attributes:
      rows: schema `ROWS`, but for `number`; row k is of photo k of `files`.
      path: the ArrayRecord file.
      notes: a Parquet file of schema `NOTES_SCHEMA`; the shard is finished when it exists.
    """

    split: str
    rows: pl.DataFrame
    files: Photos
    path: pathlib.Path
    notes: pathlib.Path
    short_side: int
    quality: int


def photo(data: bytes, short_side: int, quality: int) -> bytes:
    """A photo as it is written."""
    return pixels.shrink(data, short_side, quality) if short_side else data


def write_shard(shard: Shard) -> list[tuple[str, str]]:
    """Writes a shard, then its notes.

    Returns:
      Id and problem of each photo that can no longer be read and is left out.
    """
    notes: list[tuple] = []
    with files.replacing(shard.path) as temporary:
        dataset_files.write_shard(temporary, _examples(shard, notes))
    table = pl.DataFrame(notes, schema=NOTES_SCHEMA, orient="row")
    with files.replacing(shard.notes) as temporary:
        table.write_parquet(temporary)
    return lost(table)


def lost(notes: pl.DataFrame) -> list[tuple[str, str]]:
    """Id and problem of each photo that was left out."""
    return notes.filter(pl.col("problem").is_not_null()).select("id", "problem").rows()


def _examples(shard: Shard, notes: list[tuple]) -> Iterator[bytes]:
    probs = shard.rows.select(COLUMNS).to_numpy().astype(np.float32)
    for number, row in enumerate(shard.rows.iter_rows(named=True)):
        labels = row["teacher_label"], row["human_label"]
        try:
            source = shard.files.read(number)
            image = photo(source, shard.short_side, shard.quality)
        except pixels.DecodeError as error:
            nothing = None, None, row["tweet"], None, 0
            notes.append((shard.split, row["id"], row["group"], *labels, *nothing, str(error)))
            continue
        example = dataset_files.to_bytes(
            Record(image, row["id"], row["group"], probs[number], *labels)
        )
        hashes = _hash(image), _hash(probs[number].tobytes())
        origin = row["tweet"], hashes[0] if image is source else _hash(source)
        noted = *labels, *hashes, *origin, len(example), None
        notes.append((shard.split, row["id"], row["group"], *noted))
        yield example


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
