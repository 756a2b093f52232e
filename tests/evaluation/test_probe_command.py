"""The command `probe` on a model whose head tells other classes."""

import csv
import dataclasses
import json

import pytest
import tiny

from input_pipeline.sources import open_source
from vit_sentiment.evaluation import judge
from vit_sentiment.inference.model import load


@pytest.fixture(scope="module")
def probed(distilled, golden, run, tmp_path_factory):
    """Completed processes and output folders by name; all run once."""
    folder = tmp_path_factory.mktemp("probed")

    def contradict(record):
        """Human labels that say something else; the teacher's stay."""
        return dataclasses.replace(record, human_label=(record.human_label + 1) % 3)

    other_humans = tiny.rewrite(distilled, folder / "other", contradict)
    table = folder / "photos.csv"
    photo = golden / "decode" / "rgb.png"
    table.write_text(f"path,label\n{photo},negative\nmissing.jpg,neutral\n")
    env = tiny.ENV | {"XDG_CACHE_HOME": str(folder / "cache")}

    def call(name, *extra):
        weights = f"--weights={golden / 'google_original' / 'checkpoint.npz'}"
        return run("vit_sentiment.probe", weights, f"--out={folder / name}", *extra, env=env)

    calls = {
        "plain": [f"--data={distilled}", "--draws=2"],
        "other humans": [f"--data={other_humans}", "--draws=2"],
        "leak": [f"--data={distilled}", "--split=train[:40]", "--draws=1"],
        "table": [f"--data={table}", f"--train_data={distilled}", "--on_error=skip", "--draws=1"],
        "no training data": [f"--data={table}", "--on_error=skip"],
    }
    thunks = {name: lambda n=name, extra=extra: call(n, *extra) for name, extra in calls.items()}
    return folder, tiny.together(thunks)


def result(probed, name):
    folder, done = probed
    assert done[name].returncode == 0, done[name].stderr
    return json.loads((folder / name / "probe.json").read_text())


def test_a_foreign_head_is_no_hindrance(probed, distilled):
    found = result(probed, "plain")
    test = open_source(str(distilled), "test")
    assert found["test"]["fingerprint"] == test.fingerprint
    assert found["test"]["label"] == "human_label"
    assert found["train"]["label"] == found["validation"]["label"] == "teacher_label"
    assert found["linear"]["scored"] == found["knn"]["scored"] == len(test)
    assert found["linear"]["teacher"]["rows"] == len(test)
    assert found["warnings"] == []
    assert list(found["few_shot"]) == ["1", "5", "10"]
    assert len(found["few_shot"]["5"]["draws"]) == 2


def test_the_folder_holds_predictions_report_and_manifest(probed, distilled):
    accuracy = result(probed, "plain")["linear"]["model"]["accuracy"]
    folder = probed[0] / "plain"
    files = {"probe.json", "predictions.csv", "report.html", "manifest.json"}
    assert {path.name for path in folder.iterdir()} == files
    test = open_source(str(distilled), "test")
    with open(folder / "predictions.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "NEG", "NEU", "POS", "label", "error"]
    gold = [test.classes[label] for label in test.labels("human_label")]
    hits = sum(row[4] == name for row, name in zip(rows, gold, strict=True))
    assert hits / len(rows) == accuracy
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["model_id"] == result(probed, "plain")["model_id"]
    assert manifest["test fingerprint"] == test.fingerprint


def test_the_table_names_every_probe(probed):
    k = result(probed, "plain")["k"]
    lines = probed[1]["plain"].stdout.splitlines()
    for name in ("linear (all)", f"{k}-NN", "few-shot, 1 per class", "majority class"):
        assert sum(line.startswith(name) for line in lines) == 1, name


def test_human_labels_do_not_reach_a_distilled_probe(probed):
    """Other human labels in all splits: the same choices and the same predictions."""
    found, other = result(probed, "plain"), result(probed, "other humans")
    assert found["train"]["fingerprint"] != other["train"]["fingerprint"]
    for key in ("C", "k", "C_scores", "k_scores"):
        assert found[key] == other[key]
    predictions = [
        (probed[0] / n / "predictions.csv").read_text() for n in ("plain", "other humans")
    ]
    assert predictions[0] == predictions[1]
    assert found["linear"]["model"]["accuracy"] != other["linear"]["model"]["accuracy"]


def test_a_judged_tweet_that_was_trained_on_is_a_leak(probed):
    (warning,) = result(probed, "leak")["warnings"]
    assert warning.startswith("40 of 40 groups (tweets)")
    assert "the probes' training data" in warning
    assert f"warning: {warning}" in probed[1]["leak"].stderr
    assert "the probes&#x27; training data" in (probed[0] / "leak" / "report.html").read_text()


def test_a_table_can_be_judged_by_what_a_dataset_taught(probed):
    found = result(probed, "table")
    assert found["linear"]["scored"] == 1
    assert found["linear"]["model"]["roc_auc"] is None
    with open(probed[0] / "table" / "problems.csv", newline="") as file:
        ((where, *_),) = list(csv.reader(file))[1:]
    assert where.endswith("photos.csv:3")


def test_a_table_alone_has_nothing_to_train_on(probed):
    folder, done = probed
    assert done["no training data"].returncode == 1
    assert done["no training data"].stderr.splitlines() == [
        f"error: {folder / 'photos.csv'}: has no split to train on; give --train_data"
    ]
    assert not (folder / "no training data").exists()


def test_the_cache_lies_below_the_users(probed):
    identifier = result(probed, "plain")["model_id"]
    cached = list((probed[0] / "cache/vit_sentiment/features" / identifier).iterdir())
    # Train, validation and test, which two datasets share; the slice; and the table's photo.
    assert len(cached) == 5


@pytest.fixture(scope="module")
def evaluated(probed, distilled, run, tmp_path_factory):
    """A run that averages its parameters, evaluated by the command: process and workdir."""
    workdir = tmp_path_factory.mktemp("averaged") / "run"
    assert tiny.train(tiny.config(distilled, ema_decay=0.9), workdir)
    probes = f"--probes={probed[0]}"
    arguments = (f"--workdir={workdir}", f"--data={distilled}", f"--out={workdir / 'out'}")
    done = run("vit_sentiment.evaluate", *arguments, probes, env=tiny.ENV)
    assert done.returncode == 0, done.stderr
    return done, workdir


def test_the_probes_stand_beside_the_student(probed, evaluated):
    """Those of the same photos and label alone: of the other datasets there are probes, too."""
    done, workdir = evaluated
    shown = json.loads((workdir / "out" / "metrics.json").read_text())["probes"]
    probe = result(probed, "plain")
    names = [f"linear probe of {probe['model']}", f"{probe['k']}-NN of {probe['model']}"]
    assert [row["name"] for row in shown] == names
    assert shown[0]["accuracy"] == probe["linear"]["model"]["accuracy"]
    page = (workdir / "out" / "report.html").read_text()
    assert all(name in page and name in done.stdout for name in names)


def test_the_average_stands_beside_the_raw_parameters(evaluated, distilled):
    done, workdir = evaluated
    found = json.loads((workdir / "out" / "metrics.json").read_text())
    source = open_source(str(distilled), "test")
    for name, checkpoint in (("model", "best"), ("ema", "best-ema")):
        predicted = judge.predictions(load(workdir, checkpoint=checkpoint), source, batch_size=20)
        expected = judge.judge(source, predicted, "human_label")["model"]
        assert found[name]["log_loss"] == pytest.approx(expected["log_loss"], abs=1e-6)
    assert found["model"]["log_loss"] != pytest.approx(found["ema"]["log_loss"], abs=1e-4)
    row = "student, moving average, 1 seed"
    assert row in done.stdout
    assert row in (workdir / "out" / "report.html").read_text()
