"""From probabilities to a label, or to none where the model is not confident enough."""

import dataclasses

import numpy as np

from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError

ABSTAINED = -1

_ENDS = ("negative", "positive")


@dataclasses.dataclass(frozen=True)
class Rule:
    """How labels are chosen.

    Attributes:
      binary: negative or positive alone; the greater of the two wins, and a tie is negative, as in
        the original's benchmarks.
      threshold: the confidence below which a photo gets no label.
    """

    binary: bool = False
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise UserError(f"threshold: expected a confidence of 0 to 1, found {self.threshold}")


@dataclasses.dataclass(frozen=True)
class Decided:
    """Of N photos.

    Attributes:
      probs: float32 [N, C], of the classes that were to be told apart.
      label: class number [N] into those, or `ABSTAINED`.
      confidence: share of the largest probability [N].
    """

    probs: np.ndarray
    label: np.ndarray
    confidence: np.ndarray


def confidence(probs: np.ndarray) -> np.ndarray:
    """The share [N] of a row's largest probability: what thresholds of a calibration are of.

    Only behind an output mask do the probabilities [N, C] not sum to 1; where it leaves nothing at
    all, confidence is 0.
    """
    total = probs.sum(axis=1)
    return np.divide(probs.max(axis=1), total, out=np.zeros_like(total), where=total > 0)


def classes(description: ModelDescription, rule: Rule) -> tuple[str, ...]:
    """Names of the classes that the rule tells apart, in the order of their columns.

    Raises:
      UserError: the model has no head, or no negative and positive for a binary rule.
    """
    if not description.num_classes:
        raise UserError("the model has no head and gives no probabilities; it has features alone")
    names = description.classes or tuple(f"class {i}" for i in range(description.num_classes))
    if not rule.binary:
        return names
    if not set(_ENDS) <= set(names):
        raise UserError(f"binary: expected classes {' and '.join(_ENDS)}, found {', '.join(names)}")
    return _ENDS


def decide(probs: np.ndarray, description: ModelDescription, rule: Rule) -> Decided:
    """Labels by a rule of a model's probabilities [N, C]; see `classes` for what is raised."""
    if rule.binary:
        classes(description, rule)
        ends = probs[:, [description.classes.index(end) for end in _ENDS]]
        total = ends.sum(axis=1, keepdims=True)
        probs = np.divide(ends, total, out=np.full_like(ends, 0.5), where=total > 0)
    confident = confidence(probs)
    label = np.where(confident >= rule.threshold, probs.argmax(axis=1), ABSTAINED)
    return Decided(probs, label, confident)
