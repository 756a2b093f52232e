"""The command `evaluate` on a trained model."""

import csv
import json
import re
import shutil

import pytest
import tiny

from input_pipeline.sources import open_source

SIZES = (7, 64)


@pytest.fixture(scope="module")
def evaluated(trained, distilled, golden, run, tmp_path_factory):
    """Completed processes and output folders by name; all run once."""
    folder = tmp_path_factory.mktemp("evaluated")

    def call(name, *extra, workdir=True, devices=1):
        model = [f"--workdir={trained}", f"--data={distilled}"] if workdir else []
        arguments = [*model, f"--out={folder / name}", *extra]
        return run("vit_sentiment.evaluate", *arguments, devices=devices, env=tiny.ENV)

    headless = golden / "google_original" / "checkpoint.npz"
    calls = {
        **{f"batch {size}": [f"--batch_size={size}"] for size in SIZES},
        "train": ["--split=train", "--report_images"],
    }
    thunks = {name: lambda n=name, extra=extra: call(n, *extra) for name, extra in calls.items()}
    thunks["8 devices"] = lambda: call("8 devices", devices=8)
    weights = [f"--weights={headless}", f"--data={distilled}"]
    thunks["bad classes"] = lambda: call("bad classes", *weights, workdir=False)
    return folder, tiny.together(thunks)


def result(evaluated, name):
    folder, done = evaluated
    assert done[name].returncode == 0, done[name].stderr
    return json.loads((folder / name / "metrics.json").read_text())


@pytest.mark.parametrize("name", ["batch 7", "8 devices"])
def test_batch_size_and_devices_do_not_change_the_metrics(evaluated, name):
    found, expected = result(evaluated, name), result(evaluated, "batch 64")
    for key in ("log_loss", "calibration_error", "roc_auc"):
        assert found["model"].pop(key) == pytest.approx(expected["model"].pop(key), abs=1e-5)
    assert found == expected


def test_the_split_is_test_and_the_labels_are_human_ones(evaluated, distilled):
    found = result(evaluated, "batch 64")
    source = open_source(str(distilled), "test")
    assert found["label"] == "human_label"
    assert (found["scored"], found["unlabelled"], found["unreadable"]) == (len(source), 0, 0)
    supports = [values["support"] for values in found["model"]["per_class"].values()]
    assert supports == [int((source.labels("human_label") == c).sum()) for c in range(3)]


def test_predictions_have_one_row_for_each_record_in_order(evaluated, distilled):
    result(evaluated, "batch 7")
    with open(evaluated[0] / "batch 7" / "predictions.csv", newline="") as file:
        header, *rows = csv.reader(file)
    source = open_source(str(distilled), "test")
    assert header == ["path", "NEG", "NEU", "POS", "label", "error"]
    assert [row[0] for row in rows] == source.index["id"].to_list()
    gold = [source.classes[i] for i in source.labels("human_label")]
    hits = sum(row[4] == name for row, name in zip(rows, gold, strict=True))
    assert hits / len(rows) == result(evaluated, "batch 7")["model"]["accuracy"]
    for row in rows:
        assert sum(map(float, row[1:4])) == pytest.approx(1, abs=1e-6)
        assert row[5] == ""


def test_the_teacher_is_scored_beside_its_student(evaluated, distilled):
    source = open_source(str(distilled), "test")
    agreed = (source.labels("teacher_label") == source.labels("human_label")).mean()
    teacher = result(evaluated, "batch 64")["teacher"]
    assert (teacher["rows"], teacher["accuracy"]) == (len(source), agreed)
    lines = evaluated[1]["batch 64"].stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("teacher (text)")]
    assert f"{agreed:.4f}" in line
    assert any(line.startswith("majority class") for line in lines)


def test_training_data_is_recognised_as_a_leak(evaluated):
    (warning,) = result(evaluated, "train")["warnings"]
    assert warning.startswith("160 of 160 groups")
    assert f"warning: {warning}" in evaluated[1]["train"].stderr
    assert warning in (evaluated[0] / "train" / "report.html").read_text()


def test_the_test_split_has_no_leak(evaluated):
    assert result(evaluated, "batch 64")["warnings"] == []
    assert "warning:" not in evaluated[1]["batch 64"].stderr


@pytest.mark.parametrize(("name", "photos"), [("batch 64", False), ("train", True)])
def test_the_report_is_one_file_and_has_photos_only_when_asked(evaluated, name, photos):
    result(evaluated, name)
    page = (evaluated[0] / name / "report.html").read_text()
    assert ("<img" in page) == photos
    links = re.findall(r"""(?:src|href|url|@import)\s*[=(]?\s*["']?([^"'\s)>]+)""", page)
    assert [link for link in links if link.startswith(("http", "//", "file"))] == []
    sources = re.findall(r'src="([^"]*)"', page)
    assert all(text.startswith("data:image/jpeg;base64,") for text in sources)
    assert not re.search(r"<(script|link|iframe|object)\b", page)
    assert page.rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bad classes", ["21 classes", "checkpoint.npz"]),
    ],
)
def test_a_mistake_is_told_in_one_line(evaluated, name, words):
    folder, done = evaluated
    assert done[name].returncode == 1, done[name].stderr
    (line,) = [text for text in done[name].stderr.splitlines() if "WARNING:absl" not in text]
    assert line.startswith("error: ")
    assert all(word in line for word in words), line
    assert not (folder / name).exists()


def test_weights_need_no_workdir(evaluated, trained, distilled, run, tmp_path):
    """The exported best weights score as the workdir's best checkpoint does."""
    for name in ("best.npz", "best.json"):
        shutil.copy(trained / name, tmp_path)
    weights = f"--weights={tmp_path / 'best.npz'}"
    done = run(
        "vit_sentiment.evaluate", weights, f"--data={distilled}", f"--out={tmp_path}", env=tiny.ENV
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["model"] == result(evaluated, "batch 64")["model"]
