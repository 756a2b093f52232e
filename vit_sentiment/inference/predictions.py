"""What a model says of one photo, in a form for people and files."""

import dataclasses
import os
from collections.abc import Iterator, Mapping

import numpy as np

from vit_sentiment.inference.decision import ABSTAINED, Rule, classes, decide
from vit_sentiment.inference.photos import Outcome, Photo
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of one photo.

    Attributes:
      label: the class, or None where the model abstains or the photo cannot be read.
      confidence: share of the largest probability, 0 to 1; None where the photo cannot be read.
      probs: probability of each class by name; empty where the photo cannot be read.
      path: of the photo, if it was given by one.
      error: why the photo cannot be read, or None.
    """

    label: str | None
    confidence: float | None
    probs: Mapping[str, float]
    path: str | None = None
    error: str | None = None


def predictions(
    outcome: Outcome, description: ModelDescription, rule: Rule
) -> Iterator[Prediction]:
    """The predictions of a batch, in the order of its photos.

    Raises:
      UserError: the model gives NaN.
    """
    names = classes(description, rule)
    found = {}
    if len(outcome.readable):
        probs = outcome.outputs["probs"]
        require_finite(probs)
        decided = decide(probs, description, rule)
        for row, number in enumerate(outcome.readable):
            label = decided.label[row]
            found[int(number)] = Prediction(
                None if label == ABSTAINED else names[label],
                float(decided.confidence[row]),
                dict(zip(names, map(float, decided.probs[row]), strict=True)),
            )
    for number, (photo, error) in enumerate(zip(outcome.photos, outcome.errors, strict=True)):
        prediction = found.get(number) or Prediction(None, None, {}, error=str(error))
        yield dataclasses.replace(prediction, path=_path(photo))


def require_finite(values: np.ndarray) -> None:
    """Raises UserError where outputs [N, C] are NaN or infinite."""
    if bad := int(np.sum(~np.isfinite(values).all(axis=1))):
        raise UserError(
            f"the model gives NaN for {bad} of {len(values)} photos; its weights are damaged"
        )


def _path(photo: Photo) -> str | None:
    return os.fspath(photo) if isinstance(photo, str | os.PathLike) else None
