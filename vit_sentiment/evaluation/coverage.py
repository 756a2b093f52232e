"""Abstaining: how many photos a threshold of confidence keeps, and how often they are right."""

from collections.abc import Sequence

import numpy as np

from vit_sentiment.inference.decision import confidence
from vit_sentiment.models.calibration import Calibration, CoveragePoint
from vit_sentiment.runtime.errors import UserError

MOST_POINTS = 50
"""Points of a coverage-accuracy curve, evenly spaced in coverage."""


def coverage_curve(gold: np.ndarray, probs: np.ndarray) -> tuple[CoveragePoint, ...]:
    """Coverage and accuracy [at most `MOST_POINTS`] by the confidence that a row must have.

    Thresholds are rounded down to millionths below 1, so that float32 does not move a row below its
    own.
    """
    millionths = np.minimum(np.floor(confidence(probs) * 1e6), 999_999).astype(np.int64)
    correct = probs.argmax(axis=1) == gold
    falling = np.sort(millionths)[::-1]
    ranks = np.ceil(np.arange(1, MOST_POINTS) * len(gold) / MOST_POINTS).astype(np.int64)
    points = [CoveragePoint(0.0, 1.0, float(correct.mean()))]
    for threshold in np.unique(falling[ranks - 1]):
        kept = millionths >= threshold
        if not kept.all():
            accuracy = float(correct[kept].mean())
            points.append(CoveragePoint(int(threshold) / 1e6, float(kept.mean()), accuracy))
    return tuple(points)


def largest_threshold(curve: Sequence[CoveragePoint], coverage: float) -> float:
    """The largest threshold of a curve that still keeps a share of `coverage` of its rows."""
    return max(point.threshold for point in curve if point.coverage >= coverage)


def threshold_for_coverage(calibration: Calibration, coverage: float) -> float:
    """The largest threshold of confidence that still keeps a share of `coverage` of the rows."""
    if not 0 < coverage <= 1:
        raise UserError(f"coverage must be above 0 and at most 1, found {coverage}")
    return largest_threshold(calibration.coverage, coverage)


def threshold_for_accuracy(calibration: Calibration, accuracy: float) -> float:
    """The smallest threshold of confidence whose rows were right in a share of `accuracy`.

    Raises:
      UserError: no threshold of the curve reached it.
    """
    reached = [p.threshold for p in calibration.coverage if p.accuracy >= accuracy]
    if not reached:
        best = max(calibration.coverage, key=lambda point: point.accuracy)
        raise UserError(
            f"no threshold gave an accuracy of {accuracy:g} on {calibration.data} "
            f"{calibration.split}; the best was {best.accuracy:.4f} for {best.coverage:.0%} of "
            "the photos"
        )
    return min(reached)
