"""Models by name, workdir or file, and what they say of photos."""

import dataclasses
import functools
import io
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Unpack, overload

import numpy as np
from PIL import Image

from checkpoints import formats, trees
from vit_sentiment.inference import decision, photos
from vit_sentiment.inference.decision import Rule
from vit_sentiment.inference.forward import Forward, compile
from vit_sentiment.inference.photos import Photo
from vit_sentiment.inference.predictions import Prediction, predictions
from vit_sentiment.models.classifier import Params
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError

BATCH_SIZE = 32
"""Photos at a time, of many."""

_COMPILING = threading.Lock()
"""Threads that predict at once compile once."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A description, the parameters that go with it and where they came from.

    Attributes:
      source: the file, or the workdir and the step.
      step: of a workdir's checkpoint; None for a file.
    """

    description: ModelDescription
    params: Params
    source: str
    step: int | None = None

    @functools.cached_property
    def model_id(self) -> str:
        """Hash of the weights."""
        return trees.model_id(self.params)

    @overload
    def predict(
        self, photo: Photo, *, binary: bool = ..., threshold: float = ...
    ) -> Prediction: ...

    @overload
    def predict(
        self, photo: Iterable[Photo], *, binary: bool = ..., threshold: float = ...
    ) -> list[Prediction]: ...

    def predict(self, photo, *, binary=False, threshold=0.0):
        """The sentiment of a photo, or of each of several.

        A photo is a path, the bytes of an image file, an image of Pillow's or RGB pixels uint8
        [h, w, 3]; an array uint8 [n, h, w, 3] is n photos.

        Args:
          binary: negative or positive alone, as in the original's benchmarks.
          threshold: confidence below which the label is None.

        Returns:
          A `Prediction`, or a list of them in the order of the photos. Of several photos those
          that cannot be read have an `error`.

        Raises:
          UserError: the one photo cannot be read; the model has no head.

        >>> model = vit_sentiment.load("model.npz")
        >>> prediction = model.predict("photo.jpg")
        >>> prediction.label
        'positive'
        >>> {name: round(share, 2) for name, share in prediction.probs.items()}
        {'negative': 0.0, 'neutral': 0.05, 'positive': 0.95}
        >>> [found.label for found in model.predict(["photo.jpg", "other.jpg"])]
        ['positive', 'negative']
        >>> model.predict(["photo.jpg", "not_there.jpg"])[1].error
        'no such file'
        """
        rule = Rule(binary, threshold)
        if _is_one(photo):
            (found,) = self._predict([photo], rule, 1)
            if found.error is not None:
                raise UserError(f"{found.path}: {found.error}" if found.path else found.error)
            return found
        return list(self._predict(photo, rule, BATCH_SIZE))

    def _predict(self, given: Iterable[Photo], rule: Rule, batch_size: int) -> Iterator[Prediction]:
        load = functools.partial(photos.load, description=self.description)
        decision.classes(self.description, rule)  # Before anything is compiled.
        for outcome in photos.run(self.forward(batch_size), given, load, batch_size):
            yield from predictions(outcome, self.description, rule)

    def forward(self, size: int) -> Forward:
        """The compiled forward path for batches of a size; compiled on first use, then kept."""
        with _COMPILING:
            if size not in self._forward:
                self._forward[size] = compile(self.description, self.params, (size,))
            return self._forward[size]

    @functools.cached_property
    def _forward(self) -> dict[int, Forward]:
        return {}


def _is_one(photo: Any) -> bool:
    """Grey pixels are one photo, too, though not of the form that is wanted.

    Raises:
      TypeError: iterating would give the bytes or lines of one photo.
    """
    if isinstance(photo, str | bytes | os.PathLike | Image.Image):
        return True
    if isinstance(photo, bytearray | memoryview | io.IOBase):
        raise TypeError(f"a photo: expected bytes, found {type(photo).__name__}")
    return isinstance(photo, np.ndarray) and photo.ndim in (2, 3)


def load(name: str | os.PathLike[str], **hints: Unpack[formats.Hints]) -> Model:
    """Loads a model by the name of a published one, or from a file or folder.

    Args:
      name: an `.npz` or Keras file, a run's workdir, a Hugging Face folder, or what else
        `formats.read` takes.
      hints: what the weights cannot tell, such as `checkpoint="latest"` or `gelu="exact"`.

    Raises:
      UserError: nothing usable is there, or a fact is missing that only the user can give.
    """
    restored = formats.restore(name, **hints)
    formats.require_known(restored.described, str(name))
    description = restored.described.description
    return Model(description, restored.params, restored.source, restored.step)
