"""The study of noise: training, stopping and resuming, and what is collected."""

import csv
import json
import shutil

import numpy as np
import pytest
import scipy.stats
import tiny

from configs import common
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.studying import drawn, noise, noise_report
from vit_sentiment.studying.cases import Study


def config(**changes):
    """Ten steps in one stage."""
    own = tiny.config("", **changes)
    own.stages = (common.stage(epochs=1.0, learning_rate=1e-3),)
    return own


@pytest.fixture(scope="module")
def study(tmp_path_factory, distilled, quick_compilation):
    """A study of two methods that has come to its end, on 200 tweets that were drawn already."""
    out = tmp_path_factory.mktemp("study")
    for seed in (0, 1):
        shutil.copytree(distilled, out / f"real/seed-{seed}/data" / drawn.LABELLED)
    study = Study(out, config(), 200, [0, 1], ["hard", "mixed"], ["real"])
    asked = []

    def stop(step):
        asked.append(step)
        return len(asked) > 18  # Within the second run.

    assert not noise.train(study, stop)
    assert (out / "real/seed-0/hard/evaluation/metrics.json").exists()
    assert not (out / "real/seed-0/mixed/evaluation").exists()
    assert tiny.latest_step(out / "real/seed-0/mixed") < 10
    early = noise.collect(study)
    assert early["incomplete"] == ["real/hard", "real/mixed"]
    assert early["noises"] == []
    assert noise.train(study, lambda step: False)
    return study


def test_what_is_complete_is_not_trained_again(study):
    def refuse(step):
        assert step == 0  # Before each run; a step of training would tell its number.
        return False

    assert noise.train(study, refuse)


def test_another_config_in_the_same_folder_is_refused(study):
    changed = Study(study.out, config(optimizer__weight_decay=0.5), 200, [0, 1], ["hard"], ["real"])
    with pytest.raises(UserError, match="holds a run of another config; choose another --out"):
        noise.train(changed, lambda step: False)


def test_the_table_is_of_human_labels_and_compared_with_hard(study):
    found = noise.collect(study)
    assert found["incomplete"] == []
    (real,) = found["noises"]
    hard, mixed = real["methods"]
    metrics = study.out / "real/seed-1/mixed/evaluation/metrics.json"
    one = json.loads(metrics.read_text())
    assert one["label"] == "human_label"
    assert mixed["accuracy"]["values"][1] == one["model"]["accuracy"]
    assert real["teacher"][1] == one["teacher"]["accuracy"]
    assert hard["against_hard"] is None
    test = mixed["against_hard"]["accuracy"]
    difference = mixed["accuracy"]["mean"] - hard["accuracy"]["mean"]
    assert test["difference"] == pytest.approx(difference)
    low, high = test["interval_95"]
    assert low <= difference <= high


def test_files_hold_the_table(study):
    found = noise.collect(study)
    noise_report.write(study.out, found, "tiny_config.py")
    with open(study.out / "noise.csv", newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["hard", "mixed", "teacher", "majority"]
    values = found["noises"][0]["methods"][1]["accuracy"]
    assert float(rows["mixed"]["worst"]) == values["worst"] == min(values["values"])
    assert [float(rows["mixed"][f"seed_{seed}"]) for seed in (0, 1)] == values["values"]
    assert rows["hard"]["minus_hard"] == ""
    page = (study.out / "noise.html").read_text()
    assert page.count("<svg") == 1
    assert "half hard, half soft" in page
    saved = json.loads((study.out / "noise.json").read_text())
    assert (
        saved["noises"][0]["methods"][0]["accuracy"]["values"]
        == found["noises"][0]["methods"][0]["accuracy"]["values"]
    )


def test_intervals_are_students():
    values = [0.91, 0.93, 0.95]
    low, high = noise.interval(values)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose([low, high], expected)
    assert noise.interval([0.9]) is None
