"""Results of folds or given splits: mean and deviation, and the files that hold them."""

import pathlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from input_pipeline.sources import Source
from vit_sentiment.evaluation import suite, suite_run
from vit_sentiment.evaluation.suite import Scored
from vit_sentiment.reporting import html, manifest
from vit_sentiment.runtime import files

RESULT_FILE = "cross_validation.json"
TABLE_FILE = "cross_validation.csv"
REPORT_FILE = "report.html"
FIGURES = ("accuracy", "macro_f1", "auc_pos", "auc_binary")


class Part(Protocol):
    """A fold or split, as `training.folds.Fold` is one."""

    name: str
    train: Source
    test: Source

    @property
    def kind(self) -> str:
        """`fold` or `split`."""
        ...


def summarise(results: Sequence[Scored]) -> dict[str, dict[str, Any]]:
    """Mean and population deviation (numpy's default, which the original prints) by figure.

    A figure that is None for one of them is left out.
    """
    found = {}
    for name in FIGURES:
        values = [result.figures[name] for result in results]
        if None not in values:
            mean, deviation = float(np.mean(values)), float(np.std(values))
            found[name] = {"mean": mean, "deviation": deviation, "values": values}
    return found


def table(summary: dict[str, Any]) -> suite.Table:
    """Mean and deviation of each figure, and the figures of each part."""
    figures = summary["figures"]
    parts = [f"{summary['kind']} {part['name']}" for part in summary["parts"]]
    rows = [
        [name, value["mean"], value["deviation"], *value["values"]]
        for name, value in figures.items()
    ]
    return ["", "mean", "deviation", *parts], rows


def write(
    out: pathlib.Path,
    system: str,
    benchmark: str,
    parts: Sequence[Part],
    results: Sequence[Scored],
) -> dict[str, Any]:
    """Writes JSON, CSV, report and manifest into `out`; what the JSON holds."""
    facts = {"model": system, "benchmark": benchmark, "commit": manifest.commit()}
    summary = {
        **facts,
        "kind": parts[0].kind,
        "figures": summarise(results),
        "parts": [
            {
                "name": part.name,
                "train": len(part.train),
                "test": len(part.test),
                "train_fingerprint": part.train.fingerprint,
                "test_fingerprint": part.test.fingerprint,
                **result.figures,
            }
            for part, result in zip(parts, results, strict=True)
        ],
    }
    files.write_json(out / RESULT_FILE, summary)
    suite_run.write_csv(str(out / TABLE_FILE), suite.table(results))
    manifest.write(out, facts)
    header, rows = suite.others([benchmark])
    page = [
        html.paragraph(
            f"{system}, fine-tuned and judged on each {parts[0].kind} of {benchmark}. Deviations "
            "are of the population, as in the original; they are about photos, not about seeds."
        ),
        html.table(*table(summary)),
        html.table(*suite.table(results)),
        *([html.heading("Published"), html.table(header, rows)] if rows else []),
        html.heading("Made from"),
        html.table(["fact", "value"], facts.items()),
    ]
    files.write_text(out / REPORT_FILE, html.page(f"{system} on {benchmark}", page))
    return summary
