"""What was learned on a labelled set about a model's probabilities; part of its description."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from vit_sentiment.runtime.errors import UserError


class CoveragePoint(NamedTuple):
    """Of the rows with a confidence of at least `threshold`: their share, and their accuracy."""

    threshold: float
    coverage: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Temperature, class shares and coverage-accuracy curve on a labelled set.

    Attributes:
      temperature: what logits are divided by before the softmax.
      prior: share of each class among the labels of the set, in the order of the logits.
      rows: photos in the set.
      data, split, label, fingerprint: the set, and which label it was judged by.
      step: of the checkpoint in the workdir that was calibrated; None for a weight file.
      coverage: the curve at the calibrated probabilities, from threshold 0 (everything) upwards.
    """

    temperature: float
    prior: tuple[float, ...]
    rows: int
    data: str
    split: str
    label: str
    fingerprint: str
    step: int | None
    coverage: tuple[CoveragePoint, ...]

    def __post_init__(self) -> None:
        try:  # JSON gives lists, and anything that somebody wrote into it.
            values = {
                "temperature": float(self.temperature),
                "prior": tuple(float(share) for share in self.prior),
                "coverage": tuple(CoveragePoint(*map(float, point)) for point in self.coverage),
            }
        except (TypeError, ValueError) as error:
            raise UserError(
                "calibration: temperature, prior and coverage must be numbers, prior a list and "
                f"coverage a list of triples: {error}"
            ) from error
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if problems := self._problems():
            raise UserError(f"calibration: {'; '.join(problems)}")

    def _problems(self) -> list[str]:
        problems = []
        if not 0 < self.temperature < math.inf:
            problems.append(f"temperature must be above 0 and finite, found {self.temperature}")
        shares = all(0 <= share <= 1 for share in self.prior)
        if not shares or not math.isclose(sum(self.prior), 1, abs_tol=1e-6):
            problems.append(f"prior must be shares that sum to 1, found {self.prior}")
        for name in ("data", "split", "label", "fingerprint"):
            if not isinstance(getattr(self, name), str):
                problems.append(f"{name} must be text, found {getattr(self, name)!r}")
        for name, least in (("rows", 1), ("step", 0)):
            value = getattr(self, name)
            if name == "step" and value is None:
                continue
            if type(value) is not int or value < least:
                problems.append(f"{name} must be a whole number from {least}, found {value!r}")
        thresholds = [point.threshold for point in self.coverage]
        inside = all(0 <= value <= 1 for point in self.coverage for value in point)
        if not inside or thresholds != sorted(set(thresholds)) or thresholds[:1] != [0.0]:
            problems.append(
                "coverage must be triples (threshold, coverage, accuracy) within 0 and 1, with "
                "thresholds that rise from 0"
            )
        return problems

    @classmethod
    def from_json(cls, value: Any, where: str) -> "Calibration":
        """Reads the JSON object of the fields; raises UserError that names `where`."""
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: calibration must be an object, found {value!r}")
        fields = {field.name for field in dataclasses.fields(cls)}
        if fields != set(value):
            missing, unknown = sorted(fields - set(value)), sorted(set(value) - fields)
            raise UserError(f"{where}: calibration: missing {missing}, unknown {unknown}")
        try:
            return cls(**value)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
