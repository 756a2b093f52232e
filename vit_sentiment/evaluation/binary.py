"""The original's protocol for benchmarks of negative and positive photos.

The neutral column is dropped, the greater of the other two wins, and a tie is negative
(codiceSpaghetti/T4SA-2.0, test_benchmark.py).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from input_pipeline.records import CLASSES
from vit_sentiment.evaluation import metrics

NEGATIVE, POSITIVE = CLASSES.index("negative"), CLASSES.index("positive")


def predict(probs: np.ndarray) -> np.ndarray:
    """Probabilities [N, 3] to 0 (negative) or 1 (positive) [N]."""
    return (probs[:, POSITIVE] > probs[:, NEGATIVE]).astype(np.int64)


def evaluate(labels: np.ndarray, probs: np.ndarray, groups: Sequence[Any]) -> dict[str, Any]:
    """Figures of probabilities [N, 3] against labels [N] that are negative or positive.

    Returns:
      JSON values: `rows`, `negative`, `positive`, `majority`, `accuracy`, `macro_f1`,
      `f1_negative`, `f1_positive`, `interval_95` of the accuracy, and two areas under the ROC
      curve: `auc_pos` by the raw probability of positive, as the original has it, and
      `auc_binary` by POS / (POS + NEG), which the rule above decides by. Areas are None where one
      class is absent.
    """
    gold = (labels == POSITIVE).astype(np.int64)
    predicted = predict(probs)
    values = metrics.from_confusion(metrics.confusion_matrix(gold, predicted, 2))
    negative, positive = probs[:, NEGATIVE].astype(float), probs[:, POSITIVE].astype(float)
    both = negative + positive
    share = np.divide(positive, both, out=np.full(len(both), 0.5), where=both > 0)
    interval = metrics.bootstrap_intervals(gold, predicted, groups, 2)["accuracy"]
    return {
        "rows": len(gold),
        "negative": int(np.sum(gold == 0)),
        "positive": int(np.sum(gold == 1)),
        "majority": metrics.majority(gold),
        "accuracy": float(values["accuracy"]),
        "macro_f1": float(values["macro_f1"]),
        "f1_negative": float(values["f1"][0]),
        "f1_positive": float(values["f1"][1]),
        "auc_pos": _area(gold, positive),
        "auc_binary": _area(gold, share),
        "interval_95": list(interval),
    }


def _area(gold: np.ndarray, score: np.ndarray) -> float | None:
    import sklearn.metrics

    if len(set(gold.tolist())) < 2:
        return None
    return float(sklearn.metrics.roc_auc_score(gold, score))
