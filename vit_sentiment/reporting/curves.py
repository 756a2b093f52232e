"""Curves of training runs, from their metric logs, as inline SVG."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vit_sentiment.reporting.svg import CURVES, GREY, STYLE, drawn, plt

Log = Sequence[Mapping[str, Any]]
"""Rows of `metric_log.read`."""

CAPTION = "Training metrics are means between rows of the log, validation is of its whole split."

MOST_POINTS = 400
"""Of a curve; beyond that each point is the mean of some that follow each other."""

_SCORES = (
    ("loss (nats)", {"training": "train/loss", "validation": "validation/log_loss"}),
    ("accuracy (share)", {"training": "train/accuracy", "validation": "validation/accuracy"}),
    ("macro-F1 (share)", {"validation": "validation/macro_f1"}),
)
_PACE = (
    ("learning rate", {"learning rate": "train/learning_rate"}),
    ("photos/s", {"throughput": "speed/images_per_second"}),
    ("waiting for data (share)", {"waiting": "speed/data_wait_share"}),
)
_AVERAGE = "validation, moving average"


def training_curves(log: Log, best: int | None = None) -> str:
    """Loss, accuracy and macro-F1 over the steps of a log, training and validation.

    Args:
      best: step of the best checkpoint, marked by a line.
    """
    panels = []
    for label, names in _SCORES:
        averaged = names["validation"].replace("validation/", "validation_ema/")
        panels.append((label, {**names, _AVERAGE: averaged}))
    styles = dict(zip(("training", "validation", _AVERAGE), CURVES, strict=False))
    return _panels(log, panels, styles, best, "Training curves")


def pace(log: Log) -> str:
    """Learning rate, photos a second and the share of time that waits for data, over the steps."""
    styles = {name: CURVES[0] for _, names in _PACE for name in names}
    return _panels(log, _PACE, styles, None, "Learning rate, throughput and waiting for data")


def seeds(logs: Mapping[str, Log], column: str, label: str) -> str:
    """One column of the logs of several runs over their steps."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.6, 3.4))
        for number, (name, log) in enumerate(logs.items()):
            style = CURVES[number % len(CURVES)]
            # More runs than styles: the marker's place on the curve tells them apart no more, but
            # its filling does.
            filled = {"fillstyle": "full" if number < len(CURVES) else "none"}
            axes.plot(*_points(log, column), label=name, **style, **filled)
        axes.set(xlabel="step", ylabel=label)
        axes.legend(frameon=False)
        return drawn(figure, f"{label} over the steps of {', '.join(logs)}")


def _panels(
    log: Log,
    panels: Sequence[tuple[str, Mapping[str, str]]],
    styles: Mapping[str, Mapping[str, Any]],
    best: int | None,
    what: str,
) -> str:
    """Panels below each other that share their steps; those without a number are left out."""
    found = [
        (label, {name: _points(log, column) for name, column in names.items()})
        for label, names in panels
    ]
    found = [
        (label, {name: points for name, points in curves.items() if len(points[0])})
        for label, curves in found
    ]
    found = [(label, curves) for label, curves in found if curves]
    with plt.rc_context(STYLE):
        count = max(len(found), 1)
        figure, places = plt.subplots(
            count, 1, figsize=(5.8, 2.1 * count), sharex=True, squeeze=False
        )
        for axes, (label, curves) in zip(places[:, 0], found, strict=False):
            for name, points in curves.items():
                axes.plot(*points, label=name, linewidth=1.2, **styles[name])
            axes.set_ylabel(label)
            if best is not None:
                axes.axvline(best, color=GREY, linestyle=":", linewidth=1, label="best checkpoint")
            if len(curves) > 1 or best is not None:
                axes.legend(frameon=False)
        places[-1, 0].set_xlabel("step")
        text = "; ".join(
            f"{label}, {name}: {points[1][0]:.4g} at step {points[0][0]:g}, "
            f"{points[1][-1]:.4g} at step {points[0][-1]:g}"
            for label, curves in found
            for name, points in curves.items()
        )
        return drawn(figure, f"{what}. {text}")


def _points(log: Log, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values, where there are any; means where there are too many."""
    found = [(row["step"], row[column]) for row in log if row.get(column) is not None]
    if not found:
        return np.empty(0), np.empty(0)
    chunks = np.array_split(np.asarray(found, float), min(len(found), MOST_POINTS))
    return tuple(np.array([chunk.mean(axis=0) for chunk in chunks]).T)
