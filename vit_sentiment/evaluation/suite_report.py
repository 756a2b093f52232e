"""What an evaluation on benchmarks prints and writes beside its table."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from input_pipeline.records import CLASSES
from vit_sentiment.evaluation import comparison_report, suite
from vit_sentiment.evaluation.suite import Scored, Table
from vit_sentiment.reporting import html, manifest
from vit_sentiment.runtime import files

TOLERANCE = 0.1
"""Percentage points by which a reproduced cell may differ from the published one.

The difference is taken to the figure as it is printed, which is itself rounded by up to 0.05 points
(README) or 0.005 (notebook). One photo of 5agree is 0.11 points: beside the published count of hits
one neighbour can pass where one decimal is printed (of the larger lists two), none where two are.
"""


SPREAD = ("accuracy", "macro_f1", "auc_pos", "auc_binary")
"""Figures whose mean and deviation over seeds are told."""


def rows(results: Sequence[Scored]) -> Table:
    """The table as machines read it: a number in every cell, None where there is none."""
    figures = ["rows", *CLASSES, "unreadable", "majority", "accuracy", "macro_f1"]
    figures += [*(f"f1_{name}" for name in CLASSES), "auc_pos", "auc_binary"]
    header = ["model", "benchmark", *figures, "interval_low", "interval_high"]
    header += ["published_percent", "difference", "source"]
    found = []
    for result in results:
        cell = suite.published_accuracy(result) or {}
        found.append(
            [
                *(result.system, result.benchmark),
                *(result.figures.get(name) for name in figures),
                *result.figures["interval_95"],
                *(cell.get(name) for name in ("percent", "difference", "source")),
            ]
        )
    return header, found


def reproduction(results: Sequence[Scored]) -> tuple[Table, bool]:
    """Every published cell beside ours, and whether all are within `TOLERANCE` points.

    No published cell at all is no reproduction.
    """
    lines, good = [], []
    for result in results:
        for cell in result.figures["published"]:
            good.append(reproduced(cell))
            ours = f"{100 * result.figures[cell['metric']]:.2f}"
            line = [result.system, result.benchmark, cell["metric"], ours]
            line += [str(cell["percent"]), f"{cell['difference']:+.2f}"]
            lines.append([*line, "yes" if good[-1] else "NO"])
    header = ["model", "benchmark", "figure", "here, %", "published, %", "difference", "reproduced"]
    return (header, lines), bool(good) and all(good)


def reproduced(cell: Mapping[str, Any]) -> bool:
    """Whether one of the `published` cells is within `TOLERANCE` points of ours."""
    return abs(cell["difference"]) <= TOLERANCE + 1e-9  # 82.3 - 82.2 is a bit more than 0.1.


def spread(results: Sequence[Scored], members: Mapping[str, Sequence[str]]) -> Table:
    """Mean and sample deviation over the seeds of each system that has several.

    Args:
      members: names of the results that are a system's, by its name.
    """
    lines = []
    for (benchmark, scored), (name, runs) in itertools.product(
        suite.by_benchmark(results).items(), members.items()
    ):
        own = [result.figures for result in scored if result.system in runs]
        if len(own) > 1:
            values = [[figures[metric] for figures in own] for metric in SPREAD]
            lines.append([name, benchmark, len(own), *map(_mean_and_deviation, values)])
    return ["mean ± deviation", "benchmark", "seeds", *SPREAD], lines


def _mean_and_deviation(values: Sequence[float | None]) -> str | None:
    if None in values:
        return None
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"


def write_json(
    path: str,
    results: Sequence[Scored],
    pairs: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, str]],
) -> None:
    """All figures, the paired tests by benchmark, and what each model's weights are."""
    found = [{"model": r.system, "benchmark": r.benchmark, **r.figures} for r in results]
    made_from = {"commit": manifest.commit(), "weights": weights}
    files.write_json(path, {"results": found, "pairs": pairs, "made_from": made_from})


def write_html(
    path: str, results: Sequence[Scored], pairs: Mapping[str, Any], seeds: Table
) -> None:
    """One self-contained page: our figures, the paired tests, and all that was published.

    Args:
      seeds: see `spread`; left out where it is empty.
    """
    names = list(dict.fromkeys(result.benchmark for result in results))
    best = "; ".join(_best(name, own) for name, own in suite.by_benchmark(results).items())
    told = (
        f"Greatest accuracy: {best}. Benchmarks of negative and positive photos: the neutral "
        "probability is dropped, the greater of the others wins, a tie is negative. The test sets "
        "of T4SA have three classes, labelled by a text teacher. Intervals are bootstrapped over "
        "photos, those of a tweet together."
    )
    spread_ = [html.table(*seeds)] if seeds[1] else []
    sections = [("Figures", [html.table(*suite.table(results)), *spread_])]
    for benchmark, tests in pairs.items():
        table = html.table(*comparison_report.pairs({"pairs": tests}))
        sections.append((f"Differences on {benchmark}", [table]))
    header, lines = suite.others(names)
    if lines:
        sections.append(("Published", [html.table(header, lines)]))
    facts = {"benchmarks": ", ".join(names)}
    files.write_text(path, html.page("Benchmarks", told, sections, facts))


def _best(benchmark: str, results: Sequence[Scored]) -> str:
    best = max(results, key=lambda result: result.figures["accuracy"])
    return f"{best.figures['accuracy']:.4f} on {benchmark} ({best.system})"
