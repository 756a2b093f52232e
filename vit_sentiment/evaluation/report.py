"""The report of an evaluation: one HTML file."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from input_pipeline import pixels
from input_pipeline.records import UNKNOWN
from input_pipeline.sources import Source
from vit_sentiment.evaluation import metrics
from vit_sentiment.evaluation.judge import Predictions
from vit_sentiment.reporting import figures, html

MOST_PHOTOS = 12
_THUMBNAIL = 176


def summary(result: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of the table that stands on top: student, teacher, majority."""
    model, teacher = result["model"], result["teacher"]
    header = ["", "rows", "accuracy", "95 % interval", "macro-F1", "macro recall", "ROC-AUC"]
    header += ["log-loss", "calibration error"]
    low, high = model["interval_95"]["accuracy"]
    rows = [["student" if teacher else "model", model["rows"], model["accuracy"]]]
    rows[0] += [f"{low:.4f} to {high:.4f}", model["macro_f1"], model["macro_recall"]]
    rows[0] += [model["roc_auc"], model["log_loss"], model["calibration_error"]]
    if teacher:
        shown = [teacher["rows"], teacher["accuracy"], None, teacher["macro_f1"]]
        rows.append(["teacher (text)", *shown, teacher["macro_recall"], None, None, None])
    rows.append(["majority class", model["rows"], model["majority"], *[None] * 6])
    return header, rows


def per_class(result: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of the table of classes."""
    names = ("precision", "recall", "f1", "support")
    rows = [
        [name, *(values[key] for key in names)]
        for name, values in result["model"]["per_class"].items()
    ]
    return ["class", *names], rows


def report(
    title: str,
    result: dict[str, Any],
    source: Source,
    predicted: Predictions,
    log: Sequence[dict[str, Any]],
    facts: dict[str, Any],
    *,
    with_photos: bool,
) -> str:
    """The whole document.

    Args:
      log: the training run's metric log; may be empty.
      facts: what the manifest tells, shown at the end.
      with_photos: embeds the most confident mistakes; photos of tweets are their owners'.
    """
    gold = source.labels(result["label"])
    scored = predicted.readable & (gold != UNKNOWN)
    rows, confidence, accuracy = metrics.reliability(gold[scored], predicted.probs[scored])
    parts = [
        html.paragraph(
            f"{result['scored']:,} photos of {source.name} {source.split}, scored against their "
            f"{result['label'].replace('_', ' ')}; {result['unlabelled']:,} without a label and "
            f"{result['unreadable']:,} unreadable are left out."
        ),
        *(html.warning(text) for text in result["warnings"]),
        html.table(*summary(result)),
        html.table(*per_class(result)),
        html.heading("Confusion and calibration"),
        html.figure(
            figures.confusion_matrix(result["model"]["confusion_matrix"], source.classes),
            "Rows and, in percent, the share of the gold class.",
        ),
        html.figure(
            figures.reliability(rows, confidence, accuracy),
            f"Accuracy against confidence in {metrics.ECE_BINS} bins; the area of a point is its "
            "share of the rows.",
        ),
    ]
    if log:
        parts += [
            html.heading("Training"),
            html.figure(
                figures.training_curves(log), "Training metrics are averages between rows."
            ),
        ]
    if with_photos:
        parts += [
            html.heading("Most confident mistakes"),
            html.photos(_mistakes(source, predicted, gold, scored)),
        ]
    parts += [html.heading("Made from"), html.table(["fact", "value"], facts.items())]
    return html.page(title, parts)


def _mistakes(
    source: Source, predicted: Predictions, gold: np.ndarray, scored: np.ndarray
) -> list[tuple[bytes, str]]:
    guess, confidence = predicted.probs.argmax(axis=1), predicted.probs.max(axis=1)
    wrong = np.flatnonzero(scored & (guess != gold))
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST_PHOTOS]
    shown = []
    for number in worst:
        image = pixels.decode(source.data.__getitems__([int(number)])[0]["image"])
        scale = _THUMBNAIL / max(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1].tobytes()
        caption = (
            f"{source.index['id'][int(number)]}: {source.classes[guess[number]]} "
            f"({confidence[number]:.2f}), gold {source.classes[gold[number]]}"
        )
        shown.append((jpeg, caption))
    return shown
