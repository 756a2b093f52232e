"""Probing a frozen backbone: choices on validation, figures on the test.

The probes tell what a backbone knows before it is trained any further; a student should beat them.
"""

import dataclasses
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from input_pipeline.sources import Source
from vit_sentiment.evaluation import metrics
from vit_sentiment.evaluation.judge import Predictions, judge
from vit_sentiment.evaluation.probes import (
    Examples,
    Probe,
    few_shot,
    labelled,
    linear,
    nearest,
)
from vit_sentiment.inference.features import Features
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

RESULT_FILE = "probe.json"

C_GRID = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths of the linear probe's L2 penalty."""
K_GRID = (1, 3, 5, 10, 20, 50)
FOLDS = 5

_Split = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Probed:
    """What the probes chose and gave.

    Attributes:
      c, k: the chosen ones; the scores are macro-F1 on validation by candidate.
      linear, nearest: probabilities float32 [N, C] for all rows of the test.
      few_shot: see `probes.few_shot`.
    """

    c: float
    k: int
    c_scores: dict[str, float]
    k_scores: dict[str, float]
    linear: np.ndarray
    nearest: np.ndarray
    few_shot: dict[str, Any]


def run(
    sources: Mapping[str, Source],
    features: Mapping[str, Features],
    labels: Mapping[str, str],
    *,
    draws: int,
    seed: int,
) -> tuple[dict[str, Any], Predictions]:
    """Probes the features of `train`, `test` and, where there is one, `validation`.

    Args:
      sources, features, labels: by these names; a label is `human_label` or `teacher_label`.

    Returns:
      JSON values, which are `probe.json` but for the model's part; and what the linear probe
      predicts for `test`.
    """
    examples = {
        part: labelled(features[part], source, labels[part]) for part, source in sources.items()
    }
    test = sources["test"]
    probed = probe(
        examples["train"],
        examples.get("validation"),
        examples["test"],
        features["test"].values,
        test.classes,
        draws=draws,
        seed=seed,
    )
    predicted, neighbours = (
        Predictions(probs, features["test"].readable) for probs in (probed.linear, probed.nearest)
    )
    chosen_on = "the validation split" if "validation" in sources else f"{FOLDS} folds of train"
    result = {
        **{part: _facts(source, labels[part], examples[part]) for part, source in sources.items()},
        "chosen_on": chosen_on,
        "C": probed.c,
        "k": probed.k,
        "C_scores": probed.c_scores,
        "k_scores": probed.k_scores,
        "draws": draws,
        "seed": seed,
        "linear": judge(test, predicted, labels["test"]),
        "knn": judge(test, neighbours, labels["test"]),
        "few_shot": probed.few_shot,
    }
    return result, predicted


def _facts(source: Source, label: str, examples: Examples) -> dict[str, Any]:
    counts = np.bincount(examples.labels, minlength=len(source.classes))
    return {
        "name": source.name,
        "split": source.split,
        "fingerprint": source.fingerprint,
        "label": label,
        "rows": len(examples.labels),
        "per_class": dict(zip(source.classes, counts.tolist(), strict=True)),
    }


def probe(
    train: Examples,
    validation: Examples | None,
    test: Examples,
    features: np.ndarray,
    classes: Sequence[str],
    *,
    draws: int,
    seed: int,
) -> Probed:
    """Fits all probes on `train`; `test` has no part in any choice.

    The linear probes see features that are standardised by the mean and deviation of `train`; the
    few-shot ones too, since those need no label.

    Args:
      validation: what C and k are chosen on; None: cross-validation on `train`.
      test: the labelled rows of the test, for the few-shot draws.
      features: of all rows of the test, whose probabilities are wanted.

    Raises:
      UserError: `train` has too few rows or classes.
    """
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(train.labels)) < 2:
        raise UserError("training data: all labels are the same; expected at least two classes")
    splits = [] if validation else cross_validation(train, seed)
    fewest = min([len(fit) for fit, _ in splits], default=len(train.labels))
    grid = [k for k in K_GRID if k <= fewest]
    k, k_scores = choose(nearest, _folds(train, validation, splits), grid, len(classes))
    (nearest_probs,) = nearest(train, features, [k], len(classes))

    scaler = StandardScaler().fit(train.features)

    def scale(examples: Examples) -> Examples:
        return dataclasses.replace(examples, features=scaler.transform(examples.features))

    train, validation = scale(train), validation and scale(validation)
    c, c_scores = choose(linear, _folds(train, validation, splits), C_GRID, len(classes))
    (linear_probs,) = linear(train, scaler.transform(features), [c], len(classes))
    few = few_shot(train, scale(test), classes, draws=draws, seed=seed)
    return Probed(c, k, c_scores, k_scores, linear_probs, nearest_probs, few)


def cross_validation(train: Examples, seed: int) -> list[_Split]:
    """Numbers of the training and the validation examples of each fold; folds share no group.

    Raises:
      UserError: there are too few rows or groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if (groups := len(np.unique(train.groups))) < FOLDS:
        raise UserError(f"training data: {groups} tweets are too few for {FOLDS} folds")
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            return list(splitter.split(train.features, train.labels, train.groups))
    except ValueError as error:
        raise UserError(f"training data: cannot be split into {FOLDS} folds: {error}") from error


def _folds(
    train: Examples, validation: Examples | None, splits: Sequence[_Split]
) -> Iterator[tuple[Examples, Examples]]:
    if validation:
        yield train, validation
    for fit, held_out in splits:
        yield train.take(fit), train.take(held_out)


def choose(
    probe: Probe,
    folds: Iterable[tuple[Examples, Examples]],
    grid: Sequence[Any],
    num_classes: int,
) -> tuple[Any, dict[str, float]]:
    """The candidate with the best macro-F1 on the validation rows of all folds together.

    Returns:
      The candidate, the smallest one of equals; and macro-F1 by candidate.
    """
    counts = np.zeros((len(grid), num_classes, num_classes), np.int64)
    for train, validation in folds:
        for number, probs in enumerate(probe(train, validation.features, grid, num_classes)):
            predicted = probs.argmax(axis=1)
            counts[number] += metrics.confusion_matrix(validation.labels, predicted, num_classes)
    scores = metrics.from_confusion(counts)["macro_f1"]
    _, best = min(zip(-scores, grid, strict=True))
    return best, {f"{c:g}": float(score) for c, score in zip(grid, scores, strict=True)}


def found(folder: pathlib.Path, fingerprint: str, label: str) -> list[dict[str, Any]]:
    """Names and figures (`metrics.evaluate`) of the probes that were judged on the same data.

    Args:
      folder: all `probe.json` below it are looked at; it may be missing.
      fingerprint: of the evaluated split.
      label: that it was judged by.
    """
    probes = []
    for path in sorted(folder.rglob(RESULT_FILE)):
        try:
            result = files.read_json(path)
        except UserError as error:
            say(f"warning: {error}; left out")
            continue
        if (result["test"]["fingerprint"], result["test"]["label"]) == (fingerprint, label):
            name = result["model"]
            probes.append({"name": f"linear probe of {name}", **result["linear"]["model"]})
            probes.append({"name": f"{result['k']}-NN of {name}", **result["knn"]["model"]})
    return probes
