"""Statistics over runs: the spread over seeds, and paired tests between two systems.

A system is a recipe; its predictions are those of one or more runs that differ in their seed.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vit_sentiment.evaluation import metrics

SPREAD = ("accuracy", "macro_f1", "macro_recall", "roc_auc", "log_loss", "calibration_error")
"""Figures of `metrics.evaluate` whose spread over seeds is told."""
LOWER_IS_BETTER = ("log_loss", "calibration_error")
TESTED = ("accuracy", "macro_f1")


def spread(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean, sample deviation (ddof=1, None of one run), worst and values of each figure.

    Args:
      runs: what `metrics.evaluate` gave for each seed. A figure that is None for one of them (the
        ROC-AUC of a single class) is None.
    """
    return {
        name: _spread([run[name] for run in runs], max if name in LOWER_IS_BETTER else min)
        for name in SPREAD
    }


def _spread(values: Sequence[float | None], worst: Any) -> dict[str, Any]:
    if None in values:
        return {"mean": None, "deviation": None, "worst": None, "values": list(values)}
    return {
        "mean": float(np.mean(values)),
        "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "worst": float(worst(values)),
        "values": list(values),
    }


def mcnemar(gold: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """The exact test of McNemar (1947) whether two single runs are right equally often.

    It takes rows for independent, which photos of one tweet are not; the bootstrap does not.

    Args:
      gold, first, second: class indices [N].

    Returns:
      Rows that only the first and only the second has right, and the two-sided `p` that a fair
      coin would split them so unevenly.
    """
    import scipy.stats

    only_first = int(np.sum((first == gold) & (second != gold)))
    only_second = int(np.sum((first != gold) & (second == gold)))
    discordant = only_first + only_second
    p = float(scipy.stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return {"only_first": only_first, "only_second": only_second, "p": p}


def bootstrap_p(differences: np.ndarray) -> float:
    """Two-sided p-value that bootstrapped differences [samples] are of a true zero.

    Twice the smaller share at or beyond zero, with one added to count and samples so that it is
    never zero (Davison and Hinkley, 1997, section 4.2).
    """
    beyond = min(np.sum(differences <= 0), np.sum(differences >= 0))
    return min(1.0, 2 * (int(beyond) + 1) / (len(differences) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for how many they are, after Holm (1979), in the order given."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected.tolist()


def compare(
    gold: np.ndarray,
    systems: Mapping[str, Sequence[np.ndarray]],
    groups: Sequence[Any],
    num_classes: int,
    *,
    samples: int = metrics.BOOTSTRAP_SAMPLES,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Paired tests between every two systems, on the same rows.

    Whole groups are resampled, the same ones for both systems, and a system's figure is the mean
    over its runs. So an interval is about photos that might have been others; how much another
    seed changes is what `spread` tells.

    Args:
      gold: class indices [N].
      systems: predicted class indices [N] of each run, by the system's name.
      groups: the tweet of each row [N].

    Returns:
      For each pair `first`, `second`; for accuracy and macro-F1 the `difference`, first minus
      second, its `interval_95`, `p` and `p_holm`, corrected over the pairs; and `mcnemar`, None
      unless both are single runs, whose `p_holm` is corrected over the pairs that have it.
    """
    names = list(systems)
    predicted = np.stack([run for runs in systems.values() for run in runs])
    ends = np.cumsum([len(runs) for runs in systems.values()])[:-1]
    counts = metrics.bootstrap_counts(
        gold, predicted, groups, num_classes, samples=samples, seed=seed
    )
    whole = np.stack([metrics.confusion_matrix(gold, run, num_classes) for run in predicted])

    def by_system(counts: np.ndarray, metric: str) -> dict[str, np.ndarray]:
        values = np.split(metrics.from_confusion(counts)[metric], ends, axis=-1)
        return {name: v.mean(axis=-1) for name, v in zip(names, values, strict=True)}

    figures = {metric: (by_system(whole, metric), by_system(counts, metric)) for metric in TESTED}
    pairs = []
    for first, second in itertools.combinations(names, 2):
        pair: dict[str, Any] = {"first": first, "second": second}
        for metric, (found, drawn) in figures.items():
            # Equal means of different numbers of runs may differ in their last bits.
            differences = np.round(drawn[first] - drawn[second], 12)
            pair[metric] = {
                "difference": float(found[first] - found[second]),
                "interval_95": list(metrics.interval_95(differences)),
                "p": bootstrap_p(differences),
            }
        single = len(systems[first]) == len(systems[second]) == 1
        pair["mcnemar"] = mcnemar(gold, systems[first][0], systems[second][0]) if single else None
        pairs.append(pair)
    for test in (*TESTED, "mcnemar"):
        tests = [pair[test] for pair in pairs if pair[test]]
        for result, p in zip(tests, holm([result["p"] for result in tests]), strict=True):
            result["p_holm"] = p
    return pairs
