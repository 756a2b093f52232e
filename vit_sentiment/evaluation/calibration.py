"""Calibration on a labelled set: the temperature, and coverage against accuracy.

A temperature (Guo et al. 2017, arXiv 1706.04599) makes the probabilities as sure as they are right.
Where a model has an output mask, its probabilities are meant renormalised, here as in `coverage`:
the mask shifts logits by its logarithm, and the temperature divides what it shifts. Only there can
a temperature change the most probable class, where factors are neither 1 nor close to 0.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vit_sentiment.evaluation import metrics
from vit_sentiment.evaluation.coverage import confidence, coverage_curve, largest_threshold
from vit_sentiment.models.calibration import Calibration
from vit_sentiment.runtime.errors import UserError

TEMPERATURES = (0.05, 20.0)
"""Bounds of the search; what leaves them says nothing but "surely" or "by chance"."""
FEWEST_ROWS = 10
FOLDS = 5
ASKED = tuple(percent / 100 for percent in range(100, 0, -5))
"""Coverages whose thresholds the cross-fit tries."""
EXCLUDED = 1e-3
"""A class whose factor in the output mask is less than this is none of the model's."""
_AT_BOUND = 1e-3


class Abstaining(NamedTuple):
    """Asked to keep a share of photos, what share a threshold from other photos kept, and its
    accuracy; None where it kept nothing."""

    asked: float
    kept: float
    accuracy: float | None


@dataclasses.dataclass(frozen=True)
class Fit:
    """A temperature for a labelled set, and what it does to rows that it has not seen.

    Attributes:
      temperature: fitted on all rows.
      folds: temperatures of the cross-fit, each without a fifth of the groups.
      uncalibrated, fitted: probabilities float64 [N, C] at temperature 1 and `temperature`.
      cross_fitted: the same, each row at the temperature of the fold that has not seen its group.
      abstaining_before, abstaining: by the coverages in `ASKED`; thresholds come from the folds
        too, at temperature 1 and at theirs.
      warnings: why the temperature may not be worth much, a line each.
    """

    temperature: float
    folds: tuple[float, ...]
    uncalibrated: np.ndarray
    fitted: np.ndarray
    cross_fitted: np.ndarray
    abstaining_before: tuple[Abstaining, ...]
    abstaining: tuple[Abstaining, ...]
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
    uncalibrated = probabilities(logits, 1.0, output_mask)
    folds, cross_fitted = [], np.empty(logits.shape)
    kept_before, kept = np.empty((2, len(ASKED), len(gold)), np.bool_)
    splitter = GroupKFold(min(FOLDS, len(set(groups))))
    for train, test in splitter.split(logits, gold, groups):
        folds.append(fit_temperature(logits[train], gold[train], output_mask))
        probs = probabilities(logits, folds[-1], output_mask)
        cross_fitted[test] = probs[test]
        kept_before[:, test] = _kept(gold, uncalibrated, train, test)
        kept[:, test] = _kept(gold, probs, train, test)
    warnings = []
    if np.array_equal(uncalibrated.argmax(axis=1), gold):
        warnings.append("the model is right in every row, so nothing tells how sure it may be")
    elif any(abs(math.log(temperature / bound)) < _AT_BOUND for bound in TEMPERATURES):
        warnings.append(
            f"the temperature is at the bound {temperature:.4g} of the search; expected one near 1"
        )
    before, after = (metrics.log_loss(gold, probs) for probs in (uncalibrated, cross_fitted))
    if after > before:
        warnings.append(
            f"log-loss of rows that the temperature has not seen rises ({before:.4f} to "
            f"{after:.4f}); the model needs more rows, or none"
        )
    told = output_mask or [1.0] * len(classes)
    absent = [
        name for c, name in enumerate(classes) if told[c] >= EXCLUDED and not np.any(gold == c)
    ]
    if absent:
        warnings.append(f"no row is labelled {', '.join(absent)}")
    return Fit(
        temperature,
        tuple(folds),
        uncalibrated,
        probabilities(logits, temperature, output_mask),
        cross_fitted,
        _abstaining(kept_before, uncalibrated.argmax(axis=1) == gold),
        _abstaining(kept, cross_fitted.argmax(axis=1) == gold),
        tuple(warnings),
    )


def _kept(gold: np.ndarray, probs: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Which rows of `test` each threshold keeps that `train` gives for `ASKED`."""
    curve = coverage_curve(gold[train], probs[train])
    thresholds = [largest_threshold(curve, coverage) for coverage in ASKED]
    return confidence(probs[test]) >= np.array(thresholds)[:, None]


def _abstaining(kept: np.ndarray, correct: np.ndarray) -> tuple[Abstaining, ...]:
    return tuple(
        Abstaining(asked, float(rows.mean()), float(correct[rows].mean()) if rows.any() else None)
        for asked, rows in zip(ASKED, kept, strict=True)
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
        raise UserError(f"calibration needs two groups; all {len(gold)} rows are of {groups[0]}")
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

    The log-loss is convex in 1 / T, a sum of log-sum-exps of affine functions of it, so what is
    found is the minimum.
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
