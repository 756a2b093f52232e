"""The table on top of an evaluation."""

import numpy as np

from vit_sentiment.evaluation import metrics, report

GOLD = np.array([0, 1, 2, 2])
PROBS = np.eye(3, dtype=np.float32)[[0, 1, 1, 2]] * 0.7 + np.float32(0.1)


def result(teacher=None):
    values = metrics.evaluate(GOLD, PROBS, "abcd", ("negative", "neutral", "positive"))
    return {"model": values, "teacher": teacher, "ema": None, "probes": []}


def test_one_run_is_named_a_seed_and_has_no_deviation():
    header, (model, majority) = report.summary(result())
    shown = dict(zip(header, model, strict=True))
    assert model[0] == "model, 1 seed"
    assert (shown["accuracy"], shown["deviation"]) == (3 / 4, None)
    low, high = result()["model"]["interval_95"]["accuracy"]
    assert shown["95 % interval"] == f"{low:.4f} to {high:.4f}"
    assert majority == ["majority class", 4, 2 / 4, *[None] * (len(header) - 3)]


def test_more_rows_stand_between_the_student_and_its_teacher():
    teacher = {"rows": 3, "accuracy": 1 / 3, "macro_f1": 0.25, "macro_recall": 0.5}
    more = {
        "ema": {"rows": 4, "accuracy": 0.25},
        "probes": [{"name": "linear probe", "rows": 4, "accuracy": 0.5, "log_loss": 1.5}],
    }
    header, rows = report.summary(result(teacher) | more)
    average = "student, moving average, 1 seed"
    names = ["student, 1 seed", average, "linear probe", "teacher (text)", "majority class"]
    assert [row[0] for row in rows] == names
    assert {len(row) for row in rows} == {len(header)}
    probe, shown = (dict(zip(header, row, strict=True)) for row in rows[2:4])
    assert (probe["accuracy"], probe["log-loss"], probe["ROC-AUC"]) == (0.5, 1.5, None)
    assert (shown["rows"], shown["macro recall"], shown["95 % interval"]) == (3, 0.5, None)
