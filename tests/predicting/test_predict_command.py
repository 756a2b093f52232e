"""`python -m vit_sentiment.predict` on files, folders, patterns and standard input."""

import csv
import io
import json
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from PIL import Image

from checkpoints import google_npz
from input_pipeline.records import CLASSES
from vit_sentiment.evaluation import prediction_files
from vit_sentiment.inference.model import load
from vit_sentiment.models.calibration import Calibration
from vit_sentiment.predicting import choices, given
from vit_sentiment.runtime.errors import UserError

CURVE = ((0.0, 1.0, 0.5), (0.4, 0.8, 0.75), (0.9, 0.1, 1.0))


@pytest.fixture(scope="module")
def folder(golden, tmp_path_factory):
    """Five photos, two of them in folders, a damaged one, and a calibrated model."""
    root = tmp_path_factory.mktemp("predict")
    for number, name in enumerate(
        ("a.jpg", "b.png", "photos/c.jpg", "photos/sub/d.WEBP", "photos/é, x.jpg")
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    (root / "photos/bad.jpg").write_text("no photo")
    (root / "photos/notes.txt").write_text("not a photo by its name")
    (root / "photos/.hidden.jpg").write_text("nor is this")
    model = load(golden / "keras_train/initial.npz", gelu="exact")
    calibration = Calibration(
        1.0, (0.2, 0.3, 0.5), 9, "tweets", "validation", "human_label", "0f", None, CURVE
    )
    google_npz.write(
        root / "model.npz", model.params, model.description.replace(calibration=calibration)
    )
    return root


@pytest.fixture(scope="module")
def model(folder):
    return load(folder / "model.npz")


@pytest.fixture
def predict(run, folder):
    def start(*words):
        return run("vit_sentiment.predict", "--model=model.npz", *words, cwd=folder)

    return start


def piped(folder, data, *words):
    return subprocess.run(
        [sys.executable, "-m", "vit_sentiment.predict", "--model=model.npz", *words],
        input=data,
        capture_output=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_table_of_files_and_folders_with_a_row_for_a_bad_photo(predict, folder, model):
    done = predict("a.jpg", "photos", "missing.jpg")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["photo", "label", "confidence", *CLASSES]
    names = ["a.jpg", "photos/bad.jpg", "photos/c.jpg", "photos/é, x.jpg", "photos/sub/d.WEBP"]
    assert [line.startswith(name) for line, name in zip(lines[1:], names, strict=False)] == [
        True
    ] * 5
    assert "error: not an image in a known format" in lines[2]
    assert "error: no such file" in lines[6]
    expected = model.predict(folder / "a.jpg")
    assert lines[1].split()[1:] == [
        expected.label,
        *(f"{value:.4f}" for value in (expected.confidence, *expected.probs.values())),
    ]
    assert "photos: 1 files that are not photos by their names are left out" in done.stderr
    assert "2 error" in done.stderr
    assert done.stderr.splitlines()[-1] == ("error: 2 of 6 photos cannot be read; see their rows")


def test_files_that_other_programs_read(predict, folder, model):
    done = predict("a.jpg", "b.png", "photos/bad.jpg", "--csv=out/p.csv", "--jsonl", "p.jsonl")
    assert (done.returncode, done.stdout) == (1, "")
    found = [model.predict(folder / name) for name in ("a.jpg", "b.png")]
    expected = np.float32([list(prediction.probs.values()) for prediction in found])
    table = pl.read_csv(folder / "out/p.csv")
    assert table.columns == ["path", "NEG", "NEU", "POS", "label", "confidence", "error"]
    assert table["path"].to_list() == ["a.jpg", "b.png", "photos/bad.jpg"]
    np.testing.assert_allclose(table["NEG", "NEU", "POS"].to_numpy()[:2], expected, atol=1e-6)
    assert table["label"].to_list() == [*(prediction.label for prediction in found), None]
    assert table["error"].to_list() == [None, None, "not an image in a known format"]
    read = prediction_files.read(folder / "out/p.csv", table["path"].to_list())
    assert read.known.tolist() == [True, True, False]
    rows = [json.loads(line) for line in (folder / "p.jsonl").read_text().splitlines()]
    assert [row["path"] for row in rows] == table["path"].to_list()
    assert rows[0]["probs"] == pytest.approx(found[0].probs, abs=1e-6)
    assert rows[2] == {
        "path": "photos/bad.jpg",
        "label": None,
        "confidence": None,
        "probs": None,
        "error": "not an image in a known format",
    }


def test_strict_stops_at_the_first_bad_photo_and_writes_nothing(predict, folder):
    done = predict("a.jpg", "photos/bad.jpg", "missing.jpg", "--strict", "--csv=strict.csv")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: photos/bad.jpg: not an image in a known format"
    assert not list(folder.glob("*strict*"))


def test_binary_labels_and_abstaining(predict, folder, model):
    done = predict("a.jpg", "b.png", "--binary", "--csv=-", "--threshold=0.93")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    for row, name in zip(rows, ("a.jpg", "b.png"), strict=True):
        expected = model.predict(folder / name, binary=True, threshold=0.93)
        assert row["label"] == (expected.label or "")
        assert float(row["NEG"]) == pytest.approx(expected.probs["negative"], abs=1e-6)
    assert {row["label"] != "" for row in rows} == {True, False}


def test_names_that_are_not_utf_8_come_out_as_they_are(folder, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")  # As in most locales.
    done = piped(folder, b"gone-\xff.jpg\n", "-", "--csv=-")
    assert done.stdout.splitlines()[1] == b"gone-\xff.jpg,,,,,,no such file"
    assert done.returncode == 1
    assert rb"gone-\udcff.jpg" in piped(folder, b"gone-\xff.jpg\n", "-").stdout


def test_photos_and_paths_from_standard_input(folder, model):
    expected = model.predict(folder / "b.png")
    alone = piped(folder, (folder / "b.png").read_bytes(), "-", "--jsonl=-")
    assert alone.returncode == 0, alone.stderr
    row = json.loads(alone.stdout)
    assert (row["path"], row["label"]) == ("-", expected.label)
    paths = piped(folder, "b.png\r\nphotos/é, x.jpg\n\n".encode(), "-", "--jsonl=-")
    rows = [json.loads(line) for line in paths.stdout.splitlines()]
    assert [row["path"] for row in rows] == ["b.png", "photos/é, x.jpg"]
    nothing = piped(folder, b"\n", "-")
    assert nothing.stderr.decode().splitlines()[-1] == (
        "error: standard input: expected a photo or paths, one a line, found nothing"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give either photos or --list; see --help"),
        (("a.jpg", "--list=photos.txt"), "give either photos or --list; see --help"),
        (("a.jpg", "--out=x"), "--out does not go without --list"),
        (("--list=photos.txt", "--csv=x"), "--csv does not go with --list"),
        (("nothing*.jpg",), "nothing*.jpg: no file matches"),
        (
            ("b.png", "--csv", "a.jpg"),
            "a.jpg: predictions are not written to a file that is named as a photo",
        ),
        (("b.png", "--csv=x", "--jsonl=./x"), "--csv and --jsonl are both x, expected two files"),
        (("b.png", "--csv=-", "--jsonl=-"), "--csv and --jsonl are both -, expected two files"),
        (("b.png", "--csv=photos"), "photos: a folder, expected the name of a file"),
        (("a.jpg", "--threshold=2"), "threshold: expected a confidence of 0 to 1, found 2.0"),
        (("a.jpg", "--threshold=0.5", "--abstain=0.1"), "--threshold and --abstain exclude"),
        (("a.jpg", "--prior=0.5,0.5"), "--prior: expected 3 numbers with commas between"),
    ],
)
def test_mistakes_are_told_in_a_line(predict, folder, words, message):
    before = (folder / "a.jpg").read_bytes()
    done = predict(*words)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    assert (folder / "a.jpg").read_bytes() == before


def test_patterns_and_folders(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)

    def names(*words):
        return [name for name, _ in given.photos(words)]

    below = ["photos/bad.jpg", "photos/c.jpg", "photos/é, x.jpg", "photos/sub/d.WEBP"]
    assert names("photos") == below
    assert names("photos/*.jpg", "a.jpg") == [*below[:3], "a.jpg"]
    assert sorted(names("**/*.jpg")) == sorted(["a.jpg", *below[:3]])
    assert names("ph*os") == below
    assert names("not_there.jpg", "photos/notes.txt") == ["not_there.jpg", "photos/notes.txt"]
    (tmp_path / "[1].jpg").write_bytes(b"")
    assert names(str(tmp_path / "[1].jpg")) == [str(tmp_path / "[1].jpg")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no photos there"):
        names(str(tmp_path / "empty"))


def test_thresholds_come_from_the_calibration(model):
    description = model.description

    def threshold(**options):
        return choices.choose(description, **options).rule.threshold

    assert threshold() == 0
    assert threshold(abstain=0.2) == 0.4
    assert threshold(abstain=0.95) == 0.9
    assert threshold(accuracy=0.7) == 0.4
    with pytest.raises(UserError, match="expected a share of at least 0, below 1"):
        threshold(abstain=1.0)
    with pytest.raises(UserError, match="not for --binary; give --threshold"):
        threshold(abstain=0.2, binary=True)
    bare = description.replace(calibration=None)
    for option in ("abstain", "accuracy"):
        with pytest.raises(UserError, match=f"--{option} needs a calibrated model"):
            choices.choose(bare, **{option: 0.5})
    with pytest.raises(UserError, match="--prior needs a calibrated model"):
        choices.choose(bare, prior=(0.2, 0.3, 0.5))


def test_figures_explain_each_photo_that_can_be_read(predict, folder):
    done = predict("a.jpg", "photos/bad.jpg", "photos/sub", "--explain=maps", "--csv=-")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 4
    assert sorted(path.name for path in (folder / "maps").iterdir()) == [
        "00001-a.png",
        "00002-d.png",
    ]
    for path in (folder / "maps").iterdir():
        with Image.open(path) as figure:
            assert min(figure.size) > 200
    again = predict("a.jpg", "--explain=maps")
    long, odd = folder / f"{'é' * 125}.jpg", folder / os.fsdecode(b"\xff $x_[b].jpg")
    for path in (long, odd):
        path.write_bytes((folder / "a.jpg").read_bytes())
    odd_names = predict(long.name, odd.name, "--explain=odd", "--jsonl=-")
    assert odd_names.returncode == 0, odd_names.stderr
    assert [path.name[5:8] for path in sorted((folder / "odd").iterdir())] == ["-éé", "-\udcff "]
    assert again.stderr.splitlines()[-1] == "error: --explain=maps: expected a new or empty folder"


def test_known_class_shares_correct_the_probabilities(predict, folder, model):
    done = predict("a.jpg", "--jsonl=-", "--prior=0.6,0.2,0.2")
    assert done.returncode == 0, done.stderr
    before = np.array(list(model.predict(folder / "a.jpg").probs.values()))
    after = before * np.array([0.6 / 0.2, 0.2 / 0.3, 0.2 / 0.5])
    found = json.loads(done.stdout)["probs"]
    np.testing.assert_allclose(list(found.values()), after / after.sum(), atol=1e-6)
