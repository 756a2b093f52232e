"""What every teacher is, and which there are."""

import array
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from input_pipeline.problems import Problems
from input_pipeline.table_files import read_table
from vit_sentiment.distillation import vader
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import Tick

Label = Callable[[Iterable[Sequence[str]], Tick], Iterator[np.ndarray]]

COLUMNS = ("NEG", "NEU", "POS")
"""Of a table with a teacher's probabilities, beside `id`; in the order of our classes."""
_ID_COLUMNS = ("id", "TWID")
"""The original system writes the second."""
SUM_TOLERANCE = 0.01
"""Published tables are rounded to a few digits."""


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A text classifier.

    Attributes:
      facts: JSON values that its probabilities depend on.
      label: parts of cleaned-up texts to their probabilities, float32 [N, 3] for each part;
        `tick(count)` is called as texts are done. It may look at parts ahead.
    """

    facts: dict[str, Any]
    label: Label


def clean_up(text: str) -> str:
    """What the original system makes of a text: no user names, no links.

    Of the tokens between single blanks, `@name` becomes `@user` and whatever starts with `http`
    becomes `http`, as the model's own card has it.
    """

    def change(token: str) -> str:
        if token.startswith("@") and len(token) > 1:
            return "@user"
        return "http" if token.startswith("http") else token

    return " ".join(change(token) for token in text.split(" "))


def vader_teacher(sharpness: float = vader.SHARPNESS) -> Teacher:
    """VADER, see `vader.probabilities`."""

    def label(parts: Iterable[Sequence[str]], tick: Tick) -> Iterator[np.ndarray]:
        for texts in parts:
            yield vader.probabilities(vader.compound_scores(texts), sharpness)
            tick(len(texts))

    return Teacher({"teacher": "vader", "sharpness": sharpness}, label)


def make_teacher(name: str, *, model: str, max_tokens: int, sharpness: float) -> Teacher:
    """The teacher `vader` or `roberta`; a table of labels is no teacher, see `look_up`.

    Args:
      model, max_tokens: of RoBERTa, see `roberta.teacher`.
      sharpness: of VADER, see `vader.probabilities`.
    """
    if name == "vader":
        return vader_teacher(sharpness)
    if name != "roberta":
        raise UserError(f"unknown teacher {name!r}; there are: vader, roberta")
    from vit_sentiment.distillation import roberta
    from vit_sentiment.runtime import accelerator

    accelerator.prepare()
    return roberta.teacher(model, max_tokens)


def finite(probs: np.ndarray) -> np.ndarray:
    """The same; raises UserError where a teacher gave NaN."""
    if bad := int(np.sum(~np.isfinite(probs).all(axis=1))):
        raise UserError(f"the teacher gives NaN for {bad} texts; its weights are damaged")
    return probs


def look_up(path: str | pathlib.Path, tweets: Sequence[str], problems: Problems) -> pl.DataFrame:
    """The rows of tweets that a table of labels has, in the tweets' order; see `read_labels`.

    Args:
      tweets: their ids.
      problems: takes the tweets that it lacks.

    Raises:
      UserError: it has none of them, or cannot be read.
    """
    wanted = pl.DataFrame({"id": pl.Series(tweets, dtype=pl.String)})
    labels = read_labels(path, problems)
    found = wanted.join(labels, on="id", how="inner", maintain_order="left")
    if not len(found):
        raise UserError(f"{path}: has none of the {len(tweets)} tweets")
    for tweet in wanted.join(labels, on="id", how="anti", maintain_order="left")["id"]:
        problems.add(str(path), tweet, f"no row of tweet {tweet}")
    return found


def read_labels(path: str | pathlib.Path, problems: Problems) -> pl.DataFrame:
    """The probabilities of a table `id,NEG,NEU,POS`, or of all tables of a folder; ids are unique.

    Ids may be in a column TWID. Rows whose values are no probabilities, such as the -1 of texts
    that the original failed on, go to `problems`. Values are float64, as they were written.

    Raises:
      UserError: a file cannot be read or lacks a column, or there is none.
    """
    path = pathlib.Path(path)
    tables = [path]
    if path.is_dir():
        tables = sorted(path.glob("[!.]*.parquet"))
        if not tables:
            raise UserError(f"{path}: no .parquet file in it")
    ids: dict[str, None] = {}
    values: tuple[array.array, ...] = tuple(array.array("d") for _ in COLUMNS)
    for table in tables:
        for where, row in read_table(table, problems, required=COLUMNS):
            id_ = next((row[name] for name in _ID_COLUMNS if name in row), None)
            if id_ is None:
                raise UserError(f"{table}: no column 'id'; found: {', '.join(row)}")
            probs = _probabilities(row)
            if probs is None:
                found = ", ".join(row[name] for name in COLUMNS)
                problems.add(where, id_, f"expected probabilities, found {found}")
            elif id_ in ids:
                problems.add(where, id_, "listed twice; the first is kept")
            else:
                ids[id_] = None
                for column, value in zip(values, probs, strict=True):
                    column.append(value)
    columns = {name: np.array(column) for name, column in zip(COLUMNS, values, strict=True)}
    return pl.DataFrame({"id": pl.Series(list(ids), dtype=pl.String)} | columns)


def _probabilities(row: dict[str, str]) -> tuple[float, ...] | None:
    try:
        probs = tuple(float(row[name]) for name in COLUMNS)
    except ValueError:
        return None
    if not all(0 <= p <= 1 for p in probs) or abs(sum(probs) - 1) > SUM_TOLERANCE:
        return None
    return probs


def to_table(ids: Sequence[str], probs: np.ndarray) -> pl.DataFrame:
    """A table `id,NEG,NEU,POS` of probabilities [N, 3]."""
    columns = {name: probs[:, i].astype(np.float32) for i, name in enumerate(COLUMNS)}
    return pl.DataFrame({"id": pl.Series(ids, dtype=pl.String)} | columns)
