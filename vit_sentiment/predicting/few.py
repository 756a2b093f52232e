"""Predictions of photos that fit into a table, as CSV, JSON lines or on the terminal."""

import collections
import contextlib
import csv
import dataclasses
import functools
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

from vit_sentiment.evaluation.judge import COLUMNS
from vit_sentiment.inference import photos
from vit_sentiment.inference.decision import classes
from vit_sentiment.inference.model import Model
from vit_sentiment.inference.photos import Photo
from vit_sentiment.inference.predictions import Prediction, predictions
from vit_sentiment.predicting.choices import Choice, corrected
from vit_sentiment.predicting.explaining import figures
from vit_sentiment.predicting.given import SUFFIXES
from vit_sentiment.reporting.terminal import print_table
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress, say

STANDARD_OUTPUT = "-"

Write = Callable[[Prediction], None]


def predict(
    model: Model,
    given: Sequence[tuple[str, Photo]],
    choice: Choice,
    *,
    batch_size: int,
    csv_file: str | None = None,
    jsonl_file: str | None = None,
    strict: bool = False,
    explain: str | None = None,
) -> list[str]:
    """Predicts named photos; writes files, or prints a table where none is wanted.

    Args:
      csv_file, jsonl_file: `-` is standard output.
      strict: stop at the first photo that cannot be read, and write nothing.
      explain: folder for a figure of each photo that can be read.

    Returns:
      The names of the photos that cannot be read.
    """
    names = classes(model.description, choice.rule)
    draw = figures(model, explain) if explain is not None else None
    table: list[Prediction] = []
    counts: collections.Counter[str] = collections.Counter()
    bad = []
    with contextlib.ExitStack() as stack:
        writers: list[Write] = []
        for path, start in ((csv_file, _csv), (jsonl_file, _jsonl)):
            if path is not None:
                writers.append(start(stack.enter_context(_open(path)), names))
        tick = stack.enter_context(progress("predict", len(given), "photos"))
        found = _predictions(model, given, choice, batch_size)
        for (_, photo), prediction in zip(given, found, strict=True):
            if prediction.error is not None:
                if strict:
                    raise UserError(f"{prediction.path}: {prediction.error}")
                bad.append(prediction.path)
            elif draw is not None:
                draw(photo, prediction)
            for write in writers or (table.append,):
                write(prediction)
            counts[prediction.label or ("no label" if prediction.error is None else "error")] += 1
            tick()
    if not writers:
        print_table(("photo", "label", "confidence", *names), map(_row(names), table))
    if len(given) > 1:
        told = ", ".join(
            f"{counts[name]} {name}" for name in (*names, "no label", "error") if counts[name]
        )
        say(f"{len(given)} photos: {told}")
    return bad


def _predictions(
    model: Model, given: Sequence[tuple[str, Photo]], choice: Choice, batch_size: int
) -> Iterator[Prediction]:
    load = functools.partial(photos.load, description=model.description)
    forward = model.forward(min(batch_size, len(given)))
    names = iter(given)
    for outcome in photos.run(forward, (photo for _, photo in given), load, forward.sizes[-1]):
        outcome = corrected(outcome, model.description, choice)
        for prediction in predictions(outcome, model.description, choice.rule):
            yield dataclasses.replace(prediction, path=next(names)[0])


@contextlib.contextmanager
def _open(path: str) -> Iterator[TextIO]:
    if path == STANDARD_OUTPUT:
        sys.stdout.reconfigure(errors="surrogateescape")  # Names of files, as in a file.
        yield sys.stdout
        return
    if pathlib.Path(path).suffix.lower() in SUFFIXES:  # Of `--csv photo.jpg`, most likely.
        raise UserError(f"{path}: predictions are not written to a file that is named as a photo")
    with (
        files.replacing(pathlib.Path(path)) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        yield file


def _csv(file: TextIO, names: Sequence[str]) -> Write:
    writer = csv.writer(file, lineterminator="\n")
    columns = [COLUMNS.get(name, name) for name in names]
    writer.writerow(["path", *columns, "label", "confidence", "error"])

    def write(found: Prediction) -> None:
        probs = [_number(found.probs.get(name)) for name in names]
        confidence = _number(found.confidence)
        writer.writerow([found.path, *probs, found.label or "", confidence, found.error or ""])

    return write


def _number(value: float | None) -> str:
    """With the nine digits from which float32 reads back the same."""
    return "" if value is None else f"{value:.9g}"


def _jsonl(file: TextIO, names: Sequence[str]) -> Write:
    def write(found: Prediction) -> None:
        row = {
            "path": os.fsencode(found.path).decode(errors="replace"),
            "label": found.label,
            "confidence": found.confidence,
            "probs": dict(found.probs) or None,
            "error": found.error,
        }
        file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    return write


def _row(names: Sequence[str]) -> Callable[[Prediction], Sequence[Any]]:
    def row(found: Prediction) -> Sequence[Any]:
        label = f"error: {found.error}" if found.error is not None else found.label
        return (found.path, label, found.confidence, *map(found.probs.get, names))

    return row
