"""Lists of labelled photos: CSV, TSV or Parquet, or a folder per class."""

import csv
import dataclasses
import pathlib
import re
from collections.abc import Iterator, Sequence

import polars as pl

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
    rows, seen = [], {}
    for file, label_text, id_, group, where in found:
        label = _label(label_text, classes)
        if label is None:
            known = ", ".join(classes)
            problems.add(where, str(file), f"unknown label {label_text!r}; classes: {known}")
        elif id_ in seen:
            problems.add(where, str(file), f"duplicate of {seen[id_]}")
        elif not file.is_file():
            problems.add(where, str(file), "no such file")
        else:
            seen[id_] = where
            rows.append(Row(file, label, id_, group or _tweet(file.name) or id_, where))
    if not rows:
        raise UserError(f"{path}: no usable rows")
    return rows


def _label(text: str, classes: Sequence[str]) -> int | None:
    text = text.strip()
    name = text.lower()
    by_name = {c.lower(): i for i, c in enumerate(classes)}
    if name in by_name:
        return by_name[name]
    if POLARITY.get(name) in classes:
        return list(classes).index(POLARITY[name])
    number = re.fullmatch(r"(\d+)(\.0)?", text)
    if number and int(number[1]) < len(classes):
        return int(number[1])
    return None


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
    for where, row in read_table(path, problems):
        label_column = columns.label or next((c for c in LABEL_COLUMNS if c in row), "label")
        wanted = [columns.path, label_column, columns.id, columns.group]
        for name in filter(None, wanted):
            if name not in row:
                raise UserError(f"{path}: no column {name!r}; found: {', '.join(row)}")
        file = row[columns.path]
        id_ = row[columns.id] if columns.id else file
        yield (
            root / file,
            row[label_column],
            id_,
            row[columns.group] if columns.group else "",
            where,
        )


def read_table(
    path: str | pathlib.Path, problems: Problems
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields (file:line, row) of a CSV, TSV or Parquet file with a header, all values as text.

    Rows with too few or too many fields go to `problems`.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() == ".parquet":
        yield from _parquet(path)
    elif path.suffix.lower() in DELIMITERS:
        yield from _delimited(path, DELIMITERS[path.suffix.lower()], problems)
    else:
        raise UserError(f"{path}: expected a .csv, .tsv or .parquet file, or a folder")


def _parquet(path: pathlib.Path) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path}: not a readable Parquet file: {error}") from error
    for number, row in enumerate(table.iter_rows(named=True), 1):
        values = {key: "" if value is None else str(value) for key, value in row.items()}
        yield f"{path}: row {number}", values


def _delimited(
    path: pathlib.Path, delimiter: str, problems: Problems
) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(reader, None)
            if header is None:
                raise UserError(f"{path}: empty file, expected a header line")
            line = reader.line_num + 1
            for values in reader:
                where = f"{path}:{line}"
                line = reader.line_num + 1
                if not values:
                    continue
                if len(values) != len(header):
                    problems.add(
                        where, "", f"expected {len(header)} fields, found {len(values)}: {values}"
                    )
                    continue
                yield where, dict(zip(header, values, strict=True))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not readable as UTF-8 text with fields: {error}") from error
