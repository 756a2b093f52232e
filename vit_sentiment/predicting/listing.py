"""Lists of photos: read as a stream, since they may have more lines than memory has room for."""

import dataclasses
import hashlib
import itertools
import pathlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from input_pipeline.problems import Problems
from input_pipeline.table_files import read_table, table_suffix
from input_pipeline.text_files import read_lines
from vit_sentiment.runtime.errors import UserError

_ROWS = 4096
"""Paths read at a time."""
_BUFFER = 1 << 20
"""Bytes of a Parquet column read at a time: a row group may be as large as its file."""


@dataclasses.dataclass(frozen=True)
class PhotoList:
    """A list of photos, as it was when it was counted.

    Attributes:
      path: the file.
      column: of a table, the one with the photos' paths.
      rows: photos in it.
      sha256: of their paths in order, however the file holds them.
    """

    path: pathlib.Path
    column: str
    rows: int
    sha256: str


def count(path: str | pathlib.Path, column: str) -> PhotoList:
    """Reads a list once, for the number of its photos and their hash.

    A list is a Parquet, CSV, TSV or JSON-lines table, or else text with a path on each line that is
    not empty; all but Parquet also with .gz or .zst behind. Paths of tables that are null are
    photos, too: those that cannot be read.

    Raises:
      UserError: the file cannot be read, lacks the column, has no photo or is damaged.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: a folder, pipe or device, expected a file, which is read twice")
    digest, rows = hashlib.sha256(), 0
    for paths in _chunked(_paths(path, column), _ROWS):
        rows += len(paths)
        _update(digest, paths)
    if not rows:
        raise UserError(f"{path}: no photo in it, expected at least one path")
    return PhotoList(path, column, rows, digest.hexdigest())


def shards(photos: PhotoList, rows: int) -> Iterator[list[str]]:
    """The paths of a list, `rows` at a time (the last: what is left).

    Raises:
      UserError: the list has changed since it was counted.
    """
    digest = hashlib.sha256()
    for paths in _chunked(_paths(photos.path, photos.column), rows):
        _update(digest, paths)
        yield paths
    if digest.hexdigest() != photos.sha256:
        raise UserError(
            f"{photos.path}: was changed while it was read; remove the results and start again"
        )


def _update(digest: "hashlib._Hash", paths: list[str]) -> None:
    for text in paths:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)


def _chunked(paths: Iterator[str], size: int) -> Iterator[list[str]]:
    while chunk := list(itertools.islice(paths, size)):
        yield chunk


def _paths(path: pathlib.Path, column: str) -> Iterator[str]:
    suffix = table_suffix(path)
    if suffix == ".parquet":
        yield from _parquet(path, column)
        return
    problems = Problems("skip")
    if suffix:
        for _, row in read_table(path, problems, required=[column], only_required=True):
            _require_none(problems)
            yield row[column]
    else:
        for _, line in read_lines(path, problems):
            if text := line.rstrip("\r\n"):
                yield text
    _require_none(problems)


def _require_none(problems: Problems) -> None:
    """What a cut or damaged list lacks would be missing from the result without a word."""
    for where, _, problem in problems.rows:
        raise UserError(f"{where}: {problem}")


def _parquet(path: pathlib.Path, column: str) -> Iterator[str]:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER) as file:
            schema = file.schema_arrow
            if column not in schema.names:
                found = ", ".join(schema.names)
                raise UserError(f"{path}: no column {column!r}; found: {found}; see --column")
            kind = schema.field(column).type
            if not _is_text(kind):
                raise UserError(f"{path}: column {column!r}: expected text, found {kind}")
            for batch in file.iter_batches(_ROWS, columns=[column]):
                texts = pc.fill_null(batch.column(0).cast(pa.large_string()), "")
                yield from texts.to_pylist()
    except pa.ArrowException as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable Parquet file: {reason}") from error


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
