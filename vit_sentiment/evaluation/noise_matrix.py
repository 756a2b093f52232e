"""Estimating from noisy labels alone how noisy they are."""

import numpy as np

from vit_sentiment.runtime.errors import UserError


def estimate(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """P(label j | true class i) at [i, j], float64 [C, C], by confident learning.

    The confident joint of Northcutt et al. 2021 (arXiv 1911.00068), section 3.1: a row counts for
    the true class i if its probability of i is at least the mean probability of i over the rows
    that are labelled i; of several such classes, for the most probable. Each label's counts are
    scaled to its share of the labels, as in their equation 3, before they become P(label | true).

    No human label is needed, but rows that the model was not trained on are.

    Args:
      labels: noisy class indices [N].
      probs: a model's probabilities of the noisy labels, for rows that it did not learn from
        [N, C].

    Raises:
      UserError: a class is no row's label, or no row is confidently of it.
    """
    classes = probs.shape[1]
    label_counts = np.bincount(labels, minlength=classes)
    if missing := np.flatnonzero(label_counts == 0).tolist():
        raise UserError(f"noise matrix: no row is labelled with the class {missing[0]}")
    thresholds = np.array([probs[labels == c, c].mean() for c in range(classes)])
    confident = probs >= thresholds
    rows = confident.any(axis=1)
    found = np.where(confident, probs, -1.0).argmax(axis=1)[rows]
    joint = np.zeros((classes, classes))  # [label, true class]
    np.add.at(joint, (labels[rows], found), 1)
    sums = joint.sum(axis=1, keepdims=True)
    if not sums.all() or not joint.sum(axis=0).all():
        nowhere = np.flatnonzero(~joint.any(axis=0) | ~joint.any(axis=1)).tolist()
        raise UserError(
            f"noise matrix: no row is confidently of the class {nowhere[0]}, or labelled so; the "
            "model has not learnt to tell it"
        )
    joint *= label_counts[:, None] / sums
    return joint.T / joint.sum(axis=0)[:, None]
