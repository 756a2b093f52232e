"""Tables on the terminal, or in a file that stdout goes to."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vit_sentiment.reporting.html import cell

_WIDTH = 10_000
"""Columns at most of a table in a file or a pipe, which has no width: no cell is ever wrapped."""


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table to stdout; values are written as in the reports."""
    table = Table(*header, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*map(cell, row))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
