"""Fine-tuning on folds of a benchmark, or on its given splits, one run for each."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from ml_collections import ConfigDict

from input_pipeline.sources import Source
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.reporting import manifest
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training.plan import SIZE_FIELDS


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the original fine-tunes on parts of one kind; see `complete_config`.

    Attributes:
      kind: what a part is called: `fold` or `split`.
      epochs, every_steps, every_epochs: length of a run and when it is validated, where the config
        leaves them open.
      mask: factors on the probabilities of (negative, neutral, positive); empty: none.
      checkpoint: which one is judged.
    """

    kind: str
    epochs: float
    every_steps: int
    every_epochs: int
    mask: tuple[float, ...]
    checkpoint: str


FOLDS = Protocol("fold", 12.0, 0, 0, (1.0, 1e-7, 1.0), "latest")
"""5_fold_cross.py: neutral is shut out, there is no validation part, the last weights are judged"""
SPLITS = Protocol("split", 5.0, 200, 1, (), "best")
"""fine_tune_FI.py: no mask; the weights that are best on the validation part are judged."""

OWN_FIELDS = (
    "image_size",
    "gelu",
    "layer_norm_epsilon",
    "class_token",
    "pooling",
    "input_range",
    *SIZE_FIELDS,
)
"""Fields of `config.model` that weights which are trained on tell themselves."""
TOLD_FIELDS = ("variant", *OWN_FIELDS, "output_mask")
"""Fields of `config.model` that are no choice here."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A fold or split: what one run trains on, validates on and is judged on.

    Attributes:
      name: `0` to K - 1 for folds, `1` to `5` for FI's splits, as in the original's file names.
      validation: of a fold, which has none, its test part; `complete_config` sees to it that only
        the end of the run is validated, so that it selects nothing.
    """

    name: str
    protocol: Protocol
    train: Source
    validation: Source
    test: Source

    @property
    def kind(self) -> str:
        """`fold` or `split`."""
        return self.protocol.kind

    @property
    def data(self) -> tuple[Source, Source]:
        """For `run.Job`."""
        return self.train, self.validation


def fold_indices(labels: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers for training and for testing of each fold: scikit-learn's StratifiedKFold.

    Raises:
      UserError: there is one class, or one with fewer rows than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold

    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2:
        raise UserError("--folds: expected rows of two classes or more, found one")
    if not 2 <= folds <= counts.min():
        raise UserError(
            f"--folds: expected 2 to {counts.min()}, the rows of the rarest class; found {folds}"
        )
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(labels)), labels))


def make_folds(source: Source, folds: int, seed: int) -> list[Part]:
    """Folds of a benchmark whose photos humans labelled, in the order of its rows."""
    labels = source.labels_required("human_label")
    made = []
    for number, (train, test) in enumerate(fold_indices(labels, folds, seed)):
        held_out = source.take(test, f"fold {number}, test")
        train_data = source.take(train, f"fold {number}")
        made.append(Part(str(number), FOLDS, train_data, held_out, held_out))
    return made


def given_splits(
    benchmark: str, open_part: Callable[[str, str], Source], numbers: Sequence[int] = range(1, 6)
) -> list[Part]:
    """The splits that a benchmark comes with.

    Args:
      open_part: opens `train`, `validation` or `test` of the benchmark `<benchmark>_split_<k>`.
    """
    names = ("train", "validation", "test")
    return [
        Part(str(k), SPLITS, *(open_part(f"{benchmark}_split_{k}", part) for part in names))
        for k in numbers
    ]


def complete_config(
    config: ConfigDict, description: ModelDescription, init_from: str, protocol: Protocol
) -> ConfigDict:
    """The config with what it leaves open, and with what the model to start from tells itself.

    Args:
      config: as `configs/cross_validate.py` has it: None where the protocol decides.
      description: of `init_from`.

    Raises:
      UserError: the config says what the parts or the model already say, or lets the photos that
        a fold is judged on select its weights.
    """
    own = config.copy_and_resolve_references()
    _refuse(own, {"init_from": "--model", "data.train": "--benchmark"}, "tells that")
    own.init_from = init_from
    own.model.variant = ""
    for name in OWN_FIELDS:
        setattr(own.model, name, getattr(description, name))
    if own.init_head == "keep":
        own.model.head_hidden = description.head_hidden or 0
    own.model.output_mask = protocol.mask
    if len(own.stages) == 1 and own.stages[0].epochs is None:
        own.stages = (_filled(own.stages[0], protocol.epochs),)
    for name in ("every_steps", "every_epochs"):
        if own.validation[name] is None:
            own.validation[name] = getattr(protocol, name)
    if protocol.checkpoint == "latest":
        fields = ("validation.every_steps", "validation.every_epochs", "early_stopping.patience")
        whose = dict.fromkeys(fields, f"a {protocol.kind} has no validation part and")
        _refuse(own, whose, "is judged by its last weights")
    return own


def _refuse(config: ConfigDict, fields: dict[str, str], why: str) -> None:
    values = config.to_dict()
    for name, who in fields.items():
        section, _, field = name.rpartition(".")
        value = values[section][field] if section else values[field]
        if value:
            raise UserError(f"config.{name}: {who} {why}; expected nothing, found {value!r}")


def _filled(stage: ConfigDict, epochs: float) -> ConfigDict:
    """The stage with so many epochs, unless its length is given in steps."""
    filled = stage.copy_and_resolve_references()
    filled.epochs = 0.0 if stage.steps else epochs
    return filled


def check_start(workdirs: Iterable[pathlib.Path], weights: str) -> None:
    """Raises UserError where a run has started from other weights than those of this hash.

    A file may have been replaced, or the run in a workdir have gone on, since an earlier part of
    this cross-validation, and then its parts would not be comparable.
    """
    for workdir in workdirs:
        path = workdir / manifest.FILE
        found = files.read_json(path).get("initial_weights") if path.exists() else None
        if found not in (None, weights):
            raise UserError(
                f"{workdir}: started from weights {found}, --model has {weights} now; choose "
                "another --out"
            )
