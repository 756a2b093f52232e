"""Fine-tuning on folds of a benchmark, or on its given splits, one run for each."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from ml_collections import ConfigDict

from input_pipeline.sources import Source
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training.plan import SIZE_FIELDS

FOLD_MASK = (1.0, 1e-7, 1.0)
"""Factors of the original's fold models on (negative, neutral, positive): neutral is shut out."""
FI_EVERY_STEPS = 200
"""Steps between validations on FI's splits (fine_tune_FI.py)."""


@dataclasses.dataclass(frozen=True)
class Fold:
    """One run: what it trains on, validates on and is judged on.

    Attributes:
      name: `0` to K - 1 for folds, `1` to `5` for FI's splits, as in the original's file names.
      validation: what selects the best checkpoint; of a fold, which has none, its own test part,
        which then selects nothing, since only the end of the run is validated.
      checkpoint: which one is judged: `latest` of a fold, `best` of a split.
    """

    name: str
    train: Source
    validation: Source
    test: Source
    checkpoint: str

    @property
    def kind(self) -> str:
        """What it is called: `fold` or `split`."""
        return "fold" if self.checkpoint == "latest" else "split"

    @property
    def data(self) -> tuple[Source, Source]:
        """For `run.Job`."""
        return self.train, self.validation


def fold_indices(labels: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers for training and for testing of each fold: scikit-learn's StratifiedKFold.

    Raises:
      UserError: a class has fewer rows than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold

    least = int(np.unique(labels, return_counts=True)[1].min())
    if not 2 <= folds <= least:
        raise UserError(
            f"--folds: expected 2 to {least}, the rows of the rarest class; found {folds}"
        )
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(labels)), labels))


def make_folds(source: Source, folds: int, seed: int) -> list[Fold]:
    """Folds of a benchmark whose photos humans labelled, in the order of its rows."""
    labels = source.labels_required("human_label")
    made = []
    for number, (train, test) in enumerate(fold_indices(labels, folds, seed)):
        held_out = source.take(test, f"fold {number}, test")
        made.append(
            Fold(str(number), source.take(train, f"fold {number}"), held_out, held_out, "latest")
        )
    return made


def given_splits(
    benchmark: str, open_part: Callable[[str, str], Source], numbers: Sequence[int] = range(1, 6)
) -> list[Fold]:
    """The splits that a benchmark comes with, `<benchmark>_split_<k>`; see `open_benchmark`."""
    names = ("train", "validation", "test")
    return [
        Fold(str(k), *(open_part(f"{benchmark}_split_{k}", part) for part in names), "best")
        for k in numbers
    ]


def complete_config(
    config: ConfigDict,
    description: ModelDescription,
    init_from: str,
    *,
    mask: Sequence[float] = (),
) -> ConfigDict:
    """The config with the model's own sizes, GELU, input range and head, and where it starts."""
    own = config.copy_and_resolve_references()
    own.init_from = init_from
    own.model.variant = ""
    for name in SIZE_FIELDS:
        setattr(own.model, name, getattr(description, name))
    told = ("image_size", "gelu", "layer_norm_epsilon", "class_token", "pooling", "input_range")
    for name in told:
        setattr(own.model, name, getattr(description, name))
    own.model.head_hidden = description.head_hidden or 0
    own.model.output_mask = tuple(mask)
    return own
