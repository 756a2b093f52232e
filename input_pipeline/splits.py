"""Splitting into training, validation and test parts: by rows, or so that they share no group."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from sklearn.model_selection import train_test_split

from vit_sentiment.runtime.errors import UserError

SHARES: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""The original's 80/10/10."""


def split_groups(
    table: pl.DataFrame,
    group: str,
    label: str,
    seed: int,
    shares: Mapping[str, float] = SHARES,
) -> dict[str, pl.DataFrame]:
    """Parts of `table` by `shares`, stratified by `label`, no value of `group` in two of them.

    A group counts under the label of its first row (photos of a tweet have the tweet's; those of
    tweets that share a photo or a text may differ). Rows keep their order.

    Args:
      shares: of the groups, by the parts' names; only their proportions count, and a part without
        a share is left out.

    Raises:
      UserError: a label has too few groups to be in every part; shares are no shares.
    """
    groups = table.select(group, label).unique(group, keep="first", maintain_order=True)
    parts = _shuffled_parts(groups[label].to_numpy(), seed, shares, "tweets")
    of_group = np.empty(len(groups), np.uint8)
    for number, rows in enumerate(parts.values()):
        of_group[rows] = number
    groups = groups.select(group, part=of_group)
    of_row = table.select(group).join(
        groups, on=group, how="left", nulls_equal=True, maintain_order="left"
    )["part"]
    return {part: table.filter(of_row == number) for number, part in enumerate(parts)}


def split_rows(
    table: pl.DataFrame, label: str, seed: int, shares: Mapping[str, float] = SHARES
) -> dict[str, pl.DataFrame]:
    """Parts of `table` by `shares`, stratified by `label`, each in an order drawn at random.

    Raises:
      UserError: a label has too few rows to be in every part; shares are no shares.
    """
    parts = _shuffled_parts(table[label].to_numpy(), seed, shares, "rows")
    return {part: table[numbers] for part, numbers in parts.items()}


def merge(
    sources: Sequence[Mapping[str, pl.DataFrame]], keys: Sequence[str] = ("group",)
) -> dict[str, pl.DataFrame]:
    """Joins sources, each with its own parts, and trains on nothing that one of them holds out.

    Rows that share their id or a value of one of `keys`, directly or by way of other rows, come
    into one part: test if one of them was in a test part, else validation if one was there. Of rows
    with the same id one is kept, the first of those that were held out most. (The original did
    without: its merged set is `split_rows` of the rows of all sources.)

    Args:
      sources: tables by part, as in `SHARES`; all have the same columns, `id` and keys among them.
      keys: what, beside the id, must not be in two parts.

    Returns:
      The rows of each part, in the order of the sources and, within one, of its parts.
    """
    names = list(SHARES)
    given = [
        source[part].with_columns(_part=pl.lit(number, pl.UInt8))
        for source in sources
        for number, part in enumerate(names)
        if part in source
    ]
    rows = pl.concat(given).with_row_index("_row")
    moved = rows["_part"]
    while True:
        before = moved
        for key in ("id", *keys):
            moved = rows.select(moved.alias("_to"), key).select(pl.max("_to").over(key))["_to"]
        if moved.equals(before):
            break
    # Of rows with the same id, which are all in one part now, the one that was there before.
    kept = rows.sort("_part", descending=True, maintain_order=True).unique("id", keep="first")
    numbers = kept["_row"].sort()
    rows, moved = rows[numbers], moved[numbers]
    return {
        part: rows.filter(moved == number).drop("_row", "_part")
        for number, part in enumerate(names)
    }


def _shuffled_parts(
    labels: np.ndarray, seed: int, shares: Mapping[str, float], what: str
) -> dict[str, np.ndarray]:
    """Shuffled indices into `labels` of each part: the original's calls, all of them seeded."""
    if not all(0 <= share < math.inf for share in shares.values()) or not any(shares.values()):
        raise UserError(f"shares of the parts: expected numbers from 0, found {dict(shares)}")
    names = [part for part, share in shares.items() if share]
    parts, left = {}, np.arange(len(labels))
    try:
        for number, part in enumerate(names[:-1]):
            rest = sum(shares[name] for name in names[number + 1 :])
            parts[part], left = train_test_split(
                left,
                test_size=rest / (shares[part] + rest),
                random_state=seed,
                stratify=labels[left],
            )
    except ValueError as error:
        counts = [int(np.sum(labels == value)) for value in np.unique(labels)]
        total = sum(shares.values())
        raise UserError(
            f"cannot split {len(labels)} {what}, {counts} of each label, into "
            f"{'/'.join(f'{shares[name] / total:.0%}' for name in names)}: {error}"
        ) from error
    return {**parts, names[-1]: left}
