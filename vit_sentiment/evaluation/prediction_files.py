"""Files of predictions: ours, the original's, and those of other systems."""

import collections
import csv
import dataclasses
import os
import pathlib
from collections.abc import Collection, Sequence

import numpy as np
import polars as pl

from input_pipeline.records import CLASSES
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

ORIGINAL_HEADER = ("NEG", "NEU", "POS")
SUFFIXES = (".csv", ".tsv", ".parquet")

_CLASS_COLUMNS = {
    "NEG": ("neg", "negative"),
    "NEU": ("neu", "neutral"),
    "POS": ("pos", "positive"),
}
_PATH_COLUMNS = ("path", "id", "image", "file")
_LABEL_COLUMNS = ("label", "prediction", "class")
_ERROR_COLUMN = "error"
_SEPARATORS = (",", "\t", ";", " ")
"""Of the first line; the first of these that is in it."""


@dataclasses.dataclass(frozen=True)
class Read:
    """What a file says of a benchmark's rows.

    Attributes:
      probs: float64 [N, 3]; of labels alone 1 for the label and 0 for the others.
      known: rows with a prediction [N].
      graded: whether there are probabilities, which areas under curves need.
    """

    probs: np.ndarray
    known: np.ndarray
    graded: bool


def write_original(
    path: str | os.PathLike[str], probs: np.ndarray, readable: np.ndarray | None = None
) -> None:
    """The original's file: the header NEG,NEU,POS and one row [3] for each of the benchmark's.

    Numbers are written so that float32 reads back the same. The format has no place for errors:
    rows that are not `readable` [N] have empty fields.
    """
    known = np.ones(len(probs), np.bool_) if readable is None else readable
    with (
        files.replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ORIGINAL_HEADER)
        for row, told in zip(probs.astype(np.float32), known, strict=True):
            writer.writerow([str(value) if told else "" for value in row])


def read(
    path: str | os.PathLike[str],
    ids: Sequence[str],
    *,
    binary: bool = True,
    left_out: Collection[str] = (),
) -> Read:
    """Reads the predictions of a benchmark's rows from a text table or a .parquet file.

    Columns may be NEG, NEU, POS in any case or spelt out (NEU may be absent), or only a `label`
    (class names or numbers). Three columns of numbers without a header are NEG, NEU, POS. Fields
    are separated by commas, tabs, semicolons or blanks, whichever the first line has.

    With a column `path` rows are matched by it, and those of other photos are ignored, since some
    benchmarks hold others. Without one they are the benchmark's, in order. Rows with an `error`,
    and rows whose fields are all empty, are no predictions.

    Args:
      ids: of the benchmark's rows, in order.
      binary: whether the benchmark tells negative from positive alone: then class numbers are 0
        and 1, or, where there is a 2, those of three classes.
      left_out: ids that the list has and the benchmark leaves out.

    Raises:
      UserError: one line that says what does not fit.
    """
    table = _read_table(pathlib.Path(path))
    lower = {name.strip().lower(): name for name in table.columns}
    # Before rows are put in order, so that what is wrong is told by its row in the file.
    found = _predictions(path, table, lower, binary)
    path_column = next((lower[name] for name in _PATH_COLUMNS if name in lower), None)
    if path_column is not None:
        order = _order(path, table[path_column].to_list(), ids, left_out)
        found = dataclasses.replace(found, probs=found.probs[order], known=found.known[order])
    elif len(table) != len(ids):
        hint = f"; the benchmark leaves out {', '.join(sorted(left_out))}" if left_out else ""
        raise UserError(
            f"{path}: expected {len(ids)} rows, one for each of the benchmark, found {len(table)}; "
            f"rows are matched by their order where there is no column path{hint}"
        )
    if not found.known.any():
        raise UserError(f"{path}: has no prediction for any of the benchmark's {len(ids)} rows")
    if missing := int((~found.known).sum()):
        say(f"{path}: {missing} of {len(ids)} rows have no prediction and are left out")
    return found


def _read_table(path: pathlib.Path) -> pl.DataFrame:
    """All columns as text without blanks around it; null for empty fields."""
    try:
        if path.suffix == ".parquet":
            table = pl.read_parquet(path).cast(pl.String)
        else:
            table = _read_text(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a readable table: {reason}") from error
    text = table.select(pl.all().str.strip_chars())
    return text.select(pl.when(pl.all() != "").then(pl.all()))


def _read_text(path: pathlib.Path) -> pl.DataFrame:
    text = path.read_text(encoding="utf-8-sig").rstrip("\r\n")  # Blank lines would count as rows.
    first = text.partition("\n")[0]
    separator = next((mark for mark in _SEPARATORS if mark in first), _SEPARATORS[0])
    fields = [field.strip('" ') for field in first.split(separator)]
    headless = len(fields) == len(ORIGINAL_HEADER) and all(map(_is_number, fields))
    return pl.read_csv(
        text.encode(),
        separator=separator,
        has_header=not headless,
        new_columns=list(ORIGINAL_HEADER) if headless else None,
        infer_schema=False,
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _order(
    path: str | os.PathLike[str],
    names: Sequence[str | None],
    ids: Sequence[str],
    left_out: Collection[str],
) -> list[int]:
    """The number of the row of each id."""
    places = {name: number for number, name in enumerate(names)}
    if len(places) < len(names):
        ((twice, _),) = collections.Counter(names).most_common(1)
        raise UserError(f"{path}: {twice!r} is there twice")
    if missing := [name for name in ids if name not in places]:
        raise UserError(
            f"{path}: lacks {len(missing)} of the benchmark's {len(ids)} photos, the first is "
            f"{missing[0]!r}"
        )
    if others := len(places.keys() - {*ids, *left_out}):
        say(f"{path}: {others} rows of photos that are not in the benchmark are ignored")
    return [places[name] for name in ids]


def _predictions(
    path: str | os.PathLike[str], table: pl.DataFrame, lower: dict[str, str], binary: bool
) -> Read:
    columns = {
        ours: next((lower[name] for name in spellings if name in lower), None)
        for ours, spellings in _CLASS_COLUMNS.items()
    }
    graded = bool(columns["NEG"] and columns["POS"])
    label = next((lower[name] for name in _LABEL_COLUMNS if name in lower), None)
    if not graded and label is None:
        raise UserError(
            f"{path}: expected columns NEG, NEU, POS or a label, found {', '.join(table.columns)}"
        )
    used = [name for name in columns.values() if name] if graded else [label]
    known = ~table.select(pl.all_horizontal(pl.col(used).is_null())).to_series().to_numpy()
    if _ERROR_COLUMN in lower:
        known &= table[lower[_ERROR_COLUMN]].is_null().to_numpy()
    if graded:
        return Read(_probabilities(path, table, columns, known), known, graded)
    return Read(_from_labels(path, table[label].to_list(), known, binary), known, graded)


def _probabilities(
    path: str | os.PathLike[str],
    table: pl.DataFrame,
    columns: dict[str, str | None],
    known: np.ndarray,
) -> np.ndarray:
    probs = np.zeros((len(table), len(ORIGINAL_HEADER)))
    for number, name in enumerate(ORIGINAL_HEADER):
        if (column := columns[name]) is None:  # A system that knows no neutral.
            continue
        values = table[column].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        bad = known & ~(np.isfinite(values) & (values >= 0))
        if bad.any():
            row = int(np.argmax(bad))
            raise UserError(
                f"{path}: row {row + 1}: {column}: expected a probability, found "
                f"{table[column][row] or 'nothing'}"
            )
        probs[known, number] = values[known]
    return probs


def _from_labels(
    path: str | os.PathLike[str], labels: Sequence[str | None], known: np.ndarray, binary: bool
) -> np.ndarray:
    # pandas writes class numbers as floats where a column has gaps.
    names = [str(value).lower().removesuffix(".0") for value in labels]
    two = binary and "2" not in names
    numbers = {"0": "NEG", "1": "POS"} if two else {"0": "NEG", "1": "NEU", "2": "POS"}
    short = {spelling: ours for ours, spellings in _CLASS_COLUMNS.items() for spelling in spellings}
    classes = short | numbers
    probs = np.zeros((len(names), len(ORIGINAL_HEADER)))
    for number in np.flatnonzero(known):
        if names[number] not in classes:
            raise UserError(
                f"{path}: row {number + 1}: expected one of {', '.join(CLASSES)} or a class "
                f"number, found {labels[number]!r}"
            )
        probs[number, ORIGINAL_HEADER.index(classes[names[number]])] = 1
    return probs
