"""Lists of labelled photos: a table of them, or a folder per class."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from input_pipeline import photos
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, POLARITY
from input_pipeline.table_files import read_table
from vit_sentiment.runtime.errors import UserError

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
class Entry:
    """What a list says of one photo; empty `group`: the default."""

    path: pathlib.Path
    label: str
    id: str
    group: str
    where: str


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
        found = _folder_entries(path)
    else:
        root = pathlib.Path(images or path.parent)
        found = table_entries(path, problems, lambda name: root / name, columns=columns)
    known = ", ".join(classes)
    return usable_rows(found, problems, labels=label_indices(classes), known=known, name=str(path))


def usable_rows(
    entries: Iterable[Entry],
    problems: Problems,
    *,
    labels: Mapping[str, int],
    known: str,
    name: str,
    leave_out: Collection[str] = (),
    keep_missing: bool = False,
) -> list[Row]:
    """The rows that can be used, in order; the others go to `problems`.

    Args:
      labels: every spelling of a label, in lower case, and its class index.
      known: the labels as an error message tells them.
      name: of the list, for the error that nothing in it is usable.
      leave_out: ids of photos that are known to be corrupted; noted, never an error.
      keep_missing: under the policy `skip`, keeps rows whose photo is missing for the reader of
        the photos to mask and to list, so that a row's number is its place in the list.

    Raises:
      UserError: nothing usable is there.
    """
    rows, seen = [], {}
    check_files = not (keep_missing and problems.on_error == "skip")
    for entry in entries:
        label = labels.get(entry.label.strip().lower())
        if entry.id in leave_out:
            problems.note(entry.where, str(entry.path), "known to be corrupted; left out")
        elif label is None:
            problem = f"unknown label {entry.label!r}; classes: {known}"
            problems.add(entry.where, str(entry.path), problem)
        elif (key := os.path.normpath(entry.id)) in seen:
            problems.add(entry.where, str(entry.path), f"duplicate of {seen[key]}")
        elif check_files and not photos.exists(entry.path):
            problems.add(entry.where, str(entry.path), "no such file")
        else:
            seen[key] = entry.where
            group = entry.group or _tweet(entry.path.name) or entry.id
            rows.append(Row(entry.path, label, entry.id, group, entry.where))
    if not rows:
        first = (
            f"; the first unusable one: {': '.join(filter(None, problems.rows[0]))}"
            if problems.rows
            else ""
        )
        raise UserError(f"{name}: no usable rows{first}")
    return rows


def label_indices(classes: Sequence[str]) -> dict[str, int]:
    """Every spelling of a label, in lower case, and the class index that it stands for."""
    names = {name.lower(): index for index, name in enumerate(classes)}
    emotions = {emotion: names[to] for emotion, to in POLARITY.items() if to in names}
    return label_codes({i: i for i in range(len(classes))}) | emotions | names


def label_codes(codes: Mapping[int, int]) -> dict[str, int]:
    """The spellings of a list's numeric labels, pandas' `1.0` among them, and class indices."""
    return {f"{code}{end}": index for code, index in codes.items() for end in ("", ".0")}


def _tweet(name: str) -> str:
    match = _TWEET_PHOTO.fullmatch(name)
    return match[1] if match else ""


def _folder_entries(root: pathlib.Path) -> Iterator[Entry]:
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise UserError(f"{root}: expected a folder for each class, or the folder of a dataset")
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                id_ = f"{folder.name}/{file.name}"
                yield Entry(file, folder.name, id_, "", str(folder))


def table_entries(
    path: pathlib.Path,
    problems: Problems,
    locate: Callable[[str], pathlib.Path],
    *,
    columns: Columns = DEFAULT_COLUMNS,
    delimiter: str = "",
    header: Sequence[str] | None = None,
) -> Iterator[Entry]:
    """What a table says of photos; `locate` gives the file of a path. Others: see `read_table`."""
    required = [name for name in (columns.path, columns.label, columns.id, columns.group) if name]
    label = columns.label
    rows = read_table(path, problems, required=required, delimiter=delimiter, header=header)
    for where, row in rows:
        label = label or next((c for c in LABEL_COLUMNS if c in row), "")
        if not label:
            names = " or ".join(map(repr, LABEL_COLUMNS))
            raise UserError(f"{path}: no column {names}; found: {', '.join(row)}")
        file = row[columns.path]
        id_ = row[columns.id] if columns.id else file
        group = row[columns.group] if columns.group else ""
        yield Entry(locate(file), row[label], id_, group, where)
