"""The stage of `distill` that adds datasets with splits of their own."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from input_pipeline import splits
from input_pipeline.records import CLASSES
from input_pipeline.sources import Source, open_source, split_names
from vit_sentiment.distillation.completing import ORIGINS_FILE
from vit_sentiment.distillation.tables import PhotoRecords, Photos
from vit_sentiment.distillation.teachers import COLUMNS as PROBABILITIES
from vit_sentiment.distillation.written_shard import ROWS
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress

_PARTS = tuple(splits.SHARES)


@dataclasses.dataclass(frozen=True, eq=False)
class PhotosOfMany:
    """Photos of several sources: the source of each, and its number there; int64 [N]."""

    sources: tuple[Photos, ...]
    source: np.ndarray
    number: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def read(self, number: int) -> bytes:
        return self.sources[self.source[number]].read(int(self.number[number]))

    def take(self, numbers: Sequence[int]) -> "PhotosOfMany":
        source, number = self.source[list(numbers)], self.number[list(numbers)]
        taken, place = [], np.zeros(len(number), np.int64)
        for i, photos in enumerate(self.sources):
            rows = np.flatnonzero(source == i)
            taken.append(photos.take(number[rows].tolist()))
            place[rows] = np.arange(len(rows))
        return PhotosOfMany(tuple(taken), source, place)


def add(
    parts: Mapping[str, pl.DataFrame], files: Photos, sources: Sequence[Source]
) -> tuple[dict[str, pl.DataFrame], Photos]:
    """Adds datasets, each with its own parts, so that nothing held out by one is trained on.

    Args:
      parts: rows with the columns of `written_shard.ROWS` by part; `number` is what `files` takes.
      sources: all splits of all datasets, as `open_all` gives them.
    """
    named = {source.name: {} for source in sources}
    together = _Together(files)
    for source in sources:
        named[source.name][source.split] = together.add(source)
    # A group need not have the same name everywhere: it depends on what else its dataset has.
    merged = splits.merge([parts, *named.values()], keys=("group", "tweet"))
    return merged, together.photos()


def throw_together(
    table: pl.DataFrame, files: Photos, sources: Sequence[Source]
) -> tuple[pl.DataFrame, Photos]:
    """All rows of all datasets behind those of a table; of rows with the same id the first."""
    together = _Together(files)
    rows = pl.concat([table, *map(together.add, sources)])
    return rows.unique("id", keep="first", maintain_order=True), together.photos()


def open_all(names: Sequence[str]) -> list[Source]:
    """All splits of written datasets.

    Raises:
      UserError: one is not there, has a split that is none of ours, or no labels of a teacher.
    """
    sources = []
    for name in names:
        there = split_names(name)
        if not there or not set(there) <= set(_PARTS):
            raise UserError(
                f"config.merge.sources: {name}: expected a dataset with the splits "
                f"{', '.join(_PARTS)}, found {', '.join(there) or 'none'}"
            )
        for split in there:
            source = open_source(name, split)
            source.labels_required("teacher_label")
            sources.append(source)
    return sources


class _Together:
    """Collects sources, and numbers their photos through."""

    def __init__(self, files: Photos) -> None:
        self._files = [files]

    def add(self, source: Source) -> pl.DataFrame:
        """The rows of a source, with the numbers of its photos among all."""
        first = sum(map(len, self._files))
        self._files.append(PhotoRecords(source.data, np.arange(len(source))))
        probs = np.zeros((len(source), len(CLASSES)), np.float32)
        with progress(f"read {source.name} {source.split}", len(source), "records") as tick:
            for row, record in enumerate(source.records()):
                probs[row] = record.teacher_probs
                tick()
        columns = {name: probs[:, i] for i, name in enumerate(PROBABILITIES)}
        numbers = np.arange(first, first + len(source))
        rows = source.index.with_columns(**columns, tweet=_tweets(source), number=numbers)
        return rows.select(pl.col(name).cast(kind) for name, kind in ROWS.items())

    def photos(self) -> PhotosOfMany:
        """All photos."""
        lengths = [len(files) for files in self._files]
        source = np.repeat(np.arange(len(lengths)), lengths)
        number = np.concatenate([np.arange(length) for length in lengths])
        return PhotosOfMany(tuple(self._files), source, number)


def _tweets(source: Source) -> pl.Series:
    """The tweet of each record; its group, where the dataset does not tell."""
    groups = source.index.select("id", "group")
    for path in pathlib.Path(source.name).rglob(ORIGINS_FILE):
        origins = pl.read_parquet(path, columns=["id", "tweet"])
        groups = groups.join(origins, on="id", how="left", maintain_order="left")
        return groups.select(pl.coalesce("tweet", "group")).to_series()
    return groups["group"]
