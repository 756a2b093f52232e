"""Tables on the terminal, or in a file that stdout goes to."""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vit_sentiment.reporting.html import cell

_WIDTH = 10_000
"""Columns at most of a table in a file or a pipe, which has no width: no cell is ever wrapped."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""In a name of a file they would break the table, command the terminal, or are no text at all."""


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table to stdout; values are written as in the reports."""
    table = Table(*header, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*(_CONTROL.sub(_escaped, cell(value)) for value in row))
    # Names of files may look like rich's markup.
    width = None if sys.stdout.isatty() else _WIDTH
    Console(width=width, markup=False, emoji=False).print(table)


def _escaped(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]
