"""Leaks in datasets that are merged in: of benchmarks, and of what another of them holds out.

Photos of tweets were compared with all of these before; here the photos of the datasets are.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from input_pipeline.sources import Source
from vit_sentiment.distillation import leaks
from vit_sentiment.distillation.hashing import Hashes

SCHEMA = {"id": pl.String, "group": pl.String} | {
    name: kind for name, kind in leaks.SCHEMA.items() if name != "row"
}
"""Of the table of leaks."""


def of_benchmarks(
    sources: Sequence[Source], hashes: Hashes, benchmarks: Sequence[Source], distance: int
) -> tuple[np.ndarray, pl.DataFrame]:
    """Photos of sources that are near to one of a benchmark: numbers [M], and the table of them.

    Args:
      hashes: of all photos of all sources, in order.
    """
    if not benchmarks:
        return np.empty(0, np.int64), pl.DataFrame(schema=SCHEMA)
    found = leaks.find_leaks(hashes, benchmarks, distance)
    rows = found["row"].to_numpy()
    index = pl.concat([source.index.select("id", "group") for source in sources])
    table = pl.concat([index[rows], found.drop("row")], how="horizontal")
    return rows, table.select(*SCHEMA).cast(SCHEMA)


def of_held_out(
    parts: Mapping[str, pl.DataFrame],
    sources: Sequence[Source],
    hashes: Hashes,
    first: int,
    distance: int,
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Leaves out of the training part what is near to a photo of the other parts.

    Args:
      parts: merged rows; `number` k is of photo k - `first` of the sources, below it of tweets,
        which are left as they are.

    Returns:
      The parts, and the table of the photos left out.
    """
    train = parts["train"].filter(pl.col("number") >= first)
    held_out = pl.concat(
        [
            rows.filter(pl.col("number") >= first).with_columns(split=pl.lit(part))
            for part, rows in parts.items()
            if part != "train"
        ]
    )
    ours, theirs = (hashes[rows["number"].to_numpy() - first] for rows in (train, held_out))
    row, other, apart = leaks.nearest(ours, theirs, distance)
    names = pl.Series([source.name for source in sources], dtype=pl.String)
    of = np.repeat(np.arange(len(sources)), [len(source) for source in sources])
    near = held_out[other]
    table = train[row].select(
        "id",
        "group",
        benchmark=names[of[near["number"].to_numpy() - first]],
        split=near["split"],
        photo=near["id"],
        distance=pl.Series(apart),
    )
    gone = pl.col("number").is_in(train[row]["number"].implode())
    return {**parts, "train": parts["train"].filter(~gone)}, table.select(*SCHEMA).cast(SCHEMA)
