"""What readers of tweets list, row by row, before it is known which rows can be used."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, UNKNOWN

TEXT_ROWS = {
    "where": pl.String,
    "tweet": pl.String,  # Empty: the source does not say.
    "text": pl.String,
    "lang": pl.String,
    "referenced": pl.Boolean,
}

PHOTO_ROWS = {
    "where": pl.String,
    "row": pl.UInt32,  # Of the text that it came with; null: listed apart from the texts.
    "tweet": pl.String,
    "id": pl.String,  # Null: to be made of the tweet's id.
    "path": pl.String,  # As listed.
    "url": pl.String,
    "human_label": pl.Int32,
}

_CHUNK = 65536
"""Rows that are kept as Python objects before they become columns."""


class Rows:
    """Takes rows, one by one, and gives them as a table."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = dict(schema)
        self._rows: list[tuple[Any, ...]] = []
        self._frames = [pl.DataFrame(schema=self._schema)]
        self._flushed = 0

    def __len__(self) -> int:
        return self._flushed + len(self._rows)

    def add(self, *row: Any) -> None:
        """Takes one row: a value for each column."""
        self._rows.append(row)
        if len(self._rows) >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        columns = zip(self._schema, zip(*self._rows, strict=True), strict=bool(self._rows))
        self._frames.append(pl.DataFrame(dict(columns), schema=self._schema))
        self._flushed += len(self._rows)
        self._rows = []

    def frame(self) -> pl.DataFrame:
        """All rows, in order."""
        self._flush()
        return pl.concat(self._frames)


class Lost:
    """Lists what falls away in `problems` and counts it by kind."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.counts: collections.Counter[str] = collections.Counter()
        self._of_a_kind = len(problems.rows)

    def add(self, kind: str, where: str, name: str, problem: str) -> None:
        """Lists one row; raises UserError under the policy `fail`."""
        self.problems.add(where, name, problem)
        self._of_a_kind += 1
        self.counts[kind] += 1

    def count_lines(self) -> None:
        """Counts the lines that are listed but of none of the kinds: they could not be read."""
        lines = len(self.problems.rows) - self._of_a_kind
        if lines:
            self._of_a_kind += lines
            self.counts["lines not readable"] += lines


@dataclasses.dataclass(frozen=True)
class Listed:
    """What a source lists.

    Attributes:
      texts: schema `TEXT_ROWS`.
      photos: schema `PHOTO_ROWS`.
      several_rows: whether a tweet may have several rows of the same text.
      named_by_tweet: whether a photo without a path may lie at `<first 5 of tweet>/<id>`.
    """

    texts: pl.DataFrame
    photos: pl.DataFrame
    several_rows: bool = False
    named_by_tweet: bool = False


def is_url(text: str) -> bool:
    """Whether a photo is to be fetched from there, not read from a file."""
    return text[:8].lower().startswith(("http://", "https://"))


def photo_row(
    where: str, row: int | None, tweet: str, listed: str, label: int = UNKNOWN
) -> Sequence[Any]:
    """A row of `PHOTO_ROWS` for a path, which is the photo's id, or a URL."""
    if is_url(listed):
        return where, row, tweet, None, None, listed, label
    return where, row, tweet, listed, listed, None, label


def human_label(text: str, where: str, name: str, lost: Lost) -> int:
    """The class of a human's label; what is none goes to `lost`. Empty: unknown."""
    if text in CLASSES:
        return CLASSES.index(text)
    if text:
        problem = f"unknown label {text!r}; classes: {', '.join(CLASSES)}"
        lost.add("human labels not understood", where, name, problem)
    return UNKNOWN
