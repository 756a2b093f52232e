"""Tables and the report of a calibration."""

from typing import Any

import numpy as np

from vit_sentiment.evaluation import metrics
from vit_sentiment.evaluation.calibration import FOLDS, Fit, figures_of
from vit_sentiment.models.calibration import Calibration
from vit_sentiment.reporting import figures, html

RESULT_FILE = "calibration.json"
SHOWN = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Coverages in the table."""


def result_of(
    fitted: Fit, gold: np.ndarray, classes: tuple[str, ...], calibration: Calibration
) -> dict[str, Any]:
    """What the tables show, as JSON values."""
    stages = {
        "uncalibrated": fitted.uncalibrated,
        "cross_fitted": fitted.cross_fitted,
        "fitted": fitted.fitted,
    }
    mean = {name: probs.mean(axis=0).tolist() for name, probs in stages.items()}
    return {
        "temperature": fitted.temperature,
        "fold_temperatures": list(fitted.folds),
        "figures": {name: figures_of(gold, probs) for name, probs in stages.items()},
        "abstaining": {
            "before": [point._asdict() for point in fitted.abstaining_before],
            "cross_fitted": [point._asdict() for point in fitted.abstaining],
        },
        "classes": {
            name: {
                "share": calibration.prior[c],
                "uncalibrated": mean["uncalibrated"][c],
                "fitted": mean["fitted"][c],
            }
            for c, name in enumerate(classes)
        },
    }


def before_and_after(result: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows: uncalibrated; rows that the temperature has not seen; those that it has."""
    low, high = min(result["fold_temperatures"]), max(result["fold_temperatures"])
    temperatures = {
        "uncalibrated": 1.0,
        "cross_fitted": f"{low:.4f} to {high:.4f}",
        "fitted": result["temperature"],
    }
    titles = {
        "uncalibrated": "before",
        "cross_fitted": f"after, cross-fitted ({len(result['fold_temperatures'])} folds)",
        "fitted": "after, on the rows of the fit",
    }
    header = ["", "temperature", "log-loss", "calibration error", "accuracy"]
    rows = [
        [titles[name], temperatures[name]]
        + [values[key] for key in ("log_loss", "calibration_error", "accuracy")]
        for name, values in result["figures"].items()
    ]
    return header, rows


def coverage_table(result: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows: what thresholds for a coverage do to photos that they are not from."""
    pairs = zip(*result["abstaining"].values(), strict=True)
    rows = [
        [f"{before['asked']:.0%}", before["kept"], before["accuracy"], after["kept"]]
        + [after["accuracy"]]
        for before, after in pairs
        if before["asked"] in SHOWN
    ]
    return ["coverage asked", "before: got", "accuracy", "after: got", "accuracy"], rows


def class_table(result: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows: share of each class among the labels, and what the model makes of it."""
    header = ["class", "share of labels", "mean probability before", "after"]
    return header, [[name, *values.values()] for name, values in result["classes"].items()]


def report(
    title: str, result: dict[str, Any], fitted: Fit, gold: np.ndarray, facts: dict[str, Any]
) -> str:
    """The whole document; `result` also holds `warnings`, and `facts` close it."""
    before, after = (
        result["figures"][name]["calibration_error"] for name in ("uncalibrated", "cross_fitted")
    )
    told = (
        f"Logits are divided by {result['temperature']:.4f}, the temperature with the least "
        f"log-loss on these {len(gold):,} photos; it brings the calibration error from "
        f"{before:.4f} to {after:.4f}, cross-fitted. Cross-fitted figures come from at most "
        f"{FOLDS} fits, each applied to the groups (tweets) that it has not seen."
    )
    diagrams = []
    for name, probs in (
        ("before", fitted.uncalibrated),
        ("after, cross-fitted", fitted.cross_fitted),
    ):
        svg = figures.reliability(*metrics.reliability(gold, probs))
        caption = f"Reliability {name}: accuracy against confidence in {metrics.ECE_BINS} bins."
        diagrams.append(html.figure(svg, caption))
    curves = {
        name.replace("_", "-"): [(p["kept"], p["accuracy"]) for p in points if p["kept"]]
        for name, points in result["abstaining"].items()
    }
    abstaining = [
        html.figure(
            figures.coverage_accuracy(curves),
            "Accuracy on the photos above a threshold, by their share; thresholds are from other "
            "groups.",
        ),
        html.table(*coverage_table(result)),
    ]
    classes = [
        html.paragraph(
            "A temperature changes how sure the model is, not which classes it prefers: the closer "
            "its mean probabilities come to the shares of the labels, the better a correction for "
            "other shares works."
        ),
        html.table(*class_table(result)),
    ]
    sections = [
        ("Before and after", [html.table(*before_and_after(result))]),
        ("Confidence and accuracy", diagrams),
        ("Abstaining", abstaining),
        ("Classes", classes),
    ]
    return html.page(title, told, sections, facts, warnings=result["warnings"])
