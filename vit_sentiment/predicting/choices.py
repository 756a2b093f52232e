"""How labels are chosen: thresholds from the calibration, and class shares that are known."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vit_sentiment.evaluation.coverage import threshold_for_accuracy, threshold_for_coverage
from vit_sentiment.evaluation.priors import prior_corrected
from vit_sentiment.inference.decision import Rule, classes
from vit_sentiment.inference.photos import Outcome
from vit_sentiment.models.calibration import Calibration
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Choice:
    """A rule, and class shares to correct probabilities for before it, or None."""

    rule: Rule
    prior: tuple[float, ...] | None = None


def choose(
    description: ModelDescription,
    *,
    binary: bool = False,
    threshold: float | None = None,
    abstain: float | None = None,
    accuracy: float | None = None,
    prior: Sequence[float] | None = None,
) -> Choice:
    """Settles how a model's probabilities become labels.

    Args:
      threshold: confidence that a label needs.
      abstain: instead, the share of photos that may stay without one.
      accuracy: instead, the share of right labels wanted among those given.
      prior: share of each class among the photos, if known.

    Raises:
      UserError: options exclude each other, or need a calibration that the model lacks.
    """
    given = [name for name, value in (("threshold", threshold), ("abstain", abstain),
                                      ("accuracy", accuracy)) if value is not None]  # fmt: skip
    if len(given) > 1:
        raise UserError(f"--{given[0]} and --{given[1]} exclude each other")
    if abstain is not None or accuracy is not None:
        if binary or prior is not None:
            other = "binary" if binary else "prior"
            raise UserError(
                f"--{given[0]}: thresholds of the calibration are not for --{other}; "
                "give --threshold"
            )
        known = _calibration(description, given[0])
        if abstain is not None:
            if not 0 <= abstain < 1:
                raise UserError(f"--abstain: expected a share of at least 0, below 1: {abstain}")
            threshold = threshold_for_coverage(known, 1 - abstain)
        else:
            threshold = threshold_for_accuracy(known, accuracy)
    if prior is not None:
        prior = tuple(prior)
        known = _calibration(description, "prior")
        prior_corrected(np.ones((1, description.num_classes)), known.prior, prior)
    rule = Rule(binary, threshold or 0.0)
    classes(description, rule)
    return Choice(rule, prior)


def corrected(outcome: Outcome, description: ModelDescription, choice: Choice) -> Outcome:
    """The outcome with probabilities for the shares that the choice knows of."""
    if choice.prior is None or not len(outcome.readable):
        return outcome
    known = _calibration(description, "prior")
    probs = prior_corrected(outcome.outputs["probs"], known.prior, choice.prior)
    outputs = {**outcome.outputs, "probs": probs.astype(np.float32)}
    return dataclasses.replace(outcome, outputs=outputs)


def _calibration(description: ModelDescription, option: str) -> Calibration:
    if description.calibration is None:
        raise UserError(
            f"--{option} needs a calibrated model; see python -m vit_sentiment.calibrate --help"
        )
    return description.calibration
