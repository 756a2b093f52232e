"""The command `cross_validate`, as a user runs it, on a miniature of the original's tree."""

import csv
import functools
import json
import os
import signal
import subprocess
import sys
import time

import dataset_tree
import jax
import numpy as np
import polars as pl
import pytest
import sklearn.metrics
import sklearn.model_selection
import tiny

from checkpoints import google_npz
from input_pipeline import pixels
from vit_sentiment.inference.forward import outputs
from vit_sentiment.inference.model import load
from vit_sentiment.models.classifier import init_params, normalise
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.reporting import metric_log

ROOT = tiny.CONFIG_FILE.parents[1]
MODEL = ModelDescription(
    image_size=(16, 16), patch_size=8, hidden_size=16, num_layers=1, num_heads=2, mlp_size=32,
    head_hidden=4, gelu="exact",
)  # fmt: skip
TWITTER = "benchmark/Twitter Testing Dataset I"
FI = "benchmark/FI"
FOLDS = (
    "-b", "5agree", "--config=configs/cross_validate.py:original", "--config.model.dropout=0.0",
    "--config.log_every=1", "--config.stages[0].learning_rate=1e-3", "--config.seed=5",
    "--config.stages[0].epochs=3", "--epochs=8", "--batch_size=4", "--seed=7",
    "--at_once=always",
)  # fmt: skip
"""Flags win over fields, and folds of 9 and 10 photos go one after another."""
SPLITS = (
    "-b", "FI", "--splits=given", "--config.validation.every_steps=1", "--on_error=skip",
    "--config.stages[0].learning_rate=3e-4", "--config.data.batch_size=16", "--epochs=2",
    "--format=original",
)  # fmt: skip
BROKEN = "fear/fear_0001.jpg"
MASK = np.array([1, 1e-7, 1])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the tree `dataset` and weights; a photo of FI is broken.

    The photos to validate on in split 1 of FI are those to train on that the weights get wrong,
    under the weights' label: training makes validation worse, so that the best are early ones.
    """
    place = tmp_path_factory.mktemp("place")
    dataset_tree.write(place / "dataset")
    (place / "dataset" / FI / "images" / BROKEN).write_bytes(b"<html>")
    bare = MODEL.replace(num_classes=0, classes=(), head_hidden=None)
    for name, description in (("start", MODEL), ("bare", bare)):
        init = jax.jit(functools.partial(init_params, description))
        google_npz.write(place / f"{name}.npz", init(jax.random.key(1)), description)
    split = place / "dataset" / FI / "split_1"
    rows = [line.split(",") for line in (split / "FI_train.csv").read_text().split()[1:]]
    rows = [(path, int(label)) for path, label in rows if path != BROKEN]
    images = place / "dataset" / FI / "images"
    probs = probabilities(load(place / "start.npz"), images, [path for path, _ in rows])
    told = np.where(probs[:, 2] > probs[:, 0], 2, 0).tolist()
    wrong = [
        f"{path},{ours}" for (path, gold), ours in zip(rows, told, strict=True) if ours != gold
    ]
    (split / "FI_val.csv").write_text("\n".join(["path,class", *wrong, ""]))
    return place


def words(place, *extra, out, file="start.npz"):
    return [
        f"-m=boosted_model={place / file}",
        f"--root={place / 'dataset'}",
        f"--out={place / out}",
        *extra,
    ]


@pytest.fixture(scope="module")
def done(place, run):
    """Completed processes by name: `folds` after a SIGTERM, which `stopped` got, and `splits`."""
    arguments = words(place, *FOLDS, out="folds")
    process = subprocess.Popen(
        [sys.executable, "-m", "vit_sentiment.cross_validate", *arguments],
        cwd=ROOT,
        env=os.environ | tiny.ENV | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not metric_log.read(place / "folds" / "fold-0"):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    there = {path.relative_to(place / "folds").as_posix() for path in place.glob("folds/*/*")}
    stopped = subprocess.CompletedProcess(there, process.returncode, out, err)

    def call(*extra, out, cwd):
        arguments = words(place, *extra, out=out)
        return run("vit_sentiment.cross_validate", *arguments, env=tiny.ENV, cwd=cwd)

    found = tiny.together(
        {
            "folds": lambda: call(*FOLDS, out="folds", cwd=ROOT),
            "splits": lambda: call(*SPLITS, out="splits", cwd=place),
        }
    )
    return found | {"stopped": stopped}


def summary(place, done, name):
    assert done[name].returncode == 0, done[name].stderr
    return json.loads((place / name / "cross_validation.json").read_text())


def five_agree(place):
    """Paths and labels, 0 and 1, as the list has them."""
    table = pl.read_csv(place / "dataset" / TWITTER / "5agree.csv")
    return table["path"].to_list(), table["class"].to_numpy()


def fold_paths(place):
    paths, labels = five_agree(place)
    splitter = sklearn.model_selection.StratifiedKFold(5, shuffle=True, random_state=7)
    splits = splitter.split(np.zeros(len(paths)), labels)
    return [[[paths[number] for number in part] for part in split] for split in splits]


@functools.partial(jax.jit, static_argnums=0)
def forward(description, params, images):
    return outputs(description, params, normalise(images, description))["probs"]


def probabilities(model, folder, paths):
    """Softmax of photos, computed without loader, mask and benchmark; at most 28 photos."""
    bare = model.description.replace(output_mask=None)
    images = np.zeros((28, *bare.image_size, 3), np.float32)
    for number, path in enumerate(paths):
        images[number] = pixels.load((folder / path).read_bytes(), bare.image_size, "exact")
    return np.asarray(forward(bare, model.params, images), float)[: len(paths)]


def test_sigterm_saves_and_leaves_later_folds_alone(done):
    stopped = done["stopped"]
    assert stopped.returncode == 0, stopped.stderr
    resume = "resume with: python -m vit_sentiment.cross_validate -m=boosted_model="
    assert stopped.stdout.startswith(resume)
    assert "stopped and saved at step" in stopped.stderr
    assert not {"fold-4/run.json", "predictions/fine_tune_5agree_0.csv"} & stopped.args


def test_predictions_are_masked_and_of_the_test_part_in_the_lists_order(place, done):
    summary(place, done, "folds")
    for number, (_, test) in enumerate(fold_paths(place)):
        table = pl.read_csv(place / "folds" / "predictions" / f"fine_tune_5agree_{number}.csv")
        assert table["path"].to_list() == test
        model = load(place / "folds" / f"fold-{number}", checkpoint="latest")
        expected = probabilities(model, place / "dataset" / TWITTER / "images", test) * MASK
        found = table["NEG", "NEU", "POS"].to_numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_each_fold_starts_with_the_files_head_and_learns_the_masked_pair(place, done):
    """The loss of the first step, on the first photos of the part, without dropout."""
    model = load(place / "start.npz")
    gold = dict(zip(*five_agree(place), strict=True))
    for number, (train, _) in enumerate(fold_paths(place)):
        probs = probabilities(model, place / "dataset" / TWITTER / "images", train[:4])
        masked = np.clip(probs * MASK, 1e-7, 1 - 1e-7)
        shares = masked / masked.sum(1, keepdims=True)
        expected = -np.mean([np.log(s[2 * gold[p]]) for s, p in zip(shares, train, strict=False)])
        rows = metric_log.read(place / "folds" / f"fold-{number}")
        assert rows[0]["train/loss"] == pytest.approx(expected, abs=1e-5)
        manifest = json.loads((place / "folds" / f"fold-{number}" / "manifest.json").read_text())
        assert manifest["initial_weights"] == model.model_id


def test_figures_are_those_of_the_prediction_files(place, done):
    found = summary(place, done, "folds")
    gold = dict(zip(*five_agree(place), strict=True))
    accuracies, scores = [], []
    for number in range(5):
        table = pl.read_csv(place / "folds" / "predictions" / f"fine_tune_5agree_{number}.csv")
        predicted = (table["POS"] > table["NEG"]).cast(int).to_list()
        labels = [gold[path] for path in table["path"]]
        accuracies.append(np.mean(np.equal(predicted, labels)))
        scores.append(sklearn.metrics.f1_score(labels, predicted, average="macro"))
    for name, values in (("accuracy", accuracies), ("macro_f1", scores)):
        figure = found["figures"][name]
        assert figure["values"] == pytest.approx(values)
        assert figure["mean"] == pytest.approx(np.mean(values))
        deviation = np.sqrt(np.mean((np.array(values) - np.mean(values)) ** 2))
        assert figure["deviation"] == pytest.approx(deviation)
    with open(place / "folds" / "cross_validation.csv", newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["figure"] == "accuracy"]
    told = [float(row[key]) for key in ("mean", "deviation", "fold 0", "fold 4")]
    assert told == pytest.approx(
        [np.mean(accuracies), np.std(accuracies), accuracies[0], accuracies[4]]
    )
    assert f"{np.mean(accuracies):.4f}" in done["folds"].stdout


def test_flags_win_and_the_record_says_what_was_done(place, done):
    found = summary(place, done, "folds")
    config = found["config"]
    assert (config["seed"], config["data"]["batch_size"]) == (7, 4)
    assert (config["stages"][0]["epochs"], config["stages"][0]["learning_rate"]) == (8.0, 1e-3)
    assert [(p["train"], p["test"], p["step"]) for p in found["parts"]] == [
        (9, 3, 18), (9, 3, 18), (10, 2, 20), (10, 2, 20), (10, 2, 20),
    ]  # fmt: skip
    assert (found["model"], found["benchmark"], found["kind"]) == (
        "boosted_model",
        "5agree",
        "fold",
    )
    manifest = json.loads((place / "folds" / "manifest.json").read_text())
    assert manifest["config"] == config
    assert {"packages", "command"} <= set(manifest)
    assert "they go one after another" in done["folds"].stderr
    page = (place / "folds" / "report.html").read_text()
    for text in ("boosted_model, fine-tuned", "deviation", "fold 4", "say nothing of other seeds"):
        assert text in page


def test_splits_are_judged_on_test_by_the_best_on_validation(place, done):
    found = summary(place, done, "splits")
    assert [part["name"] for part in found["parts"]] == ["1", "2", "3", "4", "5"]
    folder = place / "dataset" / FI
    for number, part in enumerate(found["parts"], start=1):
        workdir = place / "splits" / f"split-{number}"
        scores = {
            row["step"]: row["validation/binary_accuracy"]
            for row in metric_log.read(workdir)
            if "validation/binary_accuracy" in row
        }
        assert list(scores) == [1, 2, 3, 4]
        assert scores[part["step"]] == max(scores.values())
        lines = (folder / f"split_{number}" / "FI_test.csv").read_text().split()[1:]
        rows = [line.split(",") for line in lines]
        name = f"fine_tune_FI_{number}.csv"
        table = pl.read_csv(place / "splits" / "predictions" / name)
        assert table.columns == ["NEG", "NEU", "POS"]
        assert len(table) == len(rows)
        readable = [k for k, (path, _) in enumerate(rows) if path != BROKEN]
        paths = [rows[k][0] for k in readable]
        model = load(workdir, checkpoint=str(part["step"]))
        expected = probabilities(model, folder / "images", paths)
        np.testing.assert_allclose(table.to_numpy()[readable], expected, rtol=1e-4, atol=1e-7)
        labels = [int(rows[k][1]) // 2 for k in readable]
        right = (expected[:, 2] > expected[:, 0]) == labels
        assert part["accuracy"] == pytest.approx(np.mean(right))
        assert part["unreadable"] == len(rows) - len(readable)
    first = found["parts"][0]
    assert first["step"] < 4  # Training has made it worse; see `place`.
    assert (
        load(place / "splits" / "split-1" / "best.npz").model_id
        == load(place / "splits" / "split-1", checkpoint=str(first["step"])).model_id
    )
    assert found["config"]["model"]["output_mask"] == []
    assert found["config"]["seed"] == 42


def test_a_broken_photo_is_masked_in_training_and_listed(place, done):
    """It is in the training part of some splits and the test part of one at least."""
    found = summary(place, done, "splits")
    assert sum(part["unreadable"] for part in found["parts"]) > 0
    for number, part in enumerate(found["parts"], start=1):
        folder = place / "splits"
        lists = place / "dataset" / FI / f"split_{number}"
        trained = BROKEN in (lists / "FI_train.csv").read_text()
        unreadable = folder / f"split-{number}" / "unreadable.csv"
        assert unreadable.exists() == trained
        if trained:
            assert unreadable.read_text().split() == ["id", BROKEN]
        problems = folder / "predictions" / f"fine_tune_FI_{number}.problems.csv"
        assert problems.exists() == bool(part["unreadable"])


@pytest.mark.parametrize(
    ("extra", "file", "message"),
    [
        (["-b", "5agree", "--config.sed=1"], "start.npz",
         "--config.sed=1: unknown field 'sed'; nearest: seed"),
        (["-b", "FI"], "start.npz",
         "--benchmark=FI --splits=generated: FI has given splits, other benchmarks have"),
        (["-b", "FI", "--splits=given", "--folds=5"], "start.npz",
         "--folds=5: given splits are not drawn; leave it out"),
        (["-b", "t4sa/bal:test"], "start.npz",
         "--benchmark=t4sa/bal:test: is a test set that no human labelled"),
        (["-b", "5agree"], "bare.npz", "{place}/bare.npz: has no head; train one first"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(place, run, extra, file, message):
    arguments = words(place, *extra, out="none", file=file)
    done = run("vit_sentiment.cross_validate", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {message.format(place=place)}")
    assert not (place / "none").exists()
