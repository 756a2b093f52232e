"""The command `evaluate` on several workdirs: a folder of seeds beside a single run."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import tiny

from input_pipeline.sources import open_source
from vit_sentiment.runtime import files

PLACE = "evaluation/data-test"


@pytest.fixture(scope="module")
def folder(trained, distilled, tmp_path_factory):
    """Holds `group` with seeds 0 (a copy of `trained`) and 1, `alone` and `renamed`."""
    folder = tmp_path_factory.mktemp("several")
    for name in ("group/seed-0", "alone", "renamed"):
        shutil.copytree(trained, folder / name)
    assert tiny.train(tiny.config(distilled, seed=1), folder / "group" / "seed-1")
    description = files.read_json(folder / "renamed" / "model.json")
    description["classes"] = ["angry", "bored", "content"]
    files.write_json(folder / "renamed" / "model.json", description)
    files.write_text(folder / "group" / "seed-0" / PLACE / "metrics.json", "out of date")
    return folder


@pytest.fixture(scope="module")
def done(folder, distilled, run):
    """Completed processes by name; all run once."""

    def call(*arguments):
        data = f"--data={distilled}"
        return run("vit_sentiment.evaluate", data, *arguments, env=tiny.ENV, cwd=folder)

    calls = {
        "several": ["--workdir=group,alone"],
        "one": ["--workdir=group/seed-0", "--out=one"],
        "classes": ["--workdir=alone,renamed", "--out=classes"],
    }
    return tiny.together({name: lambda a=a: call(*a) for name, a in calls.items()})


@pytest.fixture(scope="module")
def compared(folder, done):
    assert done["several"].returncode == 0, done["several"].stderr
    path = folder / "runs" / "evaluation" / "group+alone" / "data-test" / "comparison.json"
    return json.loads(path.read_text())


def own_results(folder, name):
    return json.loads((folder / name / PLACE / "metrics.json").read_text())


def labels(folder, name):
    table = pl.read_csv(folder / name / PLACE / "predictions.csv")
    return table["label"].to_numpy()


def test_each_workdir_is_evaluated_as_if_it_were_alone(folder, done, compared):
    assert done["one"].returncode == 0, done["one"].stderr
    for name in ("metrics.json", "predictions.csv"):
        there = folder / "group" / "seed-0" / PLACE / name
        assert there.read_bytes() == (folder / "one" / name).read_bytes()
    names = {path.name for path in (folder / "group" / "seed-1" / PLACE).iterdir()}
    assert names == {"metrics.json", "predictions.csv", "report.html", "manifest.json"}


def test_the_folder_is_one_system_with_mean_and_deviation(folder, compared):
    group, alone = compared["systems"]
    assert [run["workdir"] for run in group["runs"]] == ["group/seed-0", "group/seed-1"]
    assert [run["seed"] for run in group["runs"]] == [0, 1]
    results = [own_results(folder, run["workdir"])["model"] for run in group["runs"]]
    for name in ("accuracy", "macro_f1", "macro_recall", "roc_auc", "log_loss"):
        values = [result[name] for result in results]
        assert group[name]["mean"] == pytest.approx(np.mean(values))
        assert group[name]["deviation"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert alone["accuracy"] == {
        "mean": results[0]["accuracy"],
        "deviation": None,
        "worst": results[0]["accuracy"],
        "values": [results[0]["accuracy"]],
    }
    assert compared["majority"] == results[0]["majority"]
    assert compared["teacher"] == own_results(folder, "alone")["teacher"]


def test_the_difference_is_that_of_the_predictions(folder, distilled, compared):
    source = open_source(str(distilled), "test")
    gold = np.array(source.classes)[source.labels("human_label")]
    hits = {
        name: np.mean(labels(folder, name) == gold)
        for name in ("group/seed-0", "group/seed-1", "alone")
    }
    (pair,) = compared["pairs"]
    assert (pair["first"], pair["second"], pair["mcnemar"]) == ("group", "alone", None)
    expected = (hits["group/seed-0"] + hits["group/seed-1"]) / 2 - hits["alone"]
    assert pair["accuracy"]["difference"] == pytest.approx(expected, abs=1e-12)
    low, high = pair["accuracy"]["interval_95"]
    assert low <= expected <= high


def test_the_terminal_shows_means_and_how_runs_were_grouped(done, compared):
    lines = done["several"].stdout.splitlines()
    accuracy = compared["systems"][0]["accuracy"]
    shown = f"{accuracy['mean']:.4f} ± {accuracy['deviation']:.4f}"
    assert any(line.startswith("group, 2 seeds") and shown in line for line in lines)
    assert any(line.startswith("alone, 1 seed") for line in lines)
    assert any("group/seed-0, group/seed-1" in line and "seed-*" in line for line in lines)
    assert lines[-1] == "report: runs/evaluation/group+alone/data-test/report.html"


def test_one_run_is_no_headline(folder, done):
    """It is named a seed, has no deviation, and how to get one is told."""
    assert done["one"].returncode == 0, done["one"].stderr
    lines = done["one"].stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("student")]
    assert line.startswith("student, 1 seed")
    assert "\N{EN DASH}" in line
    page = (folder / "one" / "report.html").read_text()
    for text in (done["one"].stdout, page):
        assert "`train --seeds=0,1,2`, then `evaluate --workdir=DIR`" in text


def test_other_classes_are_an_error_before_anything_is_evaluated(folder, done):
    assert done["classes"].returncode == 1
    assert done["classes"].stdout == ""
    lines = [line for line in done["classes"].stderr.splitlines() if "WARNING:absl" not in line]
    (line,) = lines
    assert line.startswith("error: renamed step")
    assert "'angry', 'bored', 'content'" in line
    assert not (folder / "classes").exists()
