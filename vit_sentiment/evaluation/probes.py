"""Classifiers on frozen features: linear, k nearest neighbours, few-shot.

scikit-learn is imported where it is used, as in `metrics`.
"""

import dataclasses
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from input_pipeline.records import UNKNOWN
from input_pipeline.sources import Source
from vit_sentiment.evaluation import metrics
from vit_sentiment.inference.features import Features
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress, say

SHOTS = (1, 5, 10)
"""Labelled photos of each class."""
FEW_SHOT_C = 1.0
"""scikit-learn's default: with so few labels there is nothing to choose a C on."""
FIGURES = ("accuracy", "macro_f1", "macro_recall", "roc_auc", "log_loss", "calibration_error")
"""Metrics that are averaged over few-shot draws."""

_MOST_ITERATIONS = 1000
_WORTH_THREADS = 2**28
"""Bytes of features from which on a fit uses several cores. The hundreds of short products of a
smaller one wait for threads most of the time: on a busy machine, a hundred times their own."""
_BLOCK = 1024
"""Photos whose neighbours are searched at a time."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """Features float32 [N, D] with class indices [N] and groups [N]."""

    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def take(self, rows: np.ndarray) -> "Examples":
        """The examples at `rows`, numbers or a mask."""
        return Examples(self.features[rows], self.labels[rows], self.groups[rows])


Probe = Callable[[Examples, np.ndarray, Sequence[Any], int], Iterator[np.ndarray]]
"""Training examples, features [N, D], candidates and number of classes to one array of
probabilities float32 [N, C] for each candidate."""


def labelled(features: Features, source: Source, label: str) -> Examples:
    """The readable rows of a source that have a label.

    Raises:
      UserError: there is none.
    """
    labels, groups = source.labels(label), source.index["group"].to_numpy()
    usable = features.readable & (labels != UNKNOWN)
    if not usable.any():
        raise UserError(f"{source.name}, split {source.split}: no readable row has a {label}")
    examples = Examples(features.values, labels, groups)
    return examples if usable.all() else examples.take(usable)


def linear(
    train: Examples, features: np.ndarray, grid: Sequence[float], num_classes: int
) -> Iterator[np.ndarray]:
    """Multinomial logistic regression with an L2 penalty, for each C of the grid; a `Probe`."""
    with progress("linear probe", len(grid), "fits") as tick:
        for c in grid:
            yield _logistic_regression(train, features, c, num_classes)
            tick()


def _logistic_regression(
    train: Examples, features: np.ndarray, c: float, num_classes: int
) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    classifier = LogisticRegression(C=c, max_iter=_MOST_ITERATIONS)
    threads = 1 if train.features.nbytes < _WORTH_THREADS else None
    with (
        warnings.catch_warnings(record=True) as caught,
        threadpool_limits(threads, user_api="blas"),
    ):
        warnings.simplefilter("always", ConvergenceWarning)
        classifier.fit(train.features, train.labels)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        say(f"warning: the linear probe with C={c:g} did not converge")
    # A fold or a draw may lack a class.
    probs = np.zeros((len(features), num_classes), np.float32)
    probs[:, classifier.classes_] = classifier.predict_proba(features)
    return probs


def nearest(
    train: Examples, features: np.ndarray, grid: Sequence[int], num_classes: int
) -> Iterator[np.ndarray]:
    """Shares of the classes among the k most similar (cosine) examples, for each k; a `Probe`."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import normalize

    # Among vectors of length 1 the nearest is the one with the greatest cosine.
    search = NearestNeighbors(n_neighbors=max(grid), algorithm="brute")
    search.fit(normalize(train.features))
    votes = np.empty((len(features), max(grid)), train.labels.dtype)
    with progress("k-NN", len(features), "photos") as tick:
        for start in range(0, len(features), _BLOCK):
            block = normalize(features[start : start + _BLOCK])
            neighbours = search.kneighbors(block, return_distance=False)
            votes[start : start + _BLOCK] = train.labels[neighbours]
            tick(len(block))
    for k in grid:
        counts = [np.sum(votes[:, :k] == c, axis=1) for c in range(num_classes)]
        yield np.stack(counts, axis=1).astype(np.float32) / np.float32(k)


def draw(
    train: Examples, shots: int, num_classes: int, rng: np.random.Generator
) -> np.ndarray | None:
    """Numbers of `shots` random examples of each class, no two of them of one group.

    Returns None if a class has too few groups.
    """
    order = rng.permutation(len(train.labels))
    counts = np.bincount(train.labels, minlength=num_classes)
    chosen = np.empty(0, np.int64)
    for c in np.argsort(counts, kind="stable"):  # The rarest class has the least choice.
        rows = order[train.labels[order] == c]
        rows = rows[~np.isin(train.groups[rows], train.groups[chosen])]
        _, first = np.unique(train.groups[rows], return_index=True)
        if len(first) < shots:
            return None
        chosen = np.concatenate([chosen, rows[np.sort(first)[:shots]]])
    return chosen


def few_shot(
    train: Examples, test: Examples, classes: Sequence[str], *, draws: int, seed: int
) -> dict[str, Any]:
    """Linear probes that see a few labels of `train`; figures on `test` over random draws.

    Returns:
      JSON values by number of shots: `draws` (`FIGURES` of each), their `mean` and `deviation`
      (the sample's; None for one draw). Numbers that a class has too few groups for are left out.
    """
    drawn = {}
    for shots in SHOTS:
        rngs = [np.random.default_rng([seed, shots, number]) for number in range(draws)]
        rows = [draw(train, shots, len(classes), rng) for rng in rngs]
        if any(numbers is None for numbers in rows):
            say(f"few-shot: a class has fewer than {shots} tweets to draw from; left out")
        else:
            drawn[shots] = rows
    results = {}
    with progress("few-shot", len(drawn) * draws, "fits") as tick:
        for shots, rows in drawn.items():
            values = []
            for numbers in rows:
                few = train.take(numbers)
                probs = _logistic_regression(few, test.features, FEW_SHOT_C, len(classes))
                found = metrics.evaluate(test.labels, probs, test.groups, classes)
                values.append({name: found[name] for name in FIGURES})
                tick()
            results[str(shots)] = {"draws": values, **_average(values)}
    return results


def _average(values: Sequence[dict[str, float | None]]) -> dict[str, dict[str, float | None]]:
    mean, deviation = {}, {}
    for name in FIGURES:
        column = [value[name] for value in values]
        known = None not in column  # No ROC-AUC where the test has one class.
        mean[name] = statistics.fmean(column) if known else None
        deviation[name] = statistics.stdev(column) if known and len(column) > 1 else None
    return {"mean": mean, "deviation": deviation}
