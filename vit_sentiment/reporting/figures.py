"""Figures of the reports, as inline SVG; readable in print and without colour vision."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d9730d", "#888888"
_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # Text stays text: searchable, and small.
    "svg.hashsalt": "vit_sentiment",  # The same figure gives the same bytes.
}


def _svg(figure: Figure, alternative: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace(
        "<svg", f'<svg role="img" aria-label="{alternative}"', 1
    )


def confusion_matrix(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Counts [gold, predicted], shaded by their share of the gold class."""
    matrix = np.asarray(counts)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 3.6))
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(*matrix.shape):
            axes.text(
                column,
                row,
                f"{matrix[row, column]:,}\n{shares[row, column]:.0%}",
                ha="center",
                va="center",
                color="white" if shares[row, column] > 0.55 else "black",
            )
        axes.set_xticks(range(len(classes)), classes)
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="predicted", ylabel="gold")
        axes.spines[:].set_visible(False)
        return _svg(figure, "Confusion matrix")


def reliability(rows: np.ndarray, confidence: np.ndarray, accuracy: np.ndarray) -> str:
    """Accuracy against confidence by bin; the area of a point is its share of the rows."""
    used = rows > 0
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 3.6))
        axes.plot([0, 1], [0, 1], "--", color=_GREY, linewidth=1, label="calibrated")
        sizes = 20 + 280 * rows[used] / rows.sum()
        axes.plot(confidence[used], accuracy[used], color=_BLUE, linewidth=1)
        axes.scatter(confidence[used], accuracy[used], sizes, color=_BLUE, alpha=0.8, clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
        axes.legend(frameon=False)
        return _svg(figure, "Reliability diagram")


def training_curves(log: Sequence[Mapping[str, Any]]) -> str:
    """Loss and accuracy over the steps of a metric log, training and validation."""
    panels = (
        ("loss", "train/loss", "validation/log_loss"),
        ("accuracy", "train/accuracy", "validation/accuracy"),
    )
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
        for axis, (title, train, validation) in zip(axes, panels, strict=True):
            for name, label, style in (
                (train, "training", {"color": _BLUE}),
                (validation, "validation", {"color": _ORANGE, "marker": "o", "markersize": 3}),
            ):
                points = [(row["step"], row[name]) for row in log if row.get(name) is not None]
                if points:
                    axis.plot(*zip(*points, strict=True), label=label, **style)
            axis.set(xlabel="step", ylabel=title)
            axis.legend(frameon=False)
        return _svg(figure, "Training curves")


def differences(
    names: Sequence[str], values: Sequence[float], intervals: Sequence[tuple[float, float]]
) -> str:
    """Differences with their intervals, one below the other; the line is no difference."""
    low, high = np.transpose(intervals)
    places = np.arange(len(names))[::-1]
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 0.8 + 0.4 * len(names)))
        axes.axvline(0, linestyle="--", color=_GREY, linewidth=1)
        axes.hlines(places, low, high, color=_BLUE)
        axes.plot(values, places, "o", color=_BLUE)
        axes.set_yticks(places, names)
        axes.set(xlabel="difference", ylim=(-0.7, len(names) - 0.3))
        return _svg(figure, "Differences with 95 % intervals")


def coverage_accuracy(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Accuracy against coverage of one or two curves; points are (coverage, accuracy).

    The last one stands out.
    """
    styles = ({"color": _GREY, "linestyle": "--"}, {"color": _BLUE})
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 3.6))
        for (name, points), style in zip(curves.items(), styles[-len(curves) :], strict=True):
            axes.plot(*zip(*points, strict=True), label=name, **style)
        axes.set(xlim=(0, 1), ylim=(None, 1), xlabel="coverage", ylabel="accuracy")
        axes.legend(frameon=False)
        return _svg(figure, "Accuracy against coverage")


def few_shot(
    points: Mapping[str, tuple[Mapping[str, float], Mapping[str, float | None]]], majority: float
) -> str:
    """Accuracy and macro-F1 against the number of labelled photos of each class.

    Args:
      points: mean and deviation of the metrics by the number, or `all`; in the order shown.
      majority: accuracy of always naming the most frequent class.
    """
    places = range(len(points))
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 3.6))
        for name, label, style in (
            ("accuracy", "accuracy", {"color": _BLUE, "fmt": "o-"}),
            ("macro_f1", "macro-F1", {"color": _ORANGE, "fmt": "s--"}),
        ):
            mean = [mean[name] for mean, _ in points.values()]
            deviation = [deviation.get(name) or 0.0 for _, deviation in points.values()]
            axes.errorbar(places, mean, deviation, label=label, capsize=3, **style)
        axes.axhline(majority, color=_GREY, linestyle=":", label="majority class")
        axes.set_xticks(places, list(points))
        axes.set(ylim=(0, 1), xlabel="labelled photos of each class", ylabel="score")
        axes.legend(frameon=False)
        return _svg(figure, "Few-shot curve")


def swept(points: Sequence[tuple[float, float, float | None]], field: str, metric: str) -> str:
    """A metric against the values of a field; points are (value, mean, deviation or None).

    The axis is logarithmic where the values span more than a factor of ten.
    """
    values, means, deviations = zip(*points, strict=True)
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 3.6))
        bars = [deviation or 0.0 for deviation in deviations]
        axes.errorbar(values, means, bars, fmt="o", color=_BLUE, capsize=3, alpha=0.8)
        if min(values) > 0 and max(values) > 10 * min(values):
            axes.set_xscale("log")
        axes.set(xlabel=field, ylabel=metric)
        return _svg(figure, f"{metric} against {field}")


def funnel(left: Mapping[str, int], unit: str) -> str:
    """How many are left after each stage, from the top down."""
    stages, counts = list(left), list(left.values())
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 0.4 * len(stages) + 0.8))
        bars = axes.barh(stages, counts, color=_BLUE)
        axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3)
        axes.invert_yaxis()
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(left=False, bottom=False, labelbottom=False)
        axes.set(xlim=(0, 1.15 * max(*counts, 1)), title=f"{unit} left after each stage")
        return _svg(figure, "Funnel")


def seeds(systems: Mapping[str, Sequence[float]], teacher: float) -> str:
    """Accuracies of systems by name, a point for each seed and a line at the mean."""
    places = range(len(systems))
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 0.9 + 0.4 * len(systems)))
        axes.axvline(teacher, linestyle="--", color=_GREY, linewidth=1, label="teacher")
        for place, values in zip(places, systems.values(), strict=True):
            axes.plot(values, [place] * len(values), "o", color=_BLUE, alpha=0.7)
            axes.plot(np.mean(values), place, "|", color=_ORANGE, markersize=18)
        axes.set_yticks(places, list(systems))
        axes.set(xlabel="accuracy", ylim=(len(systems) - 0.5, -0.5))
        axes.legend(frameon=False)
        return _svg(figure, "Accuracy of each seed")
