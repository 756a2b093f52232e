"""The benchmark suite: models and prediction files on the benchmarks, beside what was published."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from input_pipeline.records import CLASSES, UNKNOWN
from input_pipeline.sources import Source
from vit_sentiment.evaluation import binary, comparison, judge, metrics, published
from vit_sentiment.evaluation.judge import Predictions
from vit_sentiment.runtime.errors import UserError

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


def gold_labels(source: Source) -> tuple[np.ndarray, bool]:
    """What a benchmark is scored against [N], and whether it is negative or positive alone."""
    kind = judge.default_label(source)
    return source.labels(kind), kind == "human_label"


def score(
    system: str, benchmark: str, source: Source, predictions: Predictions, *, graded: bool = True
) -> Scored:
    """Scores probabilities of a benchmark's rows.

    Benchmarks with human labels are binary (`binary.evaluate`); the test sets of T4SA have three
    classes and the teacher's labels, of which accuracy, macro-F1 and F1 of each class are told.

    Args:
      graded: whether there are probabilities, not labels alone, which have no area under a curve.

    Raises:
      UserError: no row can be scored.
    """
    gold, is_binary = gold_labels(source)
    used = predictions.readable & (gold != UNKNOWN)
    if not used.any():
        raise UserError(f"{system} on {benchmark}: none of the {len(source)} photos was readable")
    groups = source.index["group"].to_numpy()[used]
    probs = predictions.probs
    if is_binary:
        predicted = binary.predict(probs) * binary.POSITIVE  # As class numbers again.
        figures = binary.evaluate(gold[used], probs[used], groups)
        if not graded:
            figures |= {"auc_pos": None, "auc_binary": None}
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
    predicted = probs.argmax(axis=1)
    counts = metrics.confusion_matrix(gold, predicted, len(classes))
    values = metrics.from_confusion(counts)
    interval = metrics.bootstrap_intervals(gold, predicted, groups, len(classes))["accuracy"]
    return {
        "rows": len(gold),
        **{name: int(n) for name, n in zip(classes, values["support"], strict=True)},
        "majority": metrics.majority(gold),
        **{name: float(values[name]) for name in ("accuracy", "macro_f1")},
        **{f"f1_{name}": float(f1) for name, f1 in zip(classes, values["f1"], strict=True)},
        "auc_pos": None,
        "auc_binary": None,
        "interval_95": list(interval),
    }


def table(results: Sequence[Scored]) -> Table:
    """Header and a row for each result; F1 of neutral where a benchmark has it."""
    neutral = any("f1_neutral" in result.figures for result in results)
    shown = ["f1_negative", *["f1_neutral"] * neutral, "f1_positive", "auc_pos", "auc_binary"]
    header = ["model", "benchmark", "N", "neg/neu/pos", "majority", "accuracy", "95 % interval"]
    header += ["macro-F1", "F1 neg", *["F1 neu"] * neutral, "F1 pos", "AUC pos", "AUC binary"]
    header += ["published", "difference"]
    rows = []
    for result in results:
        f = result.figures
        balance = "/".join(str(f.get(name, 0)) for name in CLASSES)
        cell = published_accuracy(result)
        low, high = f["interval_95"]
        row = [result.system, result.benchmark, f["rows"], balance, f["majority"], f["accuracy"]]
        row += [f"{low:.4f} to {high:.4f}", f["macro_f1"], *(f.get(name) for name in shown)]
        row += [f"{cell['percent']} %", f"{cell['difference']:+.2f}"] if cell else [None, None]
        rows.append(row)
    return header, rows


def published_accuracy(result: Scored) -> dict[str, Any] | None:
    """The first published accuracy of a result's system, if there is one."""
    cells = (cell for cell in result.figures["published"] if cell["metric"] == "accuracy")
    return next(cells, None)


def others(benchmarks: Sequence[str]) -> Table:
    """What was published of all systems on these benchmarks."""
    rows = [
        [f.system, f.benchmark, f.metric, f.percent, f.protocol, f.source]
        for f in published.figures()
        if f.benchmark in benchmarks
    ]
    return ["system", "benchmark", "figure", "percent", "protocol", "source"], rows


def compare(
    results: Sequence[Scored],
    source: Source,
    members: Mapping[str, Sequence[str]],
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Paired tests between every two systems on one benchmark, on the rows that all could read.

    Args:
      results: of all these systems.
      members: names of the results of each system, by its name; several are seeds of one recipe.
    """
    used = np.logical_and.reduce([result.used for result in results])
    gold, _ = gold_labels(source)
    predicted = {result.system: result.predicted[used] for result in results}
    systems = {name: [predicted[run] for run in runs] for name, runs in members.items()}
    groups = source.index["group"].to_numpy()[used]
    return comparison.compare(gold[used], systems, groups, len(CLASSES), seed=seed)


def by_benchmark(results: Sequence[Scored]) -> dict[str, list[Scored]]:
    """The results of each benchmark, in the order given."""
    found: dict[str, list[Scored]] = {}
    for result in results:
        found.setdefault(result.benchmark, []).append(result)
    return found
