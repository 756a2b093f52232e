"""Stages that are not done twice: what each found stays in a folder until something before changes.

Other than in shards, a stage here is done wholly or not at all.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

import vit_sentiment
from input_pipeline.problems import Problems
from vit_sentiment.runtime import files
from vit_sentiment.runtime.progress import say

FILE = "stage.json"

Tables = dict[str, pl.DataFrame]
Counts = dict[str, int]


@dataclasses.dataclass(frozen=True)
class Done:
    """What a stage found.

    Attributes:
      tables: by name.
      counts: of what came, fell away and stayed, in order.
      key: hash of everything that they depend on, the stages before included.
    """

    tables: Tables
    counts: Counts
    key: str


def run(
    folder: pathlib.Path,
    facts: Mapping[str, Any],
    before: str,
    problems: Problems,
    compute: Callable[[], tuple[Tables, Counts]],
    passing: str = "",
) -> Done:
    """What a stage finds: from its folder if that was made from the same, else computed.

    Args:
      folder: of this stage alone; its name is the stage's.
      facts: JSON values that the result depends on.
      before: the key of the stage before.
      problems: takes the rows that the stage could not use.
      passing: a count of what may be there another time, such as photos that are missing; where it
        is not zero the stage is computed again.
    """
    text = json.dumps([vit_sentiment.__version__, folder.name, dict(facts), before], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = folder / FILE
    there = files.read_json(path) if path.exists() else {}
    if there.get("key") == key and not there["counts"].get(passing):
        try:
            tables = {name: pl.read_parquet(folder / f"{name}.parquet") for name in there["tables"]}
        except (OSError, pl.exceptions.PolarsError) as error:
            say(f"{folder}: damaged ({' '.join(str(error).split())}); the stage is run again")
        else:
            say(f"{folder.name}: done before")
            for row in there["problems"]:
                problems.add(*row)
            return Done(tables, there["counts"], key)
    known = len(problems.rows)
    tables, counts = compute()
    for unfinished in folder.glob(".*"):  # Of a run that was killed.
        unfinished.unlink()
    path.unlink(missing_ok=True)  # It vouches for the tables, which are about to change.
    for name, table in tables.items():
        with files.replacing(folder / f"{name}.parquet") as temporary:
            table.write_parquet(temporary)
    files.write_json(
        path,
        {
            "key": key,
            "facts": dict(facts),
            "tables": list(tables),
            "counts": counts,
            "problems": problems.rows[known:],
        },
    )
    return Done(tables, counts, key)
