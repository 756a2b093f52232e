"""Lines of text files as they lie on disk: plain, gzip or zstd; UTF-8, or UTF-16 or 32."""

import codecs
import contextlib
import csv
import io
import json
import os
import pathlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from input_pipeline.problems import Problems
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress

COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
"""Suffixes that may follow that of a text file."""

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_READ = 1 << 16
"""Bytes decompressed at a time: what lies in the last piece before a cut is lost."""
_LONG = 64
"""Megabytes from which on reading takes long enough to show how far it is."""
_LINES = 1 << 16
"""Between two looks at how far it is."""

_MARK = "\udc80"
"""Stands for bytes that are no text: a lone surrogate, which no text can hold."""


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _MARK, error.end


codecs.register_error("input_pipeline.mark", _mark)


def is_text(value: str) -> bool:
    """Whether it is valid Unicode: without bytes that could not be decoded, or half a pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_lines(path: str | pathlib.Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Yields (number from 1, line with its end) of a text file.

    Compression is told by the first bytes, the encoding by a byte order mark or, without one, by
    where the first characters have zero bytes; else it is UTF-8. A line with bytes that are none
    of the encoding fails `is_text`. Where a compressed file is cut or damaged, its lines end, and
    the place goes to `problems`; the line that the cut goes through is not given. Of large files
    the progress is shown.

    Raises:
      UserError: there is no such file, or it cannot be opened.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        file = open(path, "rb")  # noqa: SIM115
        start = file.read(4)
        file.seek(0)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    stream = _Salvaged(file, next((v for k, v in _MAGIC.items() if start.startswith(k)), ""))
    buffered = io.BufferedReader(stream, _READ)
    # Its rules are those of RFC 4627, section 3; tables start with ASCII characters, too.
    encoding = json.detect_encoding(buffered.peek(4)[:4].ljust(4, b" "))
    encoding = {"utf-8": "utf-8-sig"}.get(encoding, encoding)
    text = io.TextIOWrapper(buffered, encoding, errors="input_pipeline.mark", newline="")
    number, shown, megabytes, tick = 0, 0, os.path.getsize(path) >> 20, None
    with contextlib.ExitStack() as stack:
        stack.enter_context(file)
        stack.enter_context(text)
        for number, line in enumerate(text, 1):
            if stream.damage and not line.endswith(("\n", "\r")):
                number -= 1
                break
            yield number, line
            if megabytes >= _LONG and not number % _LINES:
                if tick is None:  # Not before: some want only the first lines.
                    show = progress(f"read {path.name}", megabytes, "MB")
                    tick = stack.enter_context(show)
                position = file.tell() >> 20
                tick(position - shown)
                shown = position
        if tick is not None:
            tick(megabytes - shown)
        if stream.damage:
            problem = f"cut or damaged from here on: {stream.damage}"
            problems.add(f"{path}:{number + 1}", "", problem)


class _Salvaged(io.RawIOBase):
    """A stream that ends where its file is cut or damaged; `damage` then says why."""

    def __init__(self, file: io.BufferedIOBase, compression: str) -> None:
        self.damage = ""
        self._read: Callable[[int], bytes] = file.read
        if compression:
            import pyarrow

            self._read = pyarrow.CompressedInputStream(file, compression).read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        try:
            data = self._read(min(len(buffer), _READ))
        except OSError as error:
            self.damage = " ".join(str(error.strerror or error).split())
            return 0
        buffer[: len(data)] = data
        return len(data)


# Digits of a number stay what they are: no float, and no limit of length as `int` has.
_decode = json.JSONDecoder(parse_int=str).decode


def read_json_lines(
    path: str | pathlib.Path, problems: Problems
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (file:line, object) of a file with a JSON object on each line; integers are text.

    Empty lines are nothing (streams send them to keep a connection open); lines that are no JSON
    object go to `problems`. Others: see `read_lines`.
    """
    for number, line in read_lines(path, problems):
        line = line.strip()
        if not line:
            continue
        where = f"{path}:{number}"
        try:
            value = _decode(line)
        except (ValueError, RecursionError) as error:
            problems.add(where, "", f"not JSON: {error}")
            continue
        if isinstance(value, dict):
            yield where, value
        else:
            problems.add(where, "", f"expected a JSON object, found: {line[:40]!a}")


def read_records(
    path: str | pathlib.Path, problems: Problems, delimiter: str
) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yields (number of the first line, fields) of each record, or what is wrong with that line.

    A quote without an end would take all lines behind it, or all up to the next quote. So after
    an error only the first line is given up: those behind it are read afresh. Others: see
    `read_lines`.
    """
    lines = read_lines(path, problems)
    taken: list[tuple[int, str]] = []
    again: deque[tuple[int, str]] = deque()

    def feed() -> Iterator[str]:
        while line := again.popleft() if again else next(lines, None):
            taken.append(line)
            yield line[1]

    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            values = error
            again.extendleft(reversed(taken[1:]))
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        number = taken[0][0]
        taken.clear()
        if values:
            yield number, values
