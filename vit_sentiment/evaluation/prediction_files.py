"""Files of predictions: ours, the original's, and those of other systems."""

import csv
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from input_pipeline.records import CLASSES
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

ORIGINAL_HEADER = ("NEG", "NEU", "POS")
_CLASS_COLUMNS = {
    "NEG": ("neg", "negative"),
    "NEU": ("neu", "neutral"),
    "POS": ("pos", "positive"),
}
_PATH_COLUMNS = ("path", "id", "image", "file")
_LABEL_COLUMNS = ("label", "prediction", "class")
_SEPARATORS = {".tsv": "\t"}


def write_original(path: str | os.PathLike[str], probs: np.ndarray) -> None:
    """The original's file: the header NEG,NEU,POS and one row [3] for each of the benchmark's.

    Numbers are written so that float32 reads back the same.
    """
    with (
        files.replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ORIGINAL_HEADER)
        writer.writerows([[str(value) for value in row] for row in probs.astype(np.float32)])


def read(path: str | os.PathLike[str], ids: Sequence[str]) -> np.ndarray:
    """Probabilities [N, 3] of a benchmark's rows from a .csv, .tsv or .parquet file.

    Columns may be NEG, NEU, POS in any case or spelt out (NEU may be absent), or only a `label`
    (class names, class numbers, or 0 and 1 for negative and positive). With a column `path` rows
    are matched by it; without one they are the benchmark's, in order. Three columns of numbers
    without a header are NEG, NEU, POS.

    Args:
      ids: of the benchmark's rows, in order.

    Raises:
      UserError: one line that says what does not fit.
    """
    table = _read_table(pathlib.Path(path))
    lower = {name.strip().lower(): name for name in table.columns}
    path_column = next((lower[name] for name in _PATH_COLUMNS if name in lower), None)
    if path_column is not None:
        table = _in_order(path, table, path_column, ids)
    elif len(table) != len(ids):
        raise UserError(
            f"{path}: expected {len(ids)} rows, one for each of the benchmark, found {len(table)}; "
            "rows are matched by their order where there is no column path"
        )
    columns = {}
    for ours, spellings in _CLASS_COLUMNS.items():
        columns[ours] = next((lower[name] for name in spellings if name in lower), None)
    if columns["NEG"] and columns["POS"]:
        return _probabilities(path, table, columns)
    label = next((lower[name] for name in _LABEL_COLUMNS if name in lower), None)
    if label is None:
        raise UserError(
            f"{path}: expected columns NEG, NEU, POS or a label, found {', '.join(table.columns)}"
        )
    return _from_labels(path, table[label])


def _read_table(path: pathlib.Path) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        separator = _SEPARATORS.get(path.suffix, ",")
        with open(path, encoding="utf-8-sig") as file:
            first = file.readline().strip().split(separator)
        headless = len(first) == 3 and all(map(_is_number, first))
        return pl.read_csv(
            path,
            separator=separator,
            has_header=not headless,
            new_columns=list(ORIGINAL_HEADER) if headless else None,
            infer_schema_length=None,
            schema_overrides=dict.fromkeys(_PATH_COLUMNS, pl.String),
        )
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a readable table: {reason}") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _in_order(
    path: str | os.PathLike[str], table: pl.DataFrame, column: str, ids: Sequence[str]
) -> pl.DataFrame:
    names = table[column].cast(pl.String).to_list()
    places = {name: number for number, name in enumerate(names)}
    if len(places) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path}: {twice!r} is there twice")
    if missing := [name for name in ids if name not in places]:
        raise UserError(
            f"{path}: lacks {len(missing)} of the benchmark's {len(ids)} photos, the first is "
            f"{missing[0]!r}"
        )
    return table[[places[name] for name in ids]]


def _probabilities(
    path: str | os.PathLike[str], table: pl.DataFrame, columns: dict[str, str | None]
) -> np.ndarray:
    parts = []
    for name in ORIGINAL_HEADER:
        column = columns[name]
        if column is None:  # A system that knows no neutral.
            parts.append(np.zeros(len(table), np.float32))
            continue
        values = table[column].cast(pl.Float32, strict=False)
        if values.null_count() or not values.is_finite().all():
            bad = int(np.argmax((values.is_null() | ~values.is_finite()).to_numpy()))
            raise UserError(f"{path}: row {bad + 1}: {column} is no number")
        parts.append(values.to_numpy())
    return np.stack(parts, axis=1)


def _from_labels(path: str | os.PathLike[str], labels: pl.Series) -> np.ndarray:
    names = [str(value).strip().lower() for value in labels.to_list()]
    short = {spelling: ours for ours, spellings in _CLASS_COLUMNS.items() for spelling in spellings}
    numbers = {"0": "NEG", "1": "POS"} if "2" not in names else {"0": "NEG", "1": "NEU", "2": "POS"}
    known = {**short, **numbers}
    for number, name in enumerate(names):
        if name not in known:
            raise UserError(
                f"{path}: row {number + 1}: expected one of {', '.join(CLASSES)} or a class "
                f"number, found {name!r}"
            )
    rows = [ORIGINAL_HEADER.index(known[name]) for name in names]
    return np.eye(len(ORIGINAL_HEADER), dtype=np.float32)[rows]
