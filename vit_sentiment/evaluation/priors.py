"""Probabilities for photos whose classes come in other shares than those of the calibration set."""

import math
from collections.abc import Sequence

import numpy as np

from vit_sentiment.runtime.errors import UserError

_EM_TOLERANCE = 1e-6
_EM_ROUNDS = 1000


def prior_corrected(
    probs: np.ndarray, calibration_prior: Sequence[float], new_prior: Sequence[float]
) -> np.ndarray:
    """Probabilities [N, C] for photos whose classes come in other shares than the calibration's.

    Each is multiplied by new / old share of its class and the row renormalised (Saerens, Latinne &
    Decaestecker 2002, Neural Computation 14, eq. 2.4). Holds as far as the given probabilities do
    for the old shares, and photos of a class look alike in both sets.

    Raises:
      UserError: the shares are none, or a class that calibration has not seen is to have one.
    """
    old, new = (np.asarray(prior, np.float64) for prior in (calibration_prior, new_prior))
    shares = len(new) == probs.shape[1] and np.all(new >= 0)
    if not shares or not math.isclose(new.sum(), 1, abs_tol=1e-3):
        raise UserError(
            f"class shares: expected {probs.shape[1]} numbers that sum to 1, found "
            f"{', '.join(f'{share:g}' for share in new)}"
        )
    if np.any((old == 0) & (new > 0)):
        raise UserError(
            "class shares: a class without rows in the calibration set cannot be given a share"
        )
    ratio = np.divide(new, old, out=np.zeros_like(new), where=old > 0)
    # A probability that float32 rounded to 0 must not leave a row with nothing.
    weighted = np.maximum(probs.astype(np.float64), np.finfo(np.float32).tiny) * ratio
    return weighted / weighted.sum(axis=1, keepdims=True)


def class_shares(
    probs: np.ndarray, calibration_prior: Sequence[float], counts: np.ndarray | None = None
) -> np.ndarray:
    """Shares of the classes [C] among unlabelled photos, by their probabilities [N, C].

    The likeliest ones under the assumptions of `prior_corrected`, by expectation maximisation from
    the calibration's shares (Saerens et al. 2002, eq. 2.9).

    Args:
      counts: how many photos each row stands for [N], or in each of several samples [S, N]; then
        shares are [S, C]. Default: one.
    """
    old = np.asarray(calibration_prior, np.float64)
    # Proportional to the density of a photo in each class; see `prior_corrected`.
    floored = np.maximum(probs.astype(np.float64), np.finfo(np.float32).tiny)
    density = np.divide(floored, old, out=np.zeros_like(floored), where=old > 0)
    counts = np.ones(len(probs)) if counts is None else np.asarray(counts, np.float64)
    total = counts.sum(axis=-1, keepdims=True)
    shares = np.broadcast_to(old, (*counts.shape[:-1], len(old)))
    for _ in range(_EM_ROUNDS):
        before = shares
        shares = before * ((counts / (before @ density.T)) @ density) / total
        if np.abs(shares - before).max() < _EM_TOLERANCE:
            break
    return shares
