"""Tables on the terminal, or in a file that stdout goes to."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vit_sentiment.reporting.html import cell


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints cells as the reports write them: the first column to the left, others to the right."""
    table = Table(*header, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*map(cell, row))
    Console(width=None if sys.stdout.isatty() else 180).print(table)
