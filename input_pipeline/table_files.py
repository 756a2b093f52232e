"""Tables as they lie on disk: CSV, TSV, other text with a delimiter, JSON lines, or Parquet."""

import csv
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl

from input_pipeline.problems import Problems
from input_pipeline.text_files import COMPRESSED, is_text, read_json_lines, read_records
from vit_sentiment.runtime.errors import UserError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")

_PEEK = 1000
"""JSON lines that tell which columns there are."""

_Rows = Iterator[tuple[str, dict[str, str]]]


def table_suffix(path: str | pathlib.Path) -> str:
    """`.csv`, `.tsv`, `.jsonl` or `.parquet`: how a file is read; empty for others."""
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if suffix in COMPRESSED:
        suffix = pathlib.Path(path.stem).suffix.lower()
    elif suffix == ".parquet":
        return suffix
    if suffix in JSON_LINES:
        return ".jsonl"
    return suffix if suffix in DELIMITERS else ""


def table_columns(path: str | pathlib.Path) -> list[str]:
    """Names of the columns; of JSON lines, those of the first 1000 lines.

    Raises:
      UserError: see `read_table`.
    """
    header, rows = _open(pathlib.Path(path), Problems("skip"), "", None, None)
    rows.close()
    return list(header)


def read_table(
    path: str | pathlib.Path,
    problems: Problems,
    *,
    required: Sequence[str] = (),
    delimiter: str = "",
    header: Sequence[str] | None = None,
    only_required: bool = False,
) -> _Rows:
    """Yields (file:line, row) of a table, all values as text.

    The suffix says what it is: .csv, .tsv, .jsonl (also .ndjson, .json: an object a line), each
    also with .gz or .zst behind it, or .parquet. Null is the empty text, a list or struct its
    JSON. Lines that are not UTF-8 (see `read_lines`), are no JSON object, or have too few or too
    many fields go to `problems`; so does the line at which a quoted field starts that has no end.

    Args:
      required: columns that must be there; of JSON lines, in one of the first 1000 lines.
      delimiter: of a text file; default: what its suffix says.
      header: names of the columns of a text file that has no line with them.
      only_required: whether rows have nothing but `required`, which saves memory.

    Raises:
      UserError: the file cannot be read, or lacks a column of `required`.
    """
    path = pathlib.Path(path)
    wanted = list(dict.fromkeys(required)) if only_required else None
    header, rows = _open(path, problems, delimiter, header, wanted)
    for name in required:
        if name not in header:
            raise UserError(f"{path}: no column {name!r}; found: {', '.join(header)}")
    if wanted is None:
        yield from rows
    else:
        yield from ((where, {name: row[name] for name in wanted}) for where, row in rows)


def _open(
    path: pathlib.Path,
    problems: Problems,
    delimiter: str,
    header: Sequence[str] | None,
    wanted: list[str] | None,
) -> tuple[Sequence[str], _Rows]:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    suffix = table_suffix(path)
    if suffix == ".parquet":
        return _parquet(path, wanted)
    if suffix == ".jsonl" and not delimiter:
        return _json_lines(path, problems)
    if delimiter := delimiter or DELIMITERS.get(suffix, ""):
        return _delimited(path, delimiter, problems, header)
    raise UserError(f"{path}: expected a .csv, .tsv, .jsonl or .parquet file, or a folder")


def _parquet(path: pathlib.Path, wanted: list[str] | None) -> tuple[list[str], _Rows]:
    def rows() -> _Rows:
        table = _readable(path, lambda: pl.read_parquet(path, columns=wanted))
        for number, row in enumerate(table.iter_rows(named=True), 1):
            yield f"{path}: row {number}", {name: _as_text(value) for name, value in row.items()}

    return list(_readable(path, lambda: pl.read_parquet_schema(path))), rows()


def _readable(path: pathlib.Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable Parquet file: {reason}") from error


def _json_lines(path: pathlib.Path, problems: Problems) -> tuple[list[str], _Rows]:
    objects = read_json_lines(path, problems)
    first = list(itertools.islice(objects, _PEEK))
    header = list(dict.fromkeys(name for _, row in first for name in row if is_text(name)))

    def rows() -> _Rows:
        for where, row in itertools.chain(first, objects):
            values = {name: _as_text(row.get(name)) for name in header}
            if is_text("".join(values.values())):
                yield where, values
            else:
                problems.add(where, "", "not UTF-8")

    return header, rows()


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _delimited(
    path: pathlib.Path, delimiter: str, problems: Problems, header: Sequence[str] | None
) -> tuple[Sequence[str], _Rows]:
    records = read_records(path, problems, delimiter)
    if header is None:
        _, header = next(records, (1, None))
    if header is None:
        raise UserError(f"{path}: empty file, expected a header line")
    if isinstance(header, csv.Error):
        raise UserError(f"{path}: expected a header line, found no line of fields: {header}")
    if not is_text("".join(header)):
        raise UserError(f"{path}: the header line is not UTF-8")
    if len(set(header)) < len(header):
        raise UserError(f"{path}: a column is named twice: {', '.join(header)}")

    def rows() -> _Rows:
        for number, values in records:
            where = f"{path}:{number}"
            if isinstance(values, csv.Error):
                problems.add(where, "", f"not a line of fields: {values}")
            elif len(values) != len(header):
                found = f"{len(values)}: {str(values)[:200]}"
                problems.add(where, "", f"expected {len(header)} fields, found {found}")
            elif not is_text("".join(values)):
                problems.add(where, "", "not UTF-8")
            else:
                yield where, dict(zip(header, values, strict=True))

    return header, rows()
