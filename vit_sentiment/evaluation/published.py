"""Published figures of this and other systems, from `published.csv`, each with its source."""

import dataclasses
import functools
import pathlib

import polars as pl

FILE = pathlib.Path(__file__).with_name("published.csv")


@dataclasses.dataclass(frozen=True)
class Figure:
    """One published cell.

    Attributes:
      system: who reached it; the original's models by the names of `checkpoints.published`.
      benchmark: on what; names of ours where it is one of ours.
      metric: `accuracy`, `macro_f1`, `auc_pos`, `f1_negative`, `f1_positive`.
      percent: as printed there.
      protocol: how the system was trained and judged.
      source: where it is printed.
    """

    system: str
    benchmark: str
    metric: str
    percent: float
    protocol: str
    source: str


@functools.cache
def figures() -> tuple[Figure, ...]:
    """All of them, in the order of the file."""
    return tuple(Figure(**row) for row in pl.read_csv(FILE).iter_rows(named=True))


def of(system: str, benchmark: str) -> list[Figure]:
    """What was published of a system on a benchmark; empty where nothing was."""
    return [f for f in figures() if (f.system, f.benchmark) == (system, benchmark)]
