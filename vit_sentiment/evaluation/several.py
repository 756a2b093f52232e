"""Several runs on the same rows: means and deviations over seeds, and what differs by how much."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from input_pipeline.records import UNKNOWN
from input_pipeline.sources import Source
from vit_sentiment.evaluation import comparison, judge


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a system, evaluated.

    Attributes:
      name: its workdir.
      model: which checkpoint of it.
      seed: what it was trained with.
      predicted: for every row of the source.
      result: see `single.evaluate`.
    """

    name: str
    model: str
    seed: int
    predicted: judge.Predictions
    result: dict[str, Any]


def compare(
    source: Source, systems: Mapping[str, Sequence[Run]], grouping: Mapping[str, str], label: str
) -> dict[str, Any]:
    """Figures of each system and paired tests between every two of them, as JSON values.

    All figures are of the rows that every run could read, so that nothing but the model differs.

    Args:
      systems: the runs of each, by name.
      grouping: why a system's runs are together, by its name.
      label: see `judge.judge`.
    """
    runs = [run for members in systems.values() for run in members]
    readable = np.logical_and.reduce([run.predicted.readable for run in runs])
    results = {run.name: _on(source, run, readable, label) for run in runs}
    gold = source.labels(label)
    scored = readable & (gold != UNKNOWN)
    predicted = {
        name: [run.predicted.probs[scored].argmax(axis=1) for run in members]
        for name, members in systems.items()
    }
    groups = source.index["group"].to_numpy()[scored]
    any_result = results[runs[0].name]
    told = [(text, run.name) for run in runs for text in run.result["warnings"]]
    return {
        "data": source.name,
        "split": source.split,
        "label": label,
        "scored": any_result["scored"],
        "unlabelled": any_result["unlabelled"],
        "unreadable": any_result["unreadable"],
        "systems": [
            {
                "name": name,
                "grouping": grouping[name],
                "runs": [
                    {"workdir": run.name, "model": run.model, "seed": run.seed} for run in members
                ],
                **comparison.spread([results[run.name]["model"] for run in members]),
                "ema": _average(members),
            }
            for name, members in systems.items()
        ],
        "probes": runs[0].result["probes"],
        "teacher": any_result["teacher"],
        "majority": any_result["model"]["majority"],
        "pairs": comparison.compare(gold[scored], predicted, groups, len(source.classes)),
        "warnings": [f"{name}: {text}" for text, name in told],
    }


def _average(members: Sequence[Run]) -> dict[str, Any] | None:
    """Figures of the moving averages, where all runs of a system have one."""
    averages = [run.result["ema"] for run in members]
    return comparison.spread(averages) if all(averages) else None


def _on(source: Source, run: Run, readable: np.ndarray, label: str) -> dict[str, Any]:
    if np.array_equal(run.predicted.readable, readable):
        return run.result
    return judge.judge(source, judge.Predictions(run.predicted.probs, readable), label)
