"""Calibration on a labelled set: the temperature, and coverage against accuracy.

A temperature (Guo et al. 2017, arXiv 1706.04599) makes the probabilities as sure as they are right.
Where a model has an output mask, its probabilities are meant renormalised, here as in `confidence`:
the mask shifts logits by its logarithm, and the temperature divides what it shifts.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from vit_sentiment.evaluation import metrics
from vit_sentiment.models.calibration import Calibration, CoveragePoint
from vit_sentiment.runtime.errors import UserError

TEMPERATURES = (0.05, 20.0)
"""Bounds of the search; what leaves them says nothing but "surely" or "by chance"."""
FEWEST_ROWS = 10
FOLDS = 5
MOST_POINTS = 50
"""Points of a coverage-accuracy curve, evenly spaced in coverage."""
EXCLUDED = 1e-3
"""A class whose factor in the output mask is less than this is none of the model's."""
_AT_BOUND = 1e-3


@dataclasses.dataclass(frozen=True)
class Fit:
    """A temperature for a labelled set, and what it does to rows that it has not seen.

    Attributes:
      temperature: fitted on all rows.
      folds: temperatures of the cross-fit, each without a fifth of the groups.
      uncalibrated, fitted: probabilities float64 [N, C] at temperature 1 and `temperature`.
      cross_fitted: the same, each row at the temperature of the fold that has not seen its group.
      warnings: why the temperature may not be worth much, a line each.
    """

    temperature: float
    folds: tuple[float, ...]
    uncalibrated: np.ndarray
    fitted: np.ndarray
    cross_fitted: np.ndarray
    warnings: tuple[str, ...]


def fit(
    logits: np.ndarray,
    gold: np.ndarray,
    groups: Sequence[Any],
    classes: Sequence[str],
    output_mask: Sequence[float] | None = None,
) -> Fit:
    """Fits a temperature to raw logits [N, C] and gold class indices [N].

    Args:
      groups: rows of one group (tweet) are never on both sides of the cross-fit [N].

    Raises:
      UserError: too few rows, groups or classes; rows of a class that the mask excludes; logits
        that are not finite.
    """
    from sklearn.model_selection import GroupKFold

    _check(logits, gold, groups, classes, output_mask)
    temperature = fit_temperature(logits, gold, output_mask)
    folds, cross_fitted = [], np.empty(logits.shape)
    splitter = GroupKFold(min(FOLDS, len(set(groups))))
    for train, test in splitter.split(logits, gold, groups):
        folds.append(fit_temperature(logits[train], gold[train], output_mask))
        cross_fitted[test] = probabilities(logits[test], folds[-1], output_mask)
    uncalibrated = probabilities(logits, 1.0, output_mask)
    warnings = []
    if np.array_equal(uncalibrated.argmax(axis=1), gold):
        warnings.append("the model is right in every row, so nothing tells how sure it may be")
    elif any(abs(math.log(temperature / bound)) < _AT_BOUND for bound in TEMPERATURES):
        warnings.append(
            f"the temperature is at the bound {temperature:.4g} of the search; expected one near 1"
        )
    if absent := [name for c, name in enumerate(classes) if not np.any(gold == c)]:
        warnings.append(f"no row is labelled {', '.join(absent)}")
    return Fit(
        temperature,
        tuple(folds),
        uncalibrated,
        probabilities(logits, temperature, output_mask),
        cross_fitted,
        tuple(warnings),
    )


def _check(
    logits: np.ndarray,
    gold: np.ndarray,
    groups: Sequence[Any],
    classes: Sequence[str],
    output_mask: Sequence[float] | None,
) -> None:
    if len(gold) < FEWEST_ROWS:
        raise UserError(f"calibration needs {FEWEST_ROWS} labelled rows, found {len(gold)}")
    if bad := int(np.sum(~np.isfinite(logits).all(axis=1))):
        raise UserError(f"calibration needs finite logits, found {bad} rows of others")
    if len(np.unique(gold)) < 2:
        raise UserError(
            f"calibration needs rows of two classes; all {len(gold)} are {classes[gold[0]]}"
        )
    if len(set(groups)) < 2:
        raise UserError(f"calibration needs two groups; all {len(gold)} rows are of {groups[0]!r}")
    for c, factor in enumerate(output_mask or ()):
        if factor < EXCLUDED and (rows := int(np.sum(gold == c))):
            raise UserError(
                f"{rows} rows are labelled {classes[c]}, which the model's output mask excludes "
                f"(factor {factor:g}); leave them out"
            )


def probabilities(
    logits: np.ndarray, temperature: float, output_mask: Sequence[float] | None = None
) -> np.ndarray:
    """What a calibrated model says, renormalised: float64 [N, C] from raw logits."""
    return np.exp(_log_probabilities(logits, temperature, output_mask))


def _log_probabilities(
    logits: np.ndarray, temperature: float, output_mask: Sequence[float] | None
) -> np.ndarray:
    import scipy.special

    scaled = logits.astype(np.float64) / temperature
    if output_mask is not None:
        with np.errstate(divide="ignore"):  # A factor of 0 leaves the class no probability.
            scaled = scaled + np.log(np.asarray(output_mask, np.float64))
    return scipy.special.log_softmax(scaled, axis=1)


def fit_temperature(
    logits: np.ndarray, gold: np.ndarray, output_mask: Sequence[float] | None = None
) -> float:
    """The temperature within `TEMPERATURES` of the least log-loss; 1 where none is less than there.

    Without a mask the log-loss is convex in 1 / T (Guo et al. 2017), so what is found is the
    minimum.
    """
    import scipy.optimize

    def loss(log_temperature: float) -> float:
        log_probs = _log_probabilities(logits, math.exp(log_temperature), output_mask)
        return -float(log_probs[np.arange(len(gold)), gold].mean())

    bounds = tuple(map(math.log, TEMPERATURES))
    found = scipy.optimize.minimize_scalar(
        loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}
    )
    return math.exp(found.x) if found.fun < loss(0.0) else 1.0


def confidence(probs: np.ndarray) -> np.ndarray:
    """The share [N] of a row's largest probability: what thresholds of a calibration are of.

    Only behind an output mask do the probabilities [N, C] not sum to 1.
    """
    return probs.max(axis=1) / probs.sum(axis=1)


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


def make_calibration(
    fitted: Fit, gold: np.ndarray, *, data: str, split: str, label: str, fingerprint: str,
    step: int | None,
) -> Calibration:  # fmt: skip
    """What goes into the model description; arguments as in `Calibration`."""
    shares = np.bincount(gold, minlength=fitted.fitted.shape[1]) / len(gold)
    return Calibration(
        temperature=fitted.temperature,
        prior=tuple(shares.tolist()),
        rows=len(gold),
        data=data,
        split=split,
        label=label,
        fingerprint=fingerprint,
        step=step,
        coverage=coverage_curve(gold, fitted.fitted),
    )


def figures_of(gold: np.ndarray, probs: np.ndarray) -> dict[str, float]:
    """Accuracy, log-loss and calibration error of probabilities [N, C]."""
    return {
        "accuracy": float(np.mean(probs.argmax(axis=1) == gold)),
        "log_loss": metrics.log_loss(gold, probs),
        "calibration_error": metrics.calibration_error(gold, probs),
    }


def threshold_for_coverage(calibration: Calibration, coverage: float) -> float:
    """The largest threshold of confidence that still keeps a share of `coverage` of the rows."""
    if not 0 < coverage <= 1:
        raise UserError(f"coverage must be above 0 and at most 1, found {coverage}")
    return max(p.threshold for p in calibration.coverage if p.coverage >= coverage)


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
