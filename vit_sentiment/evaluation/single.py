"""The evaluation of one model: its figures, and the files that hold them."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from input_pipeline.problems import Problems
from input_pipeline.sources import Source
from vit_sentiment.evaluation import judge
from vit_sentiment.evaluation.report import report
from vit_sentiment.inference.model import Model
from vit_sentiment.reporting import manifest
from vit_sentiment.runtime import files
from vit_sentiment.runtime.progress import say

PREDICTIONS_FILE = "predictions.csv"
METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
PROBLEMS_FILE = "problems.csv"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How models are evaluated.

    Attributes:
      label: what to score against; see `judge.judge`.
      batch_size: photos at a time, over all local devices.
      report_images: embeds the most confident mistakes in the report.
    """

    label: str
    batch_size: int
    report_images: bool


def evaluate(
    model: Model,
    source: Source,
    out: pathlib.Path,
    settings: Settings,
    problems: Problems,
    *,
    title: str,
    log: Sequence[dict[str, Any]],
    warnings: Sequence[str],
    average: Model | None = None,
    probes: Sequence[dict[str, Any]] = (),
) -> tuple[judge.Predictions, dict[str, Any]]:
    """Evaluates a model and writes predictions, metrics, manifest and report into `out`.

    Args:
      problems: what could not be used of the source; unreadable photos are added.
      log: the training run's metric log; may be empty.
      warnings: what a reader of the figures must know; said here, too.
      average: the model with the moving average of its parameters.
      probes: see `probing.found`.

    Returns:
      The predictions and what `judge.judge` made of them, with the `warnings`, the figures of the
      average (`ema`, or None) and the `probes`.
    """
    out.mkdir(parents=True, exist_ok=True)  # Before the work, not after it.
    predicted = judge.predictions(
        model, source, batch_size=settings.batch_size, on_error=problems.on_error
    )
    judge.note_unreadable(source, predicted, problems)
    result = judge.judge(source, predicted, settings.label)
    result |= {"warnings": list(warnings), "probes": list(probes), "ema": None}
    if average is not None:
        averaged = judge.predictions(
            average, source, batch_size=settings.batch_size, on_error=problems.on_error
        )
        result["ema"] = judge.judge(source, averaged, settings.label)["model"]
    for text in warnings:
        say(f"warning: {text}")
    facts = {"model": model.source, "model_id": model.model_id, **facts_of(source)}
    judge.write_predictions(out / PREDICTIONS_FILE, source, predicted)
    problems.write(out / PROBLEMS_FILE)
    files.write_json(out / METRICS_FILE, result)
    description = model.description.to_json()
    manifest.write(out, {**facts, "label": result["label"], "description": description})
    page = report(title, result, source, predicted, log, facts, with_photos=settings.report_images)
    files.write_text(out / REPORT_FILE, page)
    return predicted, result


def facts_of(source: Source) -> dict[str, Any]:
    """What a report tells about the data."""
    return {
        "data": source.name,
        "split": source.split,
        "data fingerprint": source.fingerprint,
    }
