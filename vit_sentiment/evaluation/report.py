"""The report of an evaluation: one HTML file."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from input_pipeline import pixels
from input_pipeline.records import UNKNOWN
from input_pipeline.sources import Source
from vit_sentiment.evaluation import metrics
from vit_sentiment.evaluation.judge import Predictions
from vit_sentiment.reporting import curves, figures, html

MOST_PHOTOS = 12
_THUMBNAIL = 176
_REST = ("macro_f1", "macro_recall", "roc_auc", "log_loss", "calibration_error")

ONE_SEED = (
    "These are the figures of one run, and another seed gives others: `train --seeds=0,1,2`, then "
    "`evaluate --workdir=DIR`, tells mean and deviation."
)

NO_PROBE = (
    "No probe of these photos was found: `python -m vit_sentiment.probe --weights=...` on the same "
    "data puts the cheap baseline beside the student."
)


def row(name: str, values: Mapping[str, Any]) -> list[Any]:
    """A row of the summary from what `metrics.evaluate` gave, or a part of it."""
    interval = values.get("interval_95")
    shown = "{:.4f} to {:.4f}".format(*interval["accuracy"]) if interval else None
    cells = [name, values["rows"], values["accuracy"], values.get("deviation"), shown]
    return cells + [values.get(key) for key in _REST]


def summary(result: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of the table that stands on top: student, probes, teacher, majority.

    Args:
      result: see `single.evaluate`.
    """
    model, teacher = result["model"], result["teacher"]
    header = ["", "rows", "accuracy", "deviation", "95 % interval", "macro-F1", "macro recall"]
    header += ["ROC-AUC", "log-loss", "calibration error"]
    whose = "student" if teacher else "model"
    rows = [row(f"{whose}, 1 seed", model)]
    if result["ema"]:
        rows.append(row(f"{whose}, moving average, 1 seed", result["ema"]))
    rows += [row(probe["name"], probe) for probe in result["probes"]]
    if teacher:
        rows.append(row("teacher (text)", teacher))
    majority = {"rows": model["rows"], "accuracy": model["majority"]}
    return header, [*rows, row("majority class", majority)]


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
    model = result["model"]
    told = (
        f"Accuracy {model['accuracy']:.4f} and macro-F1 {model['macro_f1']:.4f} on "
        f"{result['scored']:,} photos of {source.name} {source.split}, scored against their "
        f"{result['label'].replace('_', ' ')}; always naming the most frequent class has "
        f"{model['majority']:.4f}. {result['unlabelled']:,} photos without a label and "
        f"{result['unreadable']:,} unreadable are left out."
    )
    figures_ = [
        html.table(*summary(result)),
        html.paragraph(ONE_SEED),
        *([] if result["probes"] else [html.paragraph(NO_PROBE)]),
        html.table(*per_class(result)),
    ]
    confusion = [
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
    sections = [("Figures", figures_), ("Confusion and calibration", confusion)]
    if log:
        svg = curves.training_curves(log)
        sections.append(("Training", [html.figure(svg, curves.CAPTION)]))
    if with_photos:
        mistakes = html.photos(_mistakes(source, predicted, gold, scored))
        sections.append(("Most confident mistakes", [mistakes]))
    return html.page(title, told, sections, facts, warnings=result["warnings"])


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
