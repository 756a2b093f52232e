"""Metrics of a classifier: exact, from counts; what is not a count comes from scikit-learn.

scikit-learn is imported where it is used: it takes half a second, and training needs only counts.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

ECE_BINS = 15
"""Equal-width bins of the calibration error, as in Guo et al. 2017 (arXiv 1706.04599)."""
BOOTSTRAP_SAMPLES = 2000
_SAMPLES_AT_A_TIME = 100
"""Bounds the memory of a bootstrap of many models, whose groups are nearly all distinct."""


def confusion_matrix(gold: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts int64 [gold, predicted] of class indices [N]."""
    flat = np.bincount(gold * num_classes + predicted, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b != 0)


def from_confusion(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of confusion matrices [..., C, C]; the leading axes are kept.

    Returns:
      `accuracy`, `macro_f1`, `macro_recall` [...]; `precision`, `recall`, `f1`, `support`
      [..., C]. What is undefined counts as zero, and macro averages run over the classes that
      occur in gold or predictions: scikit-learn's conventions.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, predicted = counts.sum(-1), counts.sum(-2)
    recall, precision = _ratio(hits, support), _ratio(hits, predicted)
    f1 = _ratio(2.0 * hits, support + predicted)
    occurs = np.sum(support + predicted > 0, axis=-1)
    return {
        "accuracy": _ratio(hits.sum(-1), support.sum(-1)),
        "macro_f1": _ratio(f1.sum(-1), occurs),
        "macro_recall": _ratio(recall.sum(-1), occurs),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "support": support,
    }


def roc_auc(gold: np.ndarray, probs: np.ndarray) -> float | None:
    """Mean of the one-against-the-rest areas of the classes that occur; None for fewer than two."""
    import sklearn.metrics

    classes = [c for c in range(probs.shape[1]) if 0 < np.sum(gold == c) < len(gold)]
    if not classes:
        return None
    return float(np.mean([sklearn.metrics.roc_auc_score(gold == c, probs[:, c]) for c in classes]))


def log_loss(gold: np.ndarray, probs: np.ndarray) -> float:
    """Mean negative log probability of the gold class, in nats."""
    import sklearn.metrics

    with warnings.catch_warnings():
        # Probabilities of masked models do not sum to one, and need not.
        warnings.filterwarnings("ignore", message="The y_prob values do not sum to one")
        return float(
            sklearn.metrics.log_loss(
                gold, probs.astype(np.float64), labels=np.arange(probs.shape[1])
            )
        )


def reliability(
    gold: np.ndarray, probs: np.ndarray, bins: int = ECE_BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, mean confidence and accuracy [bins] by the probability of the predicted class."""
    confidence = probs.max(axis=1)
    correct = probs.argmax(axis=1) == gold
    # A confidence of exactly 1 belongs to the last bin.
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    rows = np.bincount(place, minlength=bins)
    mean_confidence = _ratio(np.bincount(place, weights=confidence, minlength=bins), rows)
    accuracy = _ratio(np.bincount(place, weights=correct, minlength=bins), rows)
    return rows, mean_confidence, accuracy


def calibration_error(gold: np.ndarray, probs: np.ndarray) -> float:
    """Expected calibration error: mean |confidence - accuracy| over the bins, by their rows."""
    rows, confidence, accuracy = reliability(gold, probs)
    return float(np.sum(rows * np.abs(confidence - accuracy)) / len(gold))


def bootstrap_counts(
    gold: np.ndarray,
    predicted: np.ndarray,
    groups: Sequence[Any],
    num_classes: int,
    *,
    samples: int = BOOTSTRAP_SAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Confusion matrices int64 [samples, R, C, C] of R models, resampling whole groups.

    Photos of one tweet are not independent, so groups are drawn, not rows; a sample draws the same
    groups for all models. Groups with the same counts are interchangeable, which makes the draw a
    multinomial over the distinct ones.

    Args:
      gold: class indices [N].
      predicted: class indices [R, N].
      groups: the group of each row [N].
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    models, size = len(predicted), num_classes**2
    place = (group * models + np.arange(models)[:, None]) * size + gold * num_classes + predicted
    cells = np.bincount(place.ravel(), minlength=(group.max() + 1) * models * size)
    cells = cells.reshape(-1, models * size)
    kinds, how_many = np.unique(cells.astype(np.int32), axis=0, return_counts=True)
    # BLAS multiplies floats alone; counts are exact in them.
    kinds, shares = kinds.astype(np.float64), how_many / len(cells)
    random = np.random.default_rng(seed)
    counts = np.empty((samples, models * size), np.int64)
    for start in range(0, samples, _SAMPLES_AT_A_TIME):
        part = counts[start : start + _SAMPLES_AT_A_TIME]
        part[:] = random.multinomial(len(cells), shares, size=len(part)) @ kinds
    return counts.reshape(samples, models, num_classes, num_classes)


def bootstrap_intervals(
    gold: np.ndarray, predicted: np.ndarray, groups: Sequence[Any], num_classes: int
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of accuracy and macro-F1 of class indices [N]."""
    counts = bootstrap_counts(gold, predicted[None], groups, num_classes)
    metrics = from_confusion(counts[:, 0])
    return {name: interval_95(metrics[name]) for name in ("accuracy", "macro_f1")}


def interval_95(values: np.ndarray) -> tuple[float, float]:
    """The percentile interval of bootstrapped values [samples]."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def evaluate(
    gold: np.ndarray, probs: np.ndarray, groups: Sequence[Any], classes: Sequence[str]
) -> dict[str, Any]:
    """All metrics of probabilities [N, C] against gold class indices [N], as JSON values."""
    predicted = probs.argmax(axis=1)
    counts = confusion_matrix(gold, predicted, len(classes))
    values = from_confusion(counts)
    per_class = ("precision", "recall", "f1", "support")
    return {
        "rows": len(gold),
        **{k: float(values[k]) for k in ("accuracy", "macro_f1", "macro_recall")},
        "roc_auc": roc_auc(gold, probs),
        "log_loss": log_loss(gold, probs),
        "calibration_error": calibration_error(gold, probs),
        "majority": majority(gold),
        "interval_95": {
            k: list(v)
            for k, v in bootstrap_intervals(gold, predicted, groups, len(classes)).items()
        },
        "per_class": {
            name: {k: values[k][i].item() for k in per_class} for i, name in enumerate(classes)
        },
        "confusion_matrix": counts.tolist(),
    }


def majority(gold: np.ndarray) -> float:
    """Accuracy of always naming the most frequent class of `gold` [N]."""
    return float(np.bincount(gold).max() / len(gold))
