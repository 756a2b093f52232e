"""Taking tweets out of the tables that lie beside a dataset."""

import csv
import dataclasses
import pathlib
import re
from collections.abc import Iterator, Mapping

import polars as pl

from input_pipeline.table_files import DELIMITERS
from vit_sentiment.distillation import stages
from vit_sentiment.runtime import files

_KEYS = ("id", "tweet", "id_tweet", "TWID", "path", "photo")
"""Columns that say whose row it is."""
_REFERENCES = ("cluster", "duplicate_of")
"""Columns that name a photo of another row."""
_PHOTO_NAME = re.compile(r"(.+)-\d+")
"""Twitter's photos are called `<tweet>-<k>.jpg`."""


@dataclasses.dataclass(frozen=True)
class Purge:
    """What has to go.

    Attributes:
      tweets, photos: ids.
      groups: old to new names of groups that keep photos of other tweets.
    """

    tweets: frozenset[str]
    photos: frozenset[str]
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def names(self, text: str) -> bool:
        """Whether a text is an id of theirs, or the path of a photo of theirs."""
        if text in self.tweets or text in self.photos:
            return True
        match = _PHOTO_NAME.fullmatch(pathlib.PurePath(text).stem)
        return bool(match) and match[1] in self.tweets

    def mentioned(self, text: str) -> bool:
        """Whether a word of a text is a name of theirs."""
        return any(self.names(word.strip("'\"`.,;:()[]{}<>")) for word in text.split())


def tables(root: pathlib.Path, dataset: pathlib.Path) -> Iterator[pathlib.Path]:
    """The tables below a folder, and what stages could not use, but not those of datasets."""
    for path in sorted(root.rglob("*")):
        kind = path.suffix.lower()
        if (kind in (".parquet", *DELIMITERS) or path.name == stages.FILE) and path.is_file():
            inside = [dataset, *(p for p in path.parents if (p / "dataset_info.json").exists())]
            if not any(path.is_relative_to(folder) for folder in inside):
                yield path


def photos_of(path: pathlib.Path, tweets: frozenset[str]) -> set[str]:
    """The photos that a Parquet table with the columns id and tweet has of tweets."""
    if path.suffix.lower() != ".parquet":
        return set()
    if not {"id", "tweet"} <= set(pl.read_parquet_schema(path)):
        return set()
    pairs = pl.read_parquet(path, columns=["id", "tweet"])
    return set(pairs.filter(pl.col("tweet").is_in(list(tweets)))["id"])


def clean(path: pathlib.Path, target: pathlib.Path, purge: Purge) -> int:
    """Writes a table without the rows of a purge; nothing where it has none.

    Returns:
      The number of rows that went, and of those in which a name changed.
    """
    if path.name == stages.FILE:
        return _clean_problems(path, target, purge)
    return (_clean_parquet if path.suffix.lower() == ".parquet" else _clean_text)(
        path, target, purge
    )


def _clean_problems(path: pathlib.Path, target: pathlib.Path, purge: Purge) -> int:
    facts = files.read_json(path)
    # The first column numbers lines.
    kept = [row for row in facts["problems"] if not any(map(purge.mentioned, row[1:]))]
    if gone := len(facts["problems"]) - len(kept):
        files.write_json(target, {**facts, "problems": kept})
    return gone


def _clean_parquet(path: pathlib.Path, target: pathlib.Path, purge: Purge) -> int:
    before = pl.read_parquet(path)
    texts = [name for name, kind in before.schema.items() if kind == pl.String]

    def named(column: str) -> pl.Series:
        values = [v for v in before[column].unique().drop_nulls() if purge.names(v)]
        return before[column].is_in(values).fill_null(False)

    gone = pl.Series([False] * len(before), dtype=pl.Boolean)
    for column in texts:
        if column in _KEYS:
            gone = gone | named(column)
    after = before.with_columns(
        pl.when(~named(column)).then(pl.col(column)).alias(column)
        for column in texts
        if column in _REFERENCES
    ).filter(~gone)
    if "group" in texts:
        after = after.with_columns(pl.col("group").replace(dict(purge.groups)))
    if {"cluster", "id"} <= set(texts):
        # A cluster is called after its first photo.
        lost = (before["cluster"].is_not_null() & named("cluster")).filter(~gone)
        names = pl.Series("was", before["cluster"]).filter(~gone)
        first = pl.col("id").first().over("was")
        after = (
            after.with_columns(names, lost=lost)
            .with_columns(cluster=pl.when("lost").then(first).otherwise("cluster"))
            .drop("was", "lost")
        )
    changed = int(gone.sum()) + len(after) - int(_equal_rows(before.filter(~gone), after))
    if changed:
        with files.replacing(target) as temporary:
            after.write_parquet(temporary)
    return changed


def _equal_rows(before: pl.DataFrame, after: pl.DataFrame) -> int:
    same = [before[column].eq_missing(after[column]) for column in before.columns]
    return int(pl.DataFrame(same).select(pl.all_horizontal(pl.all())).to_series().sum())


def _clean_text(path: pathlib.Path, target: pathlib.Path, purge: Purge) -> int:
    delimiter = DELIMITERS[path.suffix.lower()]
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *rows = [*csv.reader(file, delimiter=delimiter)] or [[]]
    end = "\r\n" if b"\r\n" in path.read_bytes() else "\n"
    free = [k for k, name in enumerate(header) if name != "where"]  # Numbers of lines.
    kept = [row for row in rows if not any(purge.mentioned(row[k]) for k in free if k < len(row))]
    if len(kept) < len(rows):
        with (
            files.replacing(target) as temporary,
            open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            csv.writer(file, delimiter=delimiter, lineterminator=end).writerows([header, *kept])
    return len(rows) - len(kept)
