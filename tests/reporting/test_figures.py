"""Figures: what they show, that they can be read in print, and that they need nothing else."""

import re

import numpy as np
import pytest
from report_checks import check_figure, read

from vit_sentiment.reporting import curves, figures

LONG = "runs/a/workdir/with/a/rather/long/name \u2212 runs/other/workdir{loss.label_smoothing=0.2}"
LOG = [
    {"step": 1, "train/loss": 1.0, "train/accuracy": 0.4, "train/learning_rate": 1e-3},
    {"step": 1, "validation/log_loss": 1.1, "validation/macro_f1": None},
    {"step": 2, "train/loss": 0.5, "train/accuracy": 0.6, "speed/images_per_second": 100.0},
    {"step": 2, "validation/log_loss": 0.9, "validation_ema/accuracy": 0.5},
]
BINS = np.array([0, 4, 6]), np.array([0, 0.5, 0.9]), np.array([0, 0.4, 1])
DRAWN = {
    "confusion": lambda: figures.confusion_matrix([[3, 1], [0, 0]], ["bad", "good"]),
    "reliability": lambda: figures.reliability(*BINS),
    "differences": lambda: figures.differences([LONG] * 2, [0.1, 0.2], [(0.0, 0.2), (0.1, 0.3)]),
    "coverage": lambda: figures.coverage_accuracy({"before": [(0.5, 0.9), (1.0, 0.8)]}),
    "few-shot": lambda: figures.few_shot({"5": ({"accuracy": 0.5, "macro_f1": 0.4}, {})}, 0.3),
    "swept": lambda: figures.swept([(1e-3, 0.5, 0.1), (1e-1, 0.6, None)], "optimizer.lr", "F1"),
    "funnel": lambda: figures.funnel({"read": 10, "duplicates": 2}, "photos"),
    "seeds": lambda: figures.seeds({LONG: [0.1, 0.2]}, 0.3),
    "training": lambda: curves.training_curves(LOG, best=2),
    "pace": lambda: curves.pace(LOG),
    "runs": lambda: curves.seeds({f"seed {n}": LOG for n in range(6)}, "train/loss", "loss"),
    "empty": lambda: curves.training_curves([]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_can_be_read_in_print_and_by_who_cannot_see_it(name):
    check_figure(DRAWN[name]())


def test_the_confusion_matrix_shows_counts_and_shares():
    svg = DRAWN["confusion"]()
    text = read(svg)
    for word in ("3", "75%", "25%", "bad", "good", "gold", "predicted"):
        assert word in text
    assert svg.startswith('<svg role="img" aria-label="Confusion matrix of bad, good: 75.0%')


def test_a_name_of_a_user_is_no_markup():
    assert 'aria-label="F1 against a&quot;&lt;b"' in figures.swept([(1, 2, None)], 'a"<b', "F1")


def test_figures_are_the_same_bytes_each_time_and_share_no_ids():
    assert DRAWN["reliability"]() == DRAWN["reliability"]()
    one, other = (set(re.findall(r'\bid="([^"]*)"', DRAWN[n]())) for n in ("training", "pace"))
    assert one
    assert not one & other


def test_training_curves_leave_out_what_a_log_lacks():
    text = read(DRAWN["training"]())
    for word in ("training", "validation", "moving average", "best checkpoint", "loss (nats)"):
        assert word in text
    assert "macro-F1 (share)" not in text
    assert "waiting" not in read(DRAWN["pace"]()).partition("</title>")[2]


def test_long_curves_are_means_of_steps_that_follow_each_other():
    log = [{"step": n, "train/loss": float(n % 2)} for n in range(1, 4 * curves.MOST_POINTS + 1)]
    short = curves.training_curves(log[: curves.MOST_POINTS])
    assert len(curves.training_curves(log)) < 1.2 * len(short)


def test_figures_refer_to_nothing_outside():
    svg = DRAWN["training"]()
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', svg))
    assert "<image" not in svg
    assert "<metadata" not in svg
