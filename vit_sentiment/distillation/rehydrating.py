"""A dataset as ids only, which may be passed on, and back from one's own copy of the tweets.

The table has one row a record, in order, and in the metadata of its Parquet file the facts of the
card, how photos were written among them. Nothing in it is a photo or a text.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from input_pipeline import pixels
from input_pipeline.builder import INDEX_FILE
from input_pipeline.problems import Problems
from input_pipeline.sources import open_source
from vit_sentiment.distillation import card
from vit_sentiment.distillation.completing import ORIGINS_FILE
from vit_sentiment.distillation.tables import Photos
from vit_sentiment.distillation.teachers import COLUMNS
from vit_sentiment.distillation.writing import Settings, write
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

IDS = {
    "split": pl.String,
    "id": pl.String,
    "tweet": pl.String,
    "group": pl.String,
    **dict.fromkeys(COLUMNS, pl.Float32),
    "teacher_label": pl.Int32,
    "human_label": pl.Int32,
    "sha256": pl.String,  # Of the photo as it is in the dataset.
    "source_sha256": pl.String,  # Of the file that it was made from.
}
_FACTS = "card"
MISSING = "not among the tweets"
CHANGED = "another file than in the original"


def ids(folder: pathlib.Path) -> pl.DataFrame:
    """The table of a dataset, columns `IDS`."""
    index = pl.read_parquet(folder / INDEX_FILE)
    origins = pl.read_parquet(folder / ORIGINS_FILE).drop("id")
    probs = [
        record.teacher_probs
        for split in index["split"].unique(maintain_order=True)
        for record in open_source(str(folder), split).records()
    ]
    columns = pl.DataFrame(np.stack(probs), schema=dict.fromkeys(COLUMNS, pl.Float32))
    return pl.concat([index, origins, columns], how="horizontal").select(IDS.keys())


def export(folder: pathlib.Path, path: str | pathlib.Path) -> pl.DataFrame:
    """Writes the table of a dataset, with the facts of its card, and returns it."""
    table = ids(folder)
    facts = (folder / card.FACTS_FILE).read_text(encoding="utf-8")
    with files.replacing(path) as temporary:
        table.write_parquet(temporary, metadata={_FACTS: facts})
    return table


def read(path: str | pathlib.Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """A table that `export` wrote, and the facts.

    Raises:
      UserError: it is not there, or not such a table.
    """
    if not pathlib.Path(path).is_file():
        raise UserError(f"{path}: no such file")
    try:
        table = pl.read_parquet(path)
        facts = json.loads(pl.read_parquet_metadata(path)[_FACTS])
    except (pl.exceptions.PolarsError, KeyError, OSError) as error:
        raise UserError(f"{path}: not a table that `distill ids` wrote") from error
    if missing := [name for name, kind in IDS.items() if table.schema.get(name) != kind]:
        raise UserError(f"{path}: no column {missing[0]!r} of the kind that `distill ids` writes")
    return table, facts


@dataclasses.dataclass(frozen=True)
class _Checked:
    """Photos of the original's records; those that are another file now cannot be read.

    Attributes:
      numbers: of each record in `files`; -1 where there is none.
      hashes: sha256 of each.
    """

    files: Photos
    numbers: tuple[int, ...]
    hashes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, number: int) -> bytes:
        if self.numbers[number] < 0:
            raise pixels.DecodeError(MISSING)
        data = self.files.read(self.numbers[number])
        if hashlib.sha256(data).hexdigest() != self.hashes[number]:
            raise pixels.DecodeError(CHANGED)
        return data

    def take(self, numbers: Sequence[int]) -> "_Checked":
        known = [self.numbers[n] for n in numbers if self.numbers[n] >= 0]
        place = iter(range(len(known)))
        return _Checked(
            self.files.take(known) if known else self.files,
            tuple(next(place) if self.numbers[n] >= 0 else -1 for n in numbers),
            tuple(self.hashes[n] for n in numbers),
        )


def rehydrate(
    table: pl.DataFrame,
    facts: dict[str, Any],
    photos: pl.DataFrame,
    photo_files: Photos,
    out: str | pathlib.Path,
    workers: int = 0,
) -> dict[str, int]:
    """Writes the dataset that a table of ids was made from, in the same order.

    Args:
      table, facts: what `read` gave.
      photos: with the columns id and number, which is the photo in `photo_files`.

    Returns:
      Counts of `write`, and of the photos that were missing or are other files now; they are listed
      in problems.csv.
    """
    known = photos.select("id", place="number")
    table = table.join(known, on="id", how="left", maintain_order="left")
    table = table.with_columns(pl.col("place").fill_null(-1), number=pl.int_range(pl.len()))
    checked = _Checked(
        photo_files, tuple(table["place"].to_list()), tuple(table["source_sha256"].to_list())
    )
    parts = {
        split: table.filter(split=split) for split in table["split"].unique(maintain_order=True)
    }
    made = facts["writing"]
    settings = Settings(
        short_side=made["short_side"],
        quality=made["quality"] or Settings.quality,
        shard_photos=made["shard_photos"],
        workers=workers,
    )
    problems = Problems("skip")
    counts = write(parts, checked, out, settings, problems, card_facts=facts)
    found = [problem for _, _, problem in problems.rows]
    return counts | {text: found.count(text) for text in (MISSING, CHANGED)}
