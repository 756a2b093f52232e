"""Figures of the reports, as inline SVG."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from vit_sentiment.reporting.svg import BLUE, CURVES, GREY, ORANGE, STYLE, drawn, plt

_LONGEST = 26
"""Letters of a row's name until it goes on in the next line, so that no figure gets too wide."""


def confusion_matrix(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Counts [gold, predicted], shaded by their share of the gold class."""
    matrix = np.asarray(counts)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 3.6))
        edges = np.arange(len(matrix) + 1) - 0.5
        axes.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1)  # No pixels in print.
        axes.set_aspect("equal")
        axes.invert_yaxis()
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
        axes.set(xlabel="predicted class", ylabel="gold class")
        axes.spines[:].set_visible(False)
        hits = np.trace(matrix) / max(matrix.sum(), 1)
        text = f"Confusion matrix of {', '.join(classes)}: {hits:.1%} on the diagonal"
        return drawn(figure, text)


def reliability(rows: np.ndarray, confidence: np.ndarray, accuracy: np.ndarray) -> str:
    """Accuracy against confidence by bin; the area of a point is its share of the rows."""
    used = rows > 0
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 3.6))
        axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="calibrated")
        sizes = 20 + 280 * rows[used] / rows.sum()
        axes.plot(confidence[used], accuracy[used], color=BLUE, linewidth=1, label="model")
        axes.scatter(confidence[used], accuracy[used], sizes, color=BLUE, alpha=0.8, clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence (probability)")
        axes.set_ylabel("accuracy (share)")
        axes.legend(frameon=False)
        return drawn(figure, "Reliability diagram")


def differences(
    names: Sequence[str], values: Sequence[float], intervals: Sequence[tuple[float, float]]
) -> str:
    """Differences with their intervals, one below the other; the line is no difference."""
    low, high = np.transpose(intervals)
    places = np.arange(len(names))[::-1]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4, 0.8 + sum(_height(name) for name in names)))
        axes.axvline(0, linestyle="--", color=GREY, linewidth=1)
        axes.hlines(places, low, high, color=BLUE)
        axes.plot(values, places, "o", color=BLUE)
        axes.set_yticks(places, [_wrapped(name) for name in names])
        axes.set(xlabel="difference (share)", ylim=(-0.7, len(names) - 0.3))
        apart = sum(low_ > 0 or high_ < 0 for low_, high_ in intervals)
        text = f"Differences with 95 % intervals; {apart} of {len(names)} exclude zero"
        return drawn(figure, text)


def coverage_accuracy(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Accuracy against coverage of one or two curves; points are (coverage, accuracy).

    The last one stands out.
    """
    styles = ({"color": GREY, "linestyle": "--"}, CURVES[0])
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 3.6))
        for (name, points), style in zip(curves.items(), styles[-len(curves) :], strict=True):
            axes.plot(*zip(*points, strict=True), label=name, **style)
        axes.set(xlim=(0, 1), ylim=(None, 1), xlabel="coverage (share of photos)")
        axes.set_ylabel("accuracy (share)")
        axes.legend(frameon=False)
        return drawn(figure, "Accuracy against coverage")


def few_shot(
    points: Mapping[str, tuple[Mapping[str, float], Mapping[str, float | None]]], majority: float
) -> str:
    """Accuracy and macro-F1 against the number of labelled photos of each class.

    Args:
      points: mean and deviation of the metrics by the number, or `all`; in the order shown.
      majority: accuracy of always naming the most frequent class.
    """
    places = range(len(points))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 3.6))
        for name, label, style in (
            ("accuracy", "accuracy", {"color": BLUE, "fmt": "o-"}),
            ("macro_f1", "macro-F1", {"color": ORANGE, "fmt": "s--"}),
        ):
            mean = [mean[name] for mean, _ in points.values()]
            deviation = [deviation.get(name) or 0.0 for _, deviation in points.values()]
            axes.errorbar(places, mean, deviation, label=label, capsize=3, **style)
        axes.axhline(majority, color=GREY, linestyle=":", label="majority class")
        axes.set_xticks(places, list(points))
        axes.set(ylim=(0, 1), xlabel="labelled photos of each class", ylabel="score (share)")
        axes.legend(frameon=False)
        text = "Few-shot curve: accuracy and macro-F1 by labelled photos of each class"
        return drawn(figure, text)


def swept(points: Sequence[tuple[float, float, float | None]], field: str, metric: str) -> str:
    """A metric against the values of a field; points are (value, mean, deviation or None).

    The axis is logarithmic where the values span more than a factor of ten.
    """
    values, means, deviations = zip(*points, strict=True)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 3.6))
        bars = [deviation or 0.0 for deviation in deviations]
        axes.errorbar(values, means, bars, fmt="o", color=BLUE, capsize=3, alpha=0.8)
        if min(values) > 0 and max(values) > 10 * min(values):
            axes.set_xscale("log")
            tried = sorted(set(values))
            axes.set_xticks(tried, [f"{value:g}" for value in tried])
            axes.minorticks_off()
        axes.set(xlabel=_wrapped(field, 40), ylabel=metric)
        return drawn(figure, f"{metric} against {field}")


def funnel(left: Mapping[str, int], unit: str) -> str:
    """How many are left after each stage, from the top down."""
    stages, counts = list(left), list(left.values())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5, 0.4 * len(stages) + 0.8))
        bars = axes.barh(stages, counts, color=BLUE)
        axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3)
        axes.invert_yaxis()
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(left=False, bottom=False, labelbottom=False)
        axes.set(xlim=(0, 1.15 * max(*counts, 1)), title=f"{unit} left after each stage")
        first, last = counts[0], counts[-1]
        return drawn(figure, f"Funnel: of {first:,} {unit} {last:,} are left at the end")


def seeds(systems: Mapping[str, Sequence[float]], teacher: float) -> str:
    """Accuracies of systems by name, a point for each seed and a line at the mean."""
    places = range(len(systems))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4, 0.9 + sum(_height(name) for name in systems)))
        axes.axvline(teacher, linestyle="--", color=GREY, linewidth=1, label="teacher")
        for place, values in zip(places, systems.values(), strict=True):
            axes.plot(values, [place] * len(values), "o", color=BLUE, alpha=0.7)
            axes.plot(np.mean(values), place, "|", color=ORANGE, markersize=18)
        axes.set_yticks(places, [_wrapped(name) for name in systems])
        axes.set(xlabel="accuracy (share)", ylim=(len(systems) - 0.5, -0.5))
        axes.legend(frameon=False)
        return drawn(figure, f"Accuracy of each seed of {', '.join(systems)}")


def _wrapped(name: str, width: int = _LONGEST) -> str:
    return "\n".join(textwrap.wrap(name, width)) or name


def _height(name: str) -> float:
    """Inches that the row of a name needs."""
    return 0.2 + 0.2 * max(1, len(textwrap.wrap(name, _LONGEST)))
