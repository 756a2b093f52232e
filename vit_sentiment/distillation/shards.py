"""A teacher's labels of many texts as Parquet shards, which an interrupted run goes on with.

Each shard has a fixed number of rows and is labelled by itself, so that its bytes do not depend on
which run wrote it.
"""

import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from vit_sentiment.distillation.teachers import COLUMNS, Teacher, clean_up, finite, to_table
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress, say

MANIFEST_FILE = "teacher.json"
ROWS = 8192
"""Minutes of work of two cores, seconds of a GPU."""


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
    folder = pathlib.Path(folder)
    _claim(folder, {**teacher.facts, "rows": rows, "texts": len(ids), "sha256": _hash(ids, texts)})
    starts = range(0, len(ids), rows)
    paths = [
        folder / f"labels-{number:05}-of-{len(starts):05}.parquet" for number in range(len(starts))
    ]
    found = {
        start: probs
        for start, path in zip(starts, paths, strict=True)
        if (probs := _read(path, ids[start : start + rows])) is not None
    }
    missing = [
        (start, path) for start, path in zip(starts, paths, strict=True) if start not in found
    ]
    done = sum(len(probs) for probs in found.values())
    if found and missing:
        say(f"teacher: goes on after {len(found)} of {len(starts)} shards")

    def parts() -> Iterator[list[str]]:
        for start, _ in missing:
            yield [clean_up(text) for text in texts[start : start + rows]]

    with progress("teacher", len(ids), "tweets", done) as tick:
        labelled = teacher.label(parts(), tick)
        for (start, path), probs in zip(missing, labelled, strict=True):
            table = to_table(ids[start : start + rows], finite(probs))
            with files.replacing(path) as temporary:
                table.write_parquet(temporary)
            found[start] = probs
    return np.concatenate([np.zeros((0, len(COLUMNS)), np.float32), *(found[s] for s in starts)])


def _hash(ids: Sequence[str], texts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for row in zip(ids, texts, strict=True):
        # JSON tells where one text ends, and holds what is not UTF-8.
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _claim(folder: pathlib.Path, facts: dict) -> None:
    """Writes the manifest, or compares it; removes what a killed run left half written."""
    path = folder / MANIFEST_FILE
    for pattern in (f".{MANIFEST_FILE}.*", ".labels-*"):
        for unfinished in folder.glob(pattern):
            unfinished.unlink()
    if not path.exists():
        if any(folder.glob("labels-*.parquet")):
            raise UserError(f"{folder}: has shards but no {MANIFEST_FILE}; choose another folder")
        files.write_json(path, facts)
        return
    there = files.read_json(path)
    for name in dict.fromkeys([*facts, *there]):
        if there.get(name) != facts.get(name):
            raise UserError(
                f"{path}: its shards have {name} {there.get(name)!r}, this run "
                f"{facts.get(name)!r}; remove the folder or choose another --out"
            )


def _read(path: pathlib.Path, ids: Sequence[str]) -> np.ndarray | None:
    """The probabilities of a finished shard; None where there is none."""
    if not path.exists():
        return None
    try:
        table = pl.read_parquet(path)
        if table["id"].to_list() == list(ids):
            return table.select(COLUMNS).to_numpy().astype(np.float32)
        problem = "other ids"
    except (OSError, pl.exceptions.PolarsError) as error:
        problem = " ".join(str(error).split())
    say(f"{path}: damaged ({problem}); it is labelled again")
    return None
