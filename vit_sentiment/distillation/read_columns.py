"""Reading tweets from a table of any layout, by the names of its columns."""

import ast
import json
import pathlib
import re
from collections.abc import Mapping, Sequence

from input_pipeline.table_files import read_table, table_columns
from input_pipeline.text_files import is_text
from vit_sentiment.distillation.listing import (
    PHOTO_ROWS,
    TEXT_ROWS,
    Listed,
    Lost,
    Rows,
    human_label,
    photo_row,
)
from vit_sentiment.runtime.errors import UserError

REQUIRED = ("id", "text")
OPTIONAL = ("images", "lang", "human_label", "referenced")
FORM = "id=COLUMN,text=COLUMN,images=COLUMN,lang=COLUMN"

_NO = frozenset(("", "0", "false", "no", "none", "null", "nan", "[]", "{}"))
_BETWEEN_URLS = re.compile(r"[|;]\s*(?=https?://)", re.IGNORECASE)
_BETWEEN_PATHS = re.compile(r"[|;]")


def parse_columns(text: str) -> dict[str, str]:
    """The columns that `id=..,text=..,images=..,lang=..,human_label=..,referenced=..` names.

    Any of them may be left out: its column is then the one of that name, if there is one.

    Raises:
      UserError: a part is not of that form, or says what another one says.
    """
    known = REQUIRED + OPTIONAL
    columns: dict[str, str] = {}
    for part in text.split(","):
        key, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not column:
            raise UserError(f"--columns={text}: expected {FORM}, found {part.strip()!r}")
        if key not in known:
            raise UserError(f"--columns={text}: expected one of {', '.join(known)}; found {key!r}")
        if key in columns:
            raise UserError(f"--columns={text}: {key!r} is given twice")
        columns[key] = column
    return columns


def parse_images(text: str) -> list[str]:
    """The paths or URLs of a field; raises ValueError where a list has something else.

    What is understood: nothing; one path or URL; several with `|` or `;` between them (a `;`
    within a URL stays, unless another URL follows it); a JSON array of strings, or such a list as
    Python prints it. Blanks around a path are no part of it; empty ones and nulls are nothing.
    """
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        values = _parse_list(text)
        if not all(
            value is None or (isinstance(value, str) and is_text(value)) for value in values
        ):
            raise ValueError(f"expected a list of paths or URLs, found: {text[:80]!a}")
    else:
        is_url = text.lower().startswith(("http://", "https://"))
        values = (_BETWEEN_URLS if is_url else _BETWEEN_PATHS).split(text)
    return [value.strip() for value in values if value and value.strip()]


def _parse_list(text: str) -> list[object]:
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(value, list):
            return value
    raise ValueError(f"expected a list of paths or URLs, found: {text[:80]!a}")


def read_columns(files: Sequence[pathlib.Path], columns: Mapping[str, str], lost: Lost) -> Listed:
    """Reads tables in order: a row is a tweet, or one photo of a tweet whose text is repeated.

    Args:
      columns: names of columns by what they are, see `parse_columns`; `images` as in
        `parse_images`, `human_label` a class name for all photos of the row, `referenced`
        anything but nothing, 0, no or false for a retweet, quote or reply.

    Raises:
      UserError: a file cannot be read or lacks a column.
    """
    texts, photos = Rows(TEXT_ROWS), Rows(PHOTO_ROWS)
    for file in files:
        names = _find(file, columns)
        for where, values in read_table(
            file, lost.problems, required=list(names.values()), only_required=True
        ):
            if not names:
                lost.problems.add(where, "", "an object without keys")
                continue
            found = {key: values[name] for key, name in names.items()}
            referenced = found.get("referenced")
            if referenced is not None:
                referenced = referenced.strip().lower() not in _NO
            row, tweet = len(texts), found["id"]
            texts.add(where, tweet, found["text"], found.get("lang") or None, referenced)
            label = human_label(found.get("human_label", ""), where, tweet, lost)
            try:
                images = parse_images(found.get("images", ""))
            except ValueError as error:
                lost.add("lists of photos not understood", where, tweet, str(error))
                continue
            for listed in images:
                photos.add(*photo_row(where, row, tweet, listed, label))
    return Listed(texts.frame(), photos.frame(), several_rows=True)


def _find(file: pathlib.Path, columns: Mapping[str, str]) -> dict[str, str]:
    """The columns of a file: those that are named, and those with the usual names."""
    header = table_columns(file)
    if not header:  # JSON lines of which none can be read.
        return {}
    names = {key: columns.get(key, key) for key in REQUIRED + OPTIONAL}
    names = {
        k: name for k, name in names.items() if k not in OPTIONAL or k in columns or k in header
    }
    for key, name in names.items():
        if name not in header:
            found = ", ".join(header)
            raise UserError(
                f"{file}: no column {name!r} for {key!r}; found: {found}; say which with "
                f"--columns={FORM}"
            )
    return names
