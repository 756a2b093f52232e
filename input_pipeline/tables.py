"""Lists of labelled photos: CSV, TSV or Parquet, or a folder per class."""

import csv
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

import polars as pl

from input_pipeline import photos
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, POLARITY
from vit_sentiment.runtime.errors import UserError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
LABEL_COLUMNS = ("label", "class")
"""Both are used by the original's files for the same thing."""

_TWEET_PHOTO = re.compile(r"(\d{9,})-\d+\.\w+")


@dataclasses.dataclass(frozen=True)
class Columns:
    """Names of columns; an empty name means the default or, for `id` and `group`, none."""

    path: str = "path"
    label: str = ""
    id: str = ""
    group: str = ""


DEFAULT_COLUMNS = Columns()


@dataclasses.dataclass(frozen=True)
class Row:
    """A labelled photo file; `where` is the file and line that named it."""

    path: pathlib.Path
    label: int
    id: str
    group: str
    where: str


def read_rows(
    path: str | pathlib.Path,
    problems: Problems,
    *,
    images: str | pathlib.Path | None = None,
    columns: Columns = DEFAULT_COLUMNS,
    classes: Sequence[str] = CLASSES,
) -> list[Row]:
    """Reads a table, or a folder that has a folder of photos for each class.

    Labels are class names, class indices, or emotions with a polarity (`records.POLARITY`). Photo
    paths are relative to `images` (default: the table's folder). The id is the path unless a
    column gives it; the group is the tweet id for names of the form `<tweet id>-<k>.jpg`, else the
    id. Rows whose label is unknown, whose id occurred before, or whose photo is missing go to
    `problems`.

    Raises:
      UserError: the table itself cannot be read, or lacks a column; nothing usable is in it.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        found = _folder_rows(path)
    else:
        found = _table_rows(path, pathlib.Path(images or path.parent), columns, problems)
    rows, seen, indices = [], {}, _label_indices(classes)
    for file, label_text, id_, group, where in found:
        label = indices.get(label_text.strip().lower())
        if label is None:
            known = ", ".join(classes)
            problems.add(where, str(file), f"unknown label {label_text!r}; classes: {known}")
        elif (key := os.path.normpath(id_)) in seen:
            problems.add(where, str(file), f"duplicate of {seen[key]}")
        elif not photos.exists(file):
            problems.add(where, str(file), "no such file")
        else:
            seen[key] = where
            rows.append(Row(file, label, id_, group or _tweet(file.name) or id_, where))
    if not rows:
        first = (
            f"; the first unusable one: {': '.join(filter(None, problems.rows[0]))}"
            if problems.rows
            else ""
        )
        raise UserError(f"{path}: no usable rows{first}")
    return rows


def _label_indices(classes: Sequence[str]) -> dict[str, int]:
    """Every spelling of a label, in lower case, and the class index that it stands for."""
    names = {name.lower(): index for index, name in enumerate(classes)}
    emotions = {emotion: names[to] for emotion, to in POLARITY.items() if to in names}
    numbers = {f"{i}{end}": i for i in range(len(classes)) for end in ("", ".0")}
    return numbers | emotions | names


def _tweet(name: str) -> str:
    match = _TWEET_PHOTO.fullmatch(name)
    return match[1] if match else ""


def _folder_rows(root: pathlib.Path) -> Iterator[tuple[pathlib.Path, str, str, str, str]]:
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise UserError(f"{root}: expected a folder for each class, or the folder of a dataset")
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                id_ = f"{folder.name}/{file.name}"
                yield file, folder.name, id_, "", str(folder)


def _table_rows(
    path: pathlib.Path, root: pathlib.Path, columns: Columns, problems: Problems
) -> Iterator[tuple[pathlib.Path, str, str, str, str]]:
    required = [name for name in (columns.path, columns.label, columns.id, columns.group) if name]
    label = columns.label
    for where, row in read_table(path, problems, required=required):
        label = label or next((c for c in LABEL_COLUMNS if c in row), "")
        if not label:
            names = " or ".join(map(repr, LABEL_COLUMNS))
            raise UserError(f"{path}: no column {names}; found: {', '.join(row)}")
        file = row[columns.path]
        id_ = row[columns.id] if columns.id else file
        yield root / file, row[label], id_, row[columns.group] if columns.group else "", where


def read_table(
    path: str | pathlib.Path, problems: Problems, *, required: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields (file:line, row) of a CSV, TSV or Parquet file with a header, all values as text.

    Lines that are not UTF-8 or have too few or too many fields go to `problems`.

    Raises:
      UserError: the file cannot be read, or lacks a column of `required`.
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if suffix == ".parquet":
        header, rows = _parquet(path)
    elif suffix in DELIMITERS:
        header, rows = _delimited(path, DELIMITERS[suffix], problems)
    else:
        raise UserError(f"{path}: expected a .csv, .tsv or .parquet file, or a folder")
    for name in required:
        if name not in header:
            raise UserError(f"{path}: no column {name!r}; found: {', '.join(header)}")
    yield from rows


_Rows = Iterator[tuple[str, dict[str, str]]]


def _parquet(path: pathlib.Path) -> tuple[list[str], _Rows]:
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path}: not a readable Parquet file: {error}") from error
    rows = (
        (f"{path}: row {number}", {k: "" if v is None else str(v) for k, v in row.items()})
        for number, row in enumerate(table.iter_rows(named=True), 1)
    )
    return table.columns, rows


def _delimited(path: pathlib.Path, delimiter: str, problems: Problems) -> tuple[list[str], _Rows]:
    try:
        # Bytes that are not UTF-8 become lone surrogates, so that their line can be named.
        file = open(path, encoding="utf-8-sig", errors="surrogateescape", newline="")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    header = next(reader, None)
    if header is None:
        raise UserError(f"{path}: empty file, expected a header line")
    if len(set(header)) < len(header):
        raise UserError(f"{path}: a column is named twice: {', '.join(header)}")

    def rows() -> _Rows:
        with file:
            while True:
                where = f"{path}:{reader.line_num + 1}"
                try:
                    values = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    problems.add(where, "", f"not a line of fields: {error}")
                    continue
                if not values:
                    continue
                if problem := _line_problem(values, header):
                    problems.add(where, "", problem)
                else:
                    yield where, dict(zip(header, values, strict=True))

    return header, rows()


def _line_problem(values: list[str], header: list[str]) -> str | None:
    if len(values) != len(header):
        return f"expected {len(header)} fields, found {len(values)}: {values}"
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    return None
