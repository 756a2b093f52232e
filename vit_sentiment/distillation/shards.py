"""Tables whose rows are expensive, as Parquet shards that an interrupted run goes on with.

Each shard has a fixed number of rows and is computed by itself, so that its bytes do not depend on
which run wrote it.
"""

import hashlib
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vit_sentiment.distillation.teachers import COLUMNS, Teacher, clean_up, finite, to_table
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import Tick, progress, say

ROWS = 8192
"""Minutes of work of two cores, seconds of a GPU."""

Compute = Callable[[Sequence[slice], Tick], Iterator[pl.DataFrame]]


def label(
    folder: str | pathlib.Path,
    ids: Sequence[str],
    texts: Sequence[str],
    teacher: Teacher,
    rows: int = ROWS,
) -> np.ndarray:
    """Probabilities float32 [N, 3] of texts, in order, from the shards of a folder.

    Shards that are not there yet are computed and written: columns `id,NEG,NEU,POS`.

    Args:
      folder: made if need be; `teacher.json` in it says what the shards are made from.
      ids: of the texts.
      texts: as people wrote them.
      rows: of every shard but the last.

    Raises:
      UserError: the folder has shards of another teacher, of other texts or of another length;
        the teacher gives NaN.
    """

    def compute(missing: Sequence[slice], tick: Tick) -> Iterator[pl.DataFrame]:
        parts = ([clean_up(text) for text in texts[part]] for part in missing)
        for part, probs in zip(missing, teacher.label(parts, tick), strict=True):
            yield to_table(ids[part], finite(probs))

    facts = {
        **teacher.facts,
        "rows": rows,
        "texts": len(ids),
        "sha256": hash_rows(zip(ids, texts, strict=True)),
    }
    claim(folder, "teacher.json", "labels", facts)
    table = fill(folder, "labels", "teacher", "tweets", ids, rows, compute)
    return table.select(COLUMNS).to_numpy().astype(np.float32)


def fill(
    folder: str | pathlib.Path,
    name: str,
    what: str,
    unit: str,
    ids: Sequence[str],
    rows: int,
    compute: Compute,
) -> pl.DataFrame:
    """A table from the shards `NAME-*.parquet` of a folder, once those that are missing are made.

    Args:
      folder: one that `claim` looked at.
      what: the work and its `unit`, for people.
      ids: the column `id` of the table.
      rows: of every shard but the last.
      compute: slices of rows that are missing to their tables, whose first column is `id`;
        `tick(count)` is called as rows are done. It may look at slices ahead.
    """
    folder = pathlib.Path(folder)
    parts = [slice(start, start + rows) for start in range(0, max(len(ids), 1), rows)]
    paths = [folder / f"{name}-{n:05}-of-{len(parts):05}.parquet" for n in range(len(parts))]
    found = {
        number: table
        for number, (part, path) in enumerate(zip(parts, paths, strict=True))
        if (table := _read(path, ids[part])) is not None
    }
    missing = [number for number in range(len(parts)) if number not in found]
    if found and missing:
        say(f"{what}: goes on after {len(found)} of {len(parts)} shards")
    with progress(what, len(ids), unit, sum(map(len, found.values()))) as tick:
        computed = compute([parts[number] for number in missing], tick)
        for number, table in zip(missing, computed, strict=True):
            with files.replacing(paths[number]) as temporary:
                table.write_parquet(temporary)
            found[number] = table
    return pl.concat([found[number] for number in range(len(parts))])


def claim(folder: str | pathlib.Path, manifest: str, name: str, facts: Mapping[str, Any]) -> None:
    """Writes what the shards `NAME-*` are made from, or compares it with what is there.

    Removes what a killed run left half written.

    Raises:
      UserError: the shards are made from something else.
    """
    folder = pathlib.Path(folder)
    path = folder / manifest
    for pattern in (f".{manifest}.*", f".{name}-*"):
        for unfinished in folder.glob(pattern):
            unfinished.unlink()
    if not path.exists() and any(folder.glob(f"{name}-*.parquet")):
        raise UserError(f"{folder}: has shards but no {manifest}; choose another folder")
    agree(path, facts, "its shards have", folder)


def agree(path: pathlib.Path, facts: Mapping[str, Any], has: str, made: str | pathlib.Path) -> None:
    """Writes the facts that something is made from, or compares them with those that are there.

    Args:
      has: what has the facts at `path`, for the message.
      made: the folder to be removed by who wants the new facts.

    Raises:
      UserError: they differ; names the first.
    """
    if not path.exists():
        files.write_json(path, dict(facts))
        return
    there = files.read_json(path)
    for key in dict.fromkeys([*facts, *there]):
        if there.get(key) != facts.get(key):
            raise UserError(
                f"{path}: {has} {key} {there.get(key)!r}, this run {facts.get(key)!r}; remove "
                f"{made} or choose another --out"
            )


def hash_rows(rows: Iterable[Sequence[str | int | None]]) -> str:
    """sha256 of rows of texts and numbers, row by row."""
    digest = hashlib.sha256()
    for row in rows:
        # JSON tells where one text ends, and holds what is not UTF-8.
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _read(path: pathlib.Path, ids: Sequence[str]) -> pl.DataFrame | None:
    """The table of a finished shard; None where there is none."""
    if not path.exists():
        return None
    try:
        table = pl.read_parquet(path)
        if table["id"].to_list() == list(ids):
            return table
        problem = "other ids"
    except (OSError, pl.exceptions.PolarsError) as error:
        problem = " ".join(str(error).split())
    say(f"{path}: damaged ({problem}); it is made again")
    return None
