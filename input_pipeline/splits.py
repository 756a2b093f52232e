"""Splitting into training, validation and test parts: by rows, or so that they share no group."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from sklearn.model_selection import train_test_split

from vit_sentiment.runtime.errors import UserError

SHARES: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""The original's 80/10/10."""


def split_groups(table: pl.DataFrame, group: str, label: str, seed: int) -> dict[str, pl.DataFrame]:
    """Parts of `table` by `SHARES`, stratified by `label`, no value of `group` in two of them.

    A group counts under the label of its first row (photos of a tweet have the tweet's; those of
    tweets that share a photo or a text may differ). Rows keep their order.

    Raises:
      UserError: a label has too few groups to be in every part.
    """
    groups = table.unique(group, keep="first", maintain_order=True)
    names = groups[group].to_numpy()
    parts = _shuffled_parts(groups[label].to_numpy(), seed, "tweets")
    return {
        part: table.filter(pl.col(group).is_in(set(names[numbers].tolist())))
        for part, numbers in parts.items()
    }


def split_rows(table: pl.DataFrame, label: str, seed: int) -> dict[str, pl.DataFrame]:
    """Parts of `table` by `SHARES`, stratified by `label`, each in an order drawn at random.

    Raises:
      UserError: a label has too few rows to be in every part.
    """
    parts = _shuffled_parts(table[label].to_numpy(), seed, "rows")
    return {part: table[numbers] for part, numbers in parts.items()}


def _shuffled_parts(labels: np.ndarray, seed: int, what: str) -> dict[str, np.ndarray]:
    """Shuffled indices into `labels` of each part: the original's two calls, both seeded."""
    rest = SHARES["validation"] + SHARES["test"]
    try:
        train, held_out = train_test_split(
            np.arange(len(labels)), test_size=rest, random_state=seed, stratify=labels
        )
        validation, test = train_test_split(
            held_out,
            test_size=SHARES["test"] / rest,
            random_state=seed,
            stratify=labels[held_out],
        )
    except ValueError as error:
        counts = [int(np.sum(labels == value)) for value in np.unique(labels)]
        raise UserError(
            f"cannot split {len(labels)} {what}, {counts} of each label, into "
            f"{'/'.join(f'{share:.0%}' for share in SHARES.values())}: {error}"
        ) from error
    return {"train": train, "validation": validation, "test": test}
