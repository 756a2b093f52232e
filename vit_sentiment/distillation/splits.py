"""Splitting into training, validation and test parts that share no group."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from sklearn.model_selection import train_test_split

from vit_sentiment.runtime.errors import UserError

SHARES: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""The original's 80/10/10."""


def split_groups(table: pl.DataFrame, group: str, label: str, seed: int) -> dict[str, pl.DataFrame]:
    """Parts of `table` by `SHARES`, stratified by `label`, no value of `group` in two of them.

    All rows of a group have the same label (photos of a tweet have the tweet's). Rows keep their
    order.

    Raises:
      UserError: a label has too few groups to be in every part.
    """
    groups = table.unique(group, keep="first", maintain_order=True)
    names, labels = groups[group].to_numpy(), groups[label].to_numpy()
    rest = SHARES["validation"] + SHARES["test"]
    try:
        train, held_out = train_test_split(
            np.arange(len(names)), test_size=rest, random_state=seed, stratify=labels
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
            f"cannot split {len(names)} tweets, {counts} of each label, into "
            f"{'/'.join(f'{share:.0%}' for share in SHARES.values())}: {error}"
        ) from error
    parts = {"train": train, "validation": validation, "test": test}
    return {
        part: table.filter(pl.col(group).is_in(set(names[numbers].tolist())))
        for part, numbers in parts.items()
    }
