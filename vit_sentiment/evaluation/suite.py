"""The benchmark suite: models and prediction files on the benchmarks, beside what was published."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from input_pipeline.records import CLASSES, UNKNOWN
from input_pipeline.sources import Source
from vit_sentiment.evaluation import binary, comparison, metrics, published
from vit_sentiment.evaluation.judge import Predictions

TOLERANCE = 0.1
"""Percentage points by which a reproduced cell may differ from the published one."""

Table = tuple[list[str], list[list[Any]]]


@dataclasses.dataclass(frozen=True)
class Scored:
    """One system on one benchmark.

    Attributes:
      system: a model's name or a file of predictions.
      benchmark: its name.
      predicted: class of each row, for paired tests [N].
      used: rows that were scored [N].
      figures: see `score`.
    """

    system: str
    benchmark: str
    predicted: np.ndarray
    used: np.ndarray
    figures: dict[str, Any]


def score(system: str, benchmark: str, source: Source, predictions: Predictions) -> Scored:
    """Scores probabilities of a benchmark's rows.

    Benchmarks with human labels are binary (`binary.evaluate`); the test sets of T4SA have three
    classes and the teacher's labels, of which accuracy, macro-F1 and F1 of each class are told.
    """
    human = source.labels("human_label")
    is_binary = bool((human != UNKNOWN).any())
    gold = human if is_binary else source.labels("teacher_label")
    used = predictions.readable & (gold != UNKNOWN)
    groups = source.index["group"].to_numpy()[used]
    probs = predictions.probs
    if is_binary:
        predicted = binary.predict(probs) * binary.POSITIVE  # As class numbers again.
        figures = binary.evaluate(gold[used], probs[used], groups)
    else:
        predicted = probs.argmax(axis=1)
        figures = _three_classes(gold[used], probs[used], groups, source.classes)
    figures["unreadable"] = int((~predictions.readable).sum())
    figures["published"] = [
        {
            "metric": cell.metric,
            "percent": cell.percent,
            "difference": 100 * figures[cell.metric] - cell.percent,
            "source": cell.source,
        }
        for cell in published.of(system, benchmark)
        if figures.get(cell.metric) is not None
    ]
    return Scored(system, benchmark, predicted, used, figures)


def _three_classes(
    gold: np.ndarray, probs: np.ndarray, groups: Sequence[Any], classes: Sequence[str]
) -> dict[str, Any]:
    found = metrics.evaluate(gold, probs, groups, classes)
    counts = np.bincount(gold, minlength=len(classes))
    return {
        "rows": found["rows"],
        **{name: int(count) for name, count in zip(classes, counts, strict=True)},
        **{name: found[name] for name in ("majority", "accuracy", "macro_f1")},
        **{f"f1_{name}": found["per_class"][name]["f1"] for name in classes},
        "auc_pos": None,
        "auc_binary": None,
        "interval_95": found["interval_95"]["accuracy"],
    }


def table(results: Sequence[Scored]) -> Table:
    """Header and a row for each result."""
    header = ["model", "benchmark", "N", "neg/neu/pos", "majority", "accuracy", "95 % interval"]
    header += ["macro-F1", "F1 neg", "F1 pos", "AUC pos", "AUC binary", "published", "difference"]
    rows = []
    for result in results:
        f = result.figures
        balance = "/".join(str(f.get(name, 0)) for name in CLASSES)
        cell = next((c for c in f["published"] if c["metric"] == "accuracy"), None)
        low, high = f["interval_95"]
        rows.append(
            [
                result.system,
                result.benchmark,
                f["rows"],
                balance,
                f["majority"],
                f["accuracy"],
                f"{low:.4f} to {high:.4f}",
                *(f[name] for name in ("macro_f1", "f1_negative", "f1_positive")),
                f["auc_pos"],
                f["auc_binary"],
                f"{cell['percent']:.2f} %" if cell else None,
                f"{cell['difference']:+.2f}" if cell else None,
            ]
        )
    return header, rows


def others(benchmarks: Sequence[str]) -> Table:
    """What was published of all systems on these benchmarks."""
    rows = [
        [f.system, f.benchmark, f.metric, f.percent, f.protocol, f.source]
        for f in published.figures()
        if f.benchmark in benchmarks
    ]
    return ["system", "benchmark", "figure", "percent", "protocol", "source"], rows


def reproduction(results: Sequence[Scored]) -> tuple[Table, bool]:
    """Every published cell beside ours, and whether all are within `TOLERANCE` points.

    No published cell at all is no reproduction.
    """
    rows, good = [], []
    for result in results:
        for cell in result.figures["published"]:
            ours = 100 * result.figures[cell["metric"]]
            good.append(abs(cell["difference"]) <= TOLERANCE + 1e-9)
            verdict = "yes" if good[-1] else "NO"
            rows.append([result.system, result.benchmark, cell["metric"], f"{ours:.2f}"])
            rows[-1] += [f"{cell['percent']:.2f}", f"{cell['difference']:+.2f}", verdict]
    header = ["model", "benchmark", "figure", "here, %", "published, %", "difference", "reproduced"]
    return (header, rows), bool(good) and all(good)


def compare(results: Sequence[Scored], source: Source, seed: int = 0) -> list[dict[str, Any]]:
    """Paired tests between every two systems on one benchmark, on the rows that all could read."""
    used = np.logical_and.reduce([result.used for result in results])
    human = source.labels("human_label")
    gold = human if (human != UNKNOWN).any() else source.labels("teacher_label")
    systems = {result.system: [result.predicted[used]] for result in results}
    if len(systems) < len(results):
        names = [result.system for result in results]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} is compared with itself")
    groups = source.index["group"].to_numpy()[used]
    return comparison.compare(gold[used], systems, groups, len(source.classes), seed=seed)


def by_benchmark(results: Sequence[Scored]) -> dict[str, list[Scored]]:
    """The results of each benchmark, in the order given."""
    ordered = sorted(results, key=lambda result: result.benchmark)
    groups = itertools.groupby(ordered, key=lambda result: result.benchmark)
    return {name: list(group) for name, group in groups}
