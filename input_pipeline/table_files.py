"""Tables as they lie on disk: CSV, TSV, other text with a delimiter, or Parquet."""

import csv
import pathlib
from collections.abc import Iterator, Sequence

import polars as pl

from input_pipeline.problems import Problems
from vit_sentiment.runtime.errors import UserError

DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_table(
    path: str | pathlib.Path,
    problems: Problems,
    *,
    required: Sequence[str] = (),
    delimiter: str = "",
    header: Sequence[str] | None = None,
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields (file:line, row) of a CSV, TSV or Parquet file, all values as text.

    Lines that are not UTF-8 or have too few or too many fields go to `problems`.

    Args:
      required: columns that must be there.
      delimiter: of a text file; default: what its suffix says.
      header: names of the columns of a text file that has no line with them.

    Raises:
      UserError: the file cannot be read, or lacks a column of `required`.
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if suffix == ".parquet":
        header, rows = _parquet(path)
    elif delimiter := delimiter or DELIMITERS.get(suffix, ""):
        header, rows = _delimited(path, delimiter, problems, header)
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


def _delimited(
    path: pathlib.Path, delimiter: str, problems: Problems, header: Sequence[str] | None
) -> tuple[Sequence[str], _Rows]:
    try:
        # Bytes that are not UTF-8 become lone surrogates, so that their line can be named.
        file = open(path, encoding="utf-8-sig", errors="surrogateescape", newline="")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    header = next(reader, None) if header is None else header
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


def _line_problem(values: list[str], header: Sequence[str]) -> str | None:
    if len(values) != len(header):
        return f"expected {len(header)} fields, found {len(values)}: {values}"
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    return None
