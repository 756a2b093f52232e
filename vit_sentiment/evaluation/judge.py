"""Judging a model on a split: predictions, metrics, the teacher and the majority beside it."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
import polars as pl

from input_pipeline import pixels
from input_pipeline.loader import LoadSettings, evaluation_batches
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, UNKNOWN
from input_pipeline.sources import Source
from vit_sentiment.evaluation import metrics
from vit_sentiment.inference.forward import batch_outputs
from vit_sentiment.inference.model import Model
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress

COLUMNS = {name: name[:3].upper() for name in CLASSES}
"""NEG, NEU, POS: the original's names of the columns of probabilities."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Probabilities for every row of a source, in order.

    Attributes:
      probs: float32 [N, C]; meaningless where `readable` is False.
      readable: bool [N].
      logits: the model's raw ones, float32 [N, C]; None where probabilities are all there is.
    """

    probs: np.ndarray
    readable: np.ndarray
    logits: np.ndarray | None = None


def check_classes(model: Model, source: Source) -> None:
    """Raises UserError unless the model tells the classes that the source has."""
    description = model.description
    if not description.num_classes:
        raise UserError(f"{model.source}: has no head; train one first")
    if tuple(description.classes) != source.classes:
        raise UserError(
            f"{model.source} tells {description.num_classes} classes "
            f"{list(description.classes)}, {source.name} has {list(source.classes)}"
        )


def predictions(
    model: Model, source: Source, *, batch_size: int, on_error: str = "fail"
) -> Predictions:
    """Runs the model over a source whose classes are the model's.

    Raises:
      UserError: a photo is unreadable (`fail`); the model gives NaN.
    """
    description = model.description
    settings = LoadSettings(
        description.image_size, description.pixel_mode, "human_label", on_error=on_error
    )
    probs = np.zeros((len(source), description.num_classes), np.float32)
    logits = np.zeros_like(probs)
    readable = np.zeros(len(source), np.bool_)
    with (
        evaluation_batches(source, settings, batch_size=batch_size) as batches,
        progress(f"evaluate {source.split}".strip(), len(source), "images") as tick,
    ):
        for batch, outputs in batch_outputs(model.description, model.params, batches):
            real = batch["index"] >= 0
            rows = batch["index"][real]
            probs[rows] = outputs["probs"][real]
            logits[rows] = outputs["logits"][real]
            readable[rows] = batch["mask"][real]
            tick(len(rows))
    if bad := int(np.sum(~np.isfinite(probs[readable]).all(axis=1))):
        raise UserError(f"{model.source}: gives NaN for {bad} photos; the weights are damaged")
    return Predictions(probs, readable, logits)


def note_unreadable(source: Source, predicted: Predictions, problems: Problems) -> None:
    """Lists the photos that did not decode, with the reason and, for a table, file and line."""
    for number in np.flatnonzero(~predicted.readable):
        (example,) = source.data.__getitems__([int(number)])
        try:
            if isinstance(example["image"], pixels.DecodeError):
                raise example["image"]
            pixels.decode(example["image"])
        except pixels.DecodeError as error:
            problems.add(source.data.place(int(number)), example["id"], str(error))


def judge(source: Source, predicted: Predictions, label: str) -> dict[str, Any]:
    """Metrics of the predictions against `label`, with the teacher's on the same rows.

    Args:
      label: `human_label` or `teacher_label`; rows without one are not scored.

    Returns:
      JSON values: `model` (see `metrics.evaluate`), `teacher` (the same in short, or None where
      the label is the teacher's or there is no teacher), `label`, `scored`, `unlabelled` and
      `unreadable` rows.
    """
    gold = source.labels(label)
    scored = predicted.readable & (gold != UNKNOWN)
    if not scored.any():
        raise UserError(f"{source.name}, split {source.split}: no readable row has a {label}")
    groups = source.index["group"].to_numpy()
    return {
        "label": label,
        "scored": int(scored.sum()),
        "unlabelled": int((gold == UNKNOWN).sum()),
        "unreadable": int((~predicted.readable).sum()),
        "model": metrics.evaluate(
            gold[scored], predicted.probs[scored], groups[scored], source.classes
        ),
        "teacher": _teacher(source, scored, gold) if label == "human_label" else None,
    }


def _teacher(source: Source, scored: np.ndarray, gold: np.ndarray) -> dict[str, Any] | None:
    labels = source.labels("teacher_label")
    scored = scored & (labels != UNKNOWN)
    if not scored.any():
        return None
    counts = metrics.confusion_matrix(gold[scored], labels[scored], len(source.classes))
    values = metrics.from_confusion(counts)
    return {
        "rows": int(scored.sum()),
        **{name: float(values[name]) for name in ("accuracy", "macro_f1", "macro_recall")},
        "confusion_matrix": counts.tolist(),
    }


def default_label(source: Source) -> str:
    """`human_label` where there are any, else `teacher_label`."""
    return "human_label" if (source.labels("human_label") != UNKNOWN).any() else "teacher_label"


def leaked_groups(training: np.ndarray, source: Source) -> int:
    """How many groups of the source are among the hashes of those that were trained on."""
    return int(np.isin(source.group_hashes(), training).sum())


def leak_warnings(training: pathlib.Path, source: Source, consequence: str) -> list[str]:
    """Warnings of groups that the model has trained on, by the file of their hashes."""
    if not training.exists():
        return [f"{training} is missing, so photos that the model was trained on cannot be found"]
    leaked = leaked_groups(np.load(training), source)
    if not leaked:
        return []
    groups = source.index["group"].n_unique()
    return [f"{leaked} of {groups} groups (tweets) were in the training data; {consequence}"]


def write_predictions(path: str | os.PathLike[str], source: Source, predicted: Predictions) -> None:
    """Writes the CSV `path,NEG,NEU,POS,label,error`: one row for each of the source, in order."""
    names = [COLUMNS.get(name, name) for name in source.classes]
    table = pl.DataFrame(
        {
            "path": source.index["id"],
            **{name: predicted.probs[:, i] for i, name in enumerate(names)},
            "label": np.array(source.classes)[predicted.probs.argmax(axis=1)],
            "error": np.where(predicted.readable, "", "unreadable"),
        }
    )
    known = pl.col("error") == ""
    table = table.with_columns(pl.when(known).then(pl.col(c)).alias(c) for c in (*names, "label"))
    with files.replacing(pathlib.Path(path)) as temporary:
        table.write_csv(temporary)
