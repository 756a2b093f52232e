"""Results of folds or given splits: mean and deviation, and the files that hold them."""

import pathlib
from collections.abc import Mapping, Sequence
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
    """A fold or split, as `training.folds.Part` is one."""

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


def table(summary: Mapping[str, Any]) -> suite.Table:
    """Mean and deviation of each figure, and the figure of each part."""
    parts = [f"{summary['kind']} {part['name']}" for part in summary["parts"]]
    rows = [
        [name, value["mean"], value["deviation"], *value["values"]]
        for name, value in summary["figures"].items()
    ]
    return ["figure", "mean", "deviation", *parts], rows


def write(
    out: pathlib.Path,
    facts: Mapping[str, Any],
    parts: Sequence[Part],
    steps: Sequence[int | None],
    results: Sequence[Scored],
) -> dict[str, Any]:
    """Writes JSON, CSV, report and manifest into `out`; returns what the JSON holds.

    Args:
      facts: `model`, `benchmark` and `config`.
      steps: of the checkpoint of each part that was judged.
    """
    system, benchmark, kind = facts["model"], facts["benchmark"], parts[0].kind
    facts = {**facts, "commit": manifest.commit()}
    summary = {
        **facts,
        "kind": kind,
        "figures": summarise(results),
        "parts": [
            {
                "name": part.name,
                "train": len(part.train),
                "test": len(part.test),
                "train_fingerprint": part.train.fingerprint,
                "test_fingerprint": part.test.fingerprint,
                "step": step,
                **result.figures,
            }
            for part, step, result in zip(parts, steps, results, strict=True)
        ],
    }
    files.write_json(out / RESULT_FILE, summary)
    suite_run.write_csv(str(out / TABLE_FILE), table(summary))
    manifest.write(out, facts)
    header, rows = suite.others([benchmark])
    judged = [[kind, "photos to train on", "photos to judge on", "step judged"]]
    judged += [[p["name"], p["train"], p["test"], p["step"]] for p in summary["parts"]]
    accuracy = summary["figures"]["accuracy"]
    told = (
        f"Accuracy {accuracy['mean']:.4f} ± {accuracy['deviation']:.4f}: {system}, fine-tuned and "
        f"judged on each {kind} of {benchmark}. Deviations are of the population, as in the "
        f"original; they are between the photos of each {kind}, of runs with one seed, and say "
        "nothing of other seeds."
    )
    sections = [
        ("Mean and deviation", [html.table(*table(summary))]),
        (f"Each {kind}", [html.table(*suite.table(results)), html.table(judged[0], judged[1:])]),
        *([("Published", [html.table(header, rows)])] if rows else []),
    ]
    shown = {key: facts[key] for key in ("model", "benchmark")}
    page = html.page(f"{system} on {benchmark}", told, sections, shown)
    files.write_text(out / REPORT_FILE, page)
    return summary
