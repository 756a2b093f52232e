"""Runs beside each other: which rows are compared, and what is shown of them."""

import csv
import statistics

import numpy as np
import polars as pl
import pytest

from input_pipeline.sources import Source
from vit_sentiment.evaluation import comparison_report, judge, several

CLASSES = ("negative", "neutral", "positive")
HUMAN = [0, 1, 2, -1, 2, 0]
TEACHER = [0, 2, 2, 1, -1, 1]
RUNS = {
    "runs/a/seed-0": [0, 1, 1, 0, 2, 2],
    "runs/a/seed-1": [0, 1, 2, 0, 2, 2],
    "runs/b": [1, 1, 2, 0, 0, 0],
}


def source():
    index = pl.DataFrame(
        {
            "id": [f"t{n}-0" for n in range(6)],
            "group": ["a", "a", "b", "c", "d", "e"],
            "teacher_label": TEACHER,
            "human_label": HUMAN,
        }
    )
    return Source("tweets", "test", CLASSES, [None] * 6, index)


def run(name, *unreadable, seed=0):
    probs = np.eye(3, dtype=np.float32)[RUNS[name]] * 0.5 + np.float32(1 / 6)
    readable = np.ones(6, bool)
    readable[list(unreadable)] = False
    predicted = judge.Predictions(probs, readable)
    result = judge.judge(source(), predicted, "human_label") | {
        "warnings": [],
        "ema": None,
        "probes": [],
    }
    return several.Run(name, f"{name} step 7", seed, predicted, result)


def compared(*names, unreadable=()):
    members = {
        "runs/a": [run("runs/a/seed-0"), run("runs/a/seed-1", *unreadable, seed=1)],
        "runs/b": [run("runs/b")],
    }
    systems = {name: members[name] for name in names}
    return several.compare(source(), systems, dict.fromkeys(systems, "a rule"), "human_label")


def test_a_row_that_one_run_cannot_read_is_left_out_for_all():
    found = compared("runs/a", "runs/b", unreadable=[0])
    assert (found["scored"], found["unlabelled"], found["unreadable"]) == (4, 1, 1)
    # Of the rows 1, 2, 4 and 5.
    assert found["systems"][0]["accuracy"]["values"] == [2 / 4, 3 / 4]
    assert found["systems"][1]["accuracy"]["values"] == [3 / 4]
    assert (found["majority"], found["teacher"]["rows"]) == (2 / 4, 3)
    (pair,) = found["pairs"]
    assert pair["accuracy"]["difference"] == pytest.approx((2 / 4 + 3 / 4) / 2 - 3 / 4)


def test_where_all_is_readable_the_figures_are_those_of_each_alone():
    found = compared("runs/a", "runs/b")
    expected = run("runs/b").result
    (system,) = [system for system in found["systems"] if system["name"] == "runs/b"]
    for name in ("accuracy", "macro_f1", "roc_auc", "log_loss", "calibration_error"):
        assert system[name]["values"] == [expected["model"][name]]
    assert found["teacher"] == expected["teacher"]


def test_the_table_on_top_has_means_and_deviations():
    header, rows = comparison_report.systems(compared("runs/a", "runs/b"))
    table = {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}
    names = ["runs/a, 2 seeds", "runs/b, 1 seed", "teacher (text)", "majority class"]
    assert list(table) == names
    mean, deviation = 0.7, statistics.stdev([3 / 5, 4 / 5])
    assert table["runs/a, 2 seeds"]["accuracy"] == f"{mean:.4f} ± {deviation:.4f}"
    assert table["runs/a, 2 seeds"]["worst accuracy"] == 3 / 5
    assert table["runs/b, 1 seed"]["accuracy"] == "0.6000 ± \N{EN DASH}"
    assert table["teacher (text)"]["accuracy"] == 2 / 4
    assert table["majority class"]["accuracy"] == 2 / 5


def test_a_correction_is_shown_where_something_is_corrected():
    two = compared("runs/a", "runs/b")
    assert "p, Holm" not in comparison_report.pairs(two)[0]
    header, rows = comparison_report.pairs(two | {"pairs": two["pairs"] * 2})
    assert header[-1] == "p, Holm"
    assert rows[0][-1] == two["pairs"][0]["accuracy"]["p_holm"]
    assert {len(row) for row in rows} == {len(header)}


def test_the_report_begins_with_means_and_tells_the_grouping():
    page = comparison_report.report("title", compared("runs/a", "runs/b"), {})
    top = page[: page.index("</table>")]
    assert "0.7000 ± 0.1414" in top
    assert "seed-0" not in top
    assert "runs/a/seed-0, runs/a/seed-1" in page
    assert "a rule" in page
    assert page.count("<svg") == 2


def test_one_system_has_no_differences():
    page = comparison_report.report("title", compared("runs/a"), {})
    assert "Differences" not in page
    assert "<svg" not in page


def test_files(tmp_path):
    found = compared("runs/a", "runs/b")
    comparison_report.write(tmp_path, found, {"commit": None})
    with open(tmp_path / "comparison.csv", newline="") as file:
        rows = {row.pop("system"): row for row in csv.DictReader(file)}
    assert list(rows) == ["runs/a", "runs/b", "teacher", "majority"]
    assert rows["runs/a"]["seeds"] == "2"
    for part in ("mean", "deviation", "worst"):
        for figure in ("accuracy", "log_loss"):
            written = float(rows["runs/a"][f"{figure}_{part}"])
            assert written == found["systems"][0][figure][part]
    assert rows["runs/b"]["accuracy_deviation"] == ""
    assert float(rows["teacher"]["accuracy_mean"]) == 2 / 4
    assert rows["teacher"]["log_loss_mean"] == ""
    assert float(rows["majority"]["accuracy_mean"]) == 2 / 5
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"comparison.csv", "comparison.json", "manifest.json", "report.html"}
