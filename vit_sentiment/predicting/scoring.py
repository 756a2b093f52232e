"""The photos of a list through a model and into shards: one stream from the first to the last.

Each shard is filled with whole batches of its own, the last one padded, so that its bytes depend
neither on where a run was stopped nor on which host made it. Decoding and computing do not wait for
the end of a shard.
"""

import collections
import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from input_pipeline import pixels
from input_pipeline.text_files import is_text
from vit_sentiment.inference import photos
from vit_sentiment.inference.decision import ABSTAINED, classes, decide
from vit_sentiment.inference.model import Model
from vit_sentiment.inference.photos import Outcome
from vit_sentiment.inference.predictions import require_finite
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.predicting import listing
from vit_sentiment.predicting.choices import Choice, corrected
from vit_sentiment.predicting.listing import PhotoList
from vit_sentiment.predicting.scored_shards import Scored, Shards
from vit_sentiment.runtime import compilations
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress

_PADDING = "\0"
"""Fills a shard's last batch: the name of no file."""
_URL = re.compile(r"https?://", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Options:
    """What is scored, and where the results go.

    Attributes:
      list: file; see `listing.count`.
      column: of a table, the one with the photos' paths.
      images: folder that relative paths are under; None for the working folder.
      out: folder of the results.
      batch_size: photos at a time, over all local devices.
      rows_per_shard: photos in each shard but the last.
      part: (i, n) for every n-th shard from the i-th, counted from 0; None for all, and a summary.
      features: whether features are written, too.
      strict: whether the first photo that cannot be read ends the run.
    """

    list: str
    column: str
    images: str | None
    out: str
    batch_size: int
    rows_per_shard: int
    part: tuple[int, int] | None = None
    features: bool = False
    strict: bool = False


def score_shards(
    model: Model,
    choice: Choice,
    options: Options,
    photo_list: PhotoList,
    shards: Shards,
    mine: Sequence[int],
    missing: Sequence[int],
) -> int:
    """Writes the shards that are missing of those that this run is to see to.

    Returns:
      How many programs were compiled meanwhile: 0.

    Raises:
      UserError: the list was changed; the model gives NaN; a photo cannot be read (`strict`).
      RuntimeError: something was compiled.
    """
    forward = model.forward(options.batch_size)
    size = forward.sizes[-1]
    folder = pathlib.Path(options.images or "")
    load = functools.partial(_load, folder=folder, description=model.description)
    taken: collections.deque[tuple[int, list[str]]] = collections.deque()

    def given() -> Iterator[str]:
        wanted = set(missing)
        for number, paths in enumerate(listing.shards(photo_list, options.rows_per_shard)):
            if number in wanted:
                taken.append((number, paths))
                yield from paths
                yield from itertools.repeat(_PADDING, -len(paths) % size)

    def rows_of(numbers: Sequence[int]) -> int:
        missing_in_last = -photo_list.rows % options.rows_per_shard
        has_last = shards.total - 1 in numbers
        return len(numbers) * options.rows_per_shard - has_last * missing_in_last

    rows = rows_of(mine)
    parts: list[Scored] = []
    with (
        progress("predict", rows, "photos", rows - rows_of(missing)) as tick,
        contextlib.closing(photos.run(forward, given(), load, size)) as outcomes,
        compilations.counted() as compiled,
    ):
        for outcome in outcomes:
            number, paths = taken[0]
            here = paths[len(parts) * size :][:size]
            part = _scored(outcome, len(here), model.description, choice, options.features)
            if options.strict:
                _require_readable(photo_list.path, here, part.errors)
            parts.append(part)
            if len(parts) * size >= len(paths):
                shards.write(number, paths, _joined(parts))
                taken.popleft()
                parts = []
            tick(len(here))
        if compiled():
            raise RuntimeError(f"{compiled()} programs were compiled while photos were scored")
        return compiled()


def _load(path: str, folder: pathlib.Path, description: ModelDescription) -> np.ndarray:
    if not path:
        raise pixels.DecodeError("the list has no path here")
    if not is_text(path):
        raise pixels.DecodeError("the list has bytes here that are no text")
    # One thread a core is for decoding, not for waiting; and what hosts answer changes.
    if _URL.match(path):
        raise pixels.DecodeError("a URL, expected a file; fetch the photos first")
    return photos.load(os.path.join(folder, path), description)


def _require_readable(
    path: pathlib.Path, here: Sequence[str], errors: Sequence[str | None]
) -> None:
    for photo, error in zip(here, errors, strict=True):
        if error is not None:
            raise UserError(f"{path}: {photo}: {error}")


def _scored(
    outcome: Outcome, rows: int, description: ModelDescription, choice: Choice, features: bool
) -> Scored:
    """Of the first `rows` photos of a batch; those behind them are padding."""
    probs = np.zeros((rows, len(classes(description, choice.rule))), np.float32)
    label, confidence = np.full(rows, ABSTAINED), np.zeros(rows, np.float32)
    vectors = np.zeros((rows, description.hidden_size if features else 0), np.float32)
    if len(readable := outcome.readable):
        require_finite(outcome.outputs["probs"])
        decided = decide(
            corrected(outcome, description, choice).outputs["probs"], description, choice.rule
        )
        probs[readable], label[readable] = decided.probs, decided.label
        confidence[readable] = decided.confidence
        if features:
            require_finite(outcome.outputs["features"])
            vectors[readable] = outcome.outputs["features"]
    errors = [None if error is None else str(error) for error in outcome.errors[:rows]]
    return Scored(probs, label, confidence, errors, vectors if features else None)


def _joined(parts: Sequence[Scored]) -> Scored:
    def join(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    errors = [error for part in parts for error in part.errors]
    features = None if parts[0].features is None else join("features")
    return Scored(join("probs"), join("label"), join("confidence"), errors, features)
