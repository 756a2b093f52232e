"""How good a teacher is on labelled tweets: figures, tables and the report."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from input_pipeline.records import CLASSES
from vit_sentiment.distillation import shards, teachers
from vit_sentiment.distillation.labelled_texts import LabelledTexts
from vit_sentiment.distillation.teachers import Teacher
from vit_sentiment.evaluation import coverage, metrics
from vit_sentiment.evaluation.calibration_report import SHOWN
from vit_sentiment.models.calibration import CoveragePoint
from vit_sentiment.reporting import figures, html, manifest
from vit_sentiment.runtime import files
from vit_sentiment.runtime.progress import progress

METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.csv"
COVERAGE_FILE = "coverage.csv"
REPORT_FILE = "report.html"

Table = tuple[list[str], list[list[Any]]]


def label(teacher: Teacher, texts: Sequence[str]) -> np.ndarray:
    """The teacher's probabilities of texts as people wrote them: float32 [N, 3]."""
    parts = [texts[start : start + shards.ROWS] for start in range(0, len(texts), shards.ROWS)]
    cleaned = ([teachers.clean_up(text) for text in part] for part in parts)
    with progress("teacher", len(texts), "tweets") as tick:
        return np.concatenate([teachers.finite(probs) for probs in teacher.label(cleaned, tick)])


def judge(tweets: LabelledTexts, probs: np.ndarray) -> dict[str, Any]:
    """JSON values: what `metrics.evaluate` gives, and `coverage`, points of the curve."""
    figures_ = metrics.evaluate(tweets.labels, probs, tweets.ids, CLASSES)
    curve = coverage.coverage_curve(tweets.labels, probs)
    return figures_ | {
        "label": tweets.label,
        "unlabelled": tweets.unlabelled,
        "coverage": [point._asdict() for point in curve],
    }


def summary(name: str, result: dict[str, Any]) -> Table:
    """Header and rows: the teacher, and always naming the most frequent class."""
    low, high = result["interval_95"]["accuracy"]
    keys = ("macro_recall", "macro_f1", "log_loss", "calibration_error")
    header = ["", "tweets", "accuracy", "95 % interval", "macro recall", "macro-F1", "log-loss"]
    rows = [
        [name, result["rows"], result["accuracy"], f"{low:.4f} to {high:.4f}"]
        + [result[key] for key in keys],
        ["majority class", result["rows"], result["majority"], *[None] * 5],
    ]
    return [*header, "calibration error"], rows


def class_table(result: dict[str, Any]) -> Table:
    """Header and rows: figures of each class, and what its tweets were taken for."""
    names = ("precision", "recall", "f1", "support")
    rows = [
        [name, *(values[key] for key in names), *counts]
        for (name, values), counts in zip(
            result["per_class"].items(), result["confusion_matrix"], strict=True
        )
    ]
    return ["class", *names, *(f"taken for {name}" for name in CLASSES)], rows


def coverage_table(result: dict[str, Any]) -> Table:
    """Header and rows: the largest thresholds that still keep shares of the tweets."""
    curve = [CoveragePoint(**point) for point in result["coverage"]]
    at = {point.threshold: point for point in curve}
    rows = []
    for asked in SHOWN:
        point = at[coverage.largest_threshold(curve, asked)]
        rows.append([f"{asked:.0%}", *point])
    return ["coverage asked", "confidence at least", "coverage", "accuracy"], rows


def report(title: str, name: str, result: dict[str, Any], tweets, probs, facts) -> str:
    """The whole document; `facts` close it."""
    curve = [(point["coverage"], point["accuracy"]) for point in result["coverage"]]
    told = (
        f"Accuracy {result['accuracy']:.4f} and macro-F1 {result['macro_f1']:.4f} on "
        f"{result['rows']:,} tweets, scored against their {result['label']}; "
        f"{result['unlabelled']:,} without one are left out."
    )
    confusion = [
        html.figure(
            figures.confusion_matrix(result["confusion_matrix"], CLASSES),
            "Tweets and, in percent, the share of the gold class.",
        ),
        html.figure(
            figures.reliability(*metrics.reliability(tweets.labels, probs)),
            f"Accuracy against confidence in {metrics.ECE_BINS} bins; the area of a point is its "
            "share of the tweets.",
        ),
    ]
    above = [
        html.figure(
            figures.coverage_accuracy({name: curve}),
            "Accuracy on the tweets above a threshold of confidence, by their share.",
        ),
        html.table(*coverage_table(result)),
    ]
    sections = [
        ("Figures", [html.table(*summary(name, result)), html.table(*class_table(result))]),
        ("Confusion and calibration", confusion),
        ("Coverage against confidence", above),
    ]
    return html.page(title, told, sections, facts)


def write(
    out: pathlib.Path,
    name: str,
    tweets: LabelledTexts,
    probs: np.ndarray,
    result: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    """Writes metrics, predictions, the coverage curve, manifest and report; no text of a tweet."""
    names = np.array(CLASSES)
    predictions = teachers.to_table(tweets.ids, probs).with_columns(
        label=names[probs.argmax(axis=1)], gold=names[tweets.labels]
    )
    tables = {PREDICTIONS_FILE: predictions, COVERAGE_FILE: pl.DataFrame(result["coverage"])}
    for file, table in tables.items():
        with files.replacing(out / file) as temporary:
            table.write_csv(temporary)
    files.write_json(out / METRICS_FILE, result)
    manifest.write(out, facts)
    title = f"The teacher {name} on {facts['data']}"
    files.write_text(out / REPORT_FILE, report(title, name, result, tweets, probs, facts))
