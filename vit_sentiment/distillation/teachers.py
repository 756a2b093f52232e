"""What every teacher is, and which there are."""

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
_SUM_TOLERANCE = 0.01
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


def look_up(
    path: str | pathlib.Path,
    tweets: Sequence[str],
    problems: Problems,
    photos: Sequence[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Which tweets [N] a table of labels has, bool [N], and their K probabilities, float32 [K, 3].

    Args:
      path: see `read_labels`.
      problems: takes the tweets that it lacks, under the names of `photos` [N], if there are any.

    Raises:
      UserError: it has none of them, or cannot be read.
    """
    labels = read_labels(path, problems)
    known = np.array([tweet in labels for tweet in tweets], np.bool_)
    for row in np.flatnonzero(~known):
        problems.add(str(path), (photos or tweets)[row], f"no row of tweet {tweets[row]}")
    if not known.any():
        raise UserError(f"{path}: has none of the {len(tweets)} tweets")
    return known, np.array([labels[tweet] for tweet in tweets if tweet in labels], np.float32)


def read_labels(path: str | pathlib.Path, problems: Problems) -> dict[str, tuple[float, ...]]:
    """The probabilities of a table `id,NEG,NEU,POS`, or of all tables of a folder, by id.

    Ids may be in a column TWID. Rows whose values are no probabilities, such as the -1 of texts
    that the original failed on, go to `problems`.

    Raises:
      UserError: a file cannot be read or lacks a column, or there is none.
    """
    path = pathlib.Path(path)
    tables = [path]
    if path.is_dir():
        tables = sorted(path.glob("[!.]*.parquet"))
        if not tables:
            raise UserError(f"{path}: no .parquet file in it")
    labels: dict[str, tuple[float, ...]] = {}
    for table in tables:
        rows = read_table(table, problems, required=COLUMNS)
        for where, row in rows:
            id_ = next((row[name] for name in _ID_COLUMNS if name in row), None)
            if id_ is None:
                found = ", ".join(row)
                raise UserError(f"{table}: no column 'id'; found: {found}")
            probs = _probabilities(row)
            if probs is None:
                found = ", ".join(row[name] for name in COLUMNS)
                problems.add(where, id_, f"expected probabilities, found {found}")
            elif id_ in labels:
                problems.add(where, id_, "listed twice; the first is kept")
            else:
                labels[id_] = probs
    return labels


def _probabilities(row: dict[str, str]) -> tuple[float, ...] | None:
    try:
        probs = tuple(float(row[name]) for name in COLUMNS)
    except ValueError:
        return None
    if not all(0 <= p <= 1 for p in probs) or abs(sum(probs) - 1) > _SUM_TOLERANCE:
        return None
    return probs


def to_table(ids: Sequence[str], probs: np.ndarray) -> pl.DataFrame:
    """A table `id,NEG,NEU,POS` of probabilities [N, 3]."""
    columns = {name: probs[:, i].astype(np.float32) for i, name in enumerate(COLUMNS)}
    return pl.DataFrame({"id": pl.Series(ids, dtype=pl.String)} | columns)
