"""The ways of learning from a noisy teacher that the study compares, and the noises it draws."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from input_pipeline.demo_tweets import confusion
from input_pipeline.demo_tweets.confusion import Matrix

UNIFORM = 0.3
"""Share of the texts whose mood is drawn without a look at the photo."""


@dataclasses.dataclass(frozen=True)
class Noise:
    """How texts disagree with photos.

    Attributes:
      what: for the reader.
      matrix: P(mood of the text j | mood of the photo i) at [i, j].
      flag: how `input_pipeline.build --builder=demo_tweets` is told.
    """

    what: str
    matrix: Matrix
    flag: str


def _uniform(share: float) -> Matrix:
    keep = 1 - share + share / 3
    return tuple(tuple(keep if i == j else share / 3 for j in range(3)) for i in range(3))


NOISES: Mapping[str, Noise] = {
    "uniform": Noise(
        "30 % of the texts are drawn at random", _uniform(UNIFORM), f"--noise={UNIFORM}"
    ),
    "real": Noise(
        "texts are confused with photos as in real tweets",
        confusion.parse(confusion.REAL),
        f"--confusion={confusion.REAL}",
    ),
}

PLAIN = {"loss.soft_weight": 0.0, "loss.generalised_q": 0.0, "loss.noise_matrix": ()}
"""What the methods set; the rest of the config is the same for all of them."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A way of learning.

    Attributes:
      what: for the reader.
      changes: fields of the config that are not `PLAIN`.
      matrix: whence `loss.noise_matrix` comes: `estimated`, `given` by the drawing, or empty.
      filtered: whether it trains only where a second teacher agrees with the first.
    """

    what: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    matrix: str = ""
    filtered: bool = False


METHODS: Mapping[str, Method] = {
    "hard": Method("cross-entropy with the teacher's labels"),
    "soft": Method(
        "cross-entropy with the teacher's probabilities (Hinton et al. 2015)",
        {"loss.soft_weight": 1.0},
    ),
    "mixed": Method("half hard, half soft", {"loss.soft_weight": 0.5}),
    "forward": Method(
        "forward correction (Patrini et al. 2017) by a noise matrix that confident learning "
        "(Northcutt et al. 2021) estimates from the teacher's labels of the validation split and "
        "the student `hard`",
        matrix="estimated",
    ),
    "forward-given": Method(
        "the same by the matrix that the texts were drawn with, which nobody knows of real tweets",
        matrix="given",
    ),
    "gce": Method(
        "generalised cross-entropy with q = 0.7 (Zhang and Sabuncu 2018)",
        {"loss.generalised_q": 0.7},
    ),
    "agreement": Method(
        "hard, on the photos alone on whose label a second teacher agrees: a student like `hard` "
        "that never saw them, trained on the other half of the tweets (cross-fitting)",
        filtered=True,
    ),
}
