"""The command `calibrate`, and `evaluate` after it."""

import json
import shutil

import jax
import numpy as np
import pytest
import tiny

from checkpoints import google_npz
from input_pipeline.sources import open_source
from vit_sentiment.evaluation import judge
from vit_sentiment.evaluation.calibration import figures_of
from vit_sentiment.inference.model import load

SCALE = 8
AGAINST = ("--split=train", "--label=teacher_label")


def written(done, folder, name):
    assert done.returncode == 0, done.stderr
    return json.loads((folder / name).read_text())


def overconfident(trained, folder):
    """The best weights with logits `SCALE` times as large, in a file without description."""
    model = load(trained / "best.npz")
    params = jax.tree.map(np.asarray, model.params)
    head = {name: value * SCALE for name, value in params["head"].items()}
    google_npz.write(folder / "sure.npz", {**params, "head": head}, model.description)
    (folder / "sure.json").unlink()
    return folder / "sure.npz"


@pytest.fixture(scope="module")
def results(trained, distilled, run, tmp_path_factory):
    """Folder of the copied run and the file, and completed processes by name."""
    folder = tmp_path_factory.mktemp("calibrated")
    workdir = shutil.copytree(trained, folder / "run")
    model = {"run": f"--workdir={workdir}", "sure": f"--weights={overconfident(trained, folder)}"}

    def call(verb, name, out, *extra):
        arguments = [model[name], f"--data={distilled}", f"--out={folder / out}", *extra]
        return run(f"vit_sentiment.{verb}", *arguments, env=tiny.ENV)

    def of_workdir():
        return {
            "first": call("calibrate", "run", "first", *AGAINST),
            "evaluated": call("evaluate", "run", "evaluated", *AGAINST),
            "again": call("calibrate", "run", "again", "--nostore"),
        }

    def of_file():
        return call("calibrate", "sure", "sure", *AGAINST)

    done = tiny.together({"workdir": of_workdir, "sure": of_file})
    return folder, {**done.pop("workdir"), **done}


def result(results, name):
    return written(results[1][name], results[0] / name, "calibration.json")


def test_the_calibration_is_in_both_descriptions_of_a_run(results, trained):
    workdir = results[0] / "run"
    stored = result(results, "first")["calibration"]
    assert json.loads((workdir / "model.json").read_text())["calibration"] == stored
    assert (stored["rows"], stored["split"], stored["label"]) == (160, "train", "teacher_label")
    model = load(workdir)
    assert stored["step"] == model.step
    assert load(workdir / "best.npz").description == model.description
    assert model.description.replace(calibration=None) == load(trained).description
    assert f"stored: {workdir / 'model.json'}, for step {model.step}" in results[1]["first"].stdout


def test_evaluate_finds_the_calibrated_probabilities(results):
    told = result(results, "first")["figures"]
    found = written(results[1]["evaluated"], results[0] / "evaluated", "metrics.json")
    assert found["model"]["accuracy"] == told["uncalibrated"]["accuracy"]
    assert found["model"]["log_loss"] < told["uncalibrated"]["log_loss"] - 1e-3
    for name, value in told["fitted"].items():
        assert found["model"][name] == pytest.approx(value, abs=1e-5)
    assert any("was calibrated on these photos" in text for text in found["warnings"])


def test_an_overconfident_model_gets_its_doubts_back(results):
    """Logits that are so many times as large need so many times the temperature."""
    plain, sure = result(results, "first"), result(results, "sure")
    assert sure["temperature"] == pytest.approx(SCALE * plain["temperature"], rel=1e-3)
    before, unseen, after = sure["figures"].values()
    assert before["calibration_error"] > 0.2
    assert unseen["calibration_error"] < before["calibration_error"] / 2
    assert after == pytest.approx(plain["figures"]["fitted"], abs=1e-3)


def test_a_second_calibration_starts_from_raw_logits(results, trained, distilled):
    """Validation photos and human labels are the default; nothing is stored if not wanted."""
    again = result(results, "again")
    told = again["calibration"]
    assert (told["split"], told["label"], told["rows"]) == ("validation", "human_label", 20)
    assert "validation, 20 photos against human_label" in results[1]["again"].stdout
    source = open_source(str(distilled), "validation")
    raw = judge.predictions(load(trained), source, batch_size=20)
    expected = figures_of(source.labels("human_label"), raw.probs)
    assert again["figures"]["uncalibrated"] == pytest.approx(expected, abs=1e-5)
    stored = json.loads((results[0] / "run" / "model.json").read_text())["calibration"]
    assert stored == result(results, "first")["calibration"]


def test_trained_photos_are_a_warning(results):
    (leak, *_) = result(results, "first")["warnings"]
    assert leak.startswith("160 of 160 groups (tweets) were in the training data")
    assert f"warning: {leak}" in results[1]["first"].stderr
    assert leak in (results[0] / "first" / "report.html").read_text()


def test_a_file_gets_a_description(results):
    stored = result(results, "sure")["calibration"]
    assert stored["step"] is None
    saved = json.loads((results[0] / "sure.json").read_text())
    assert saved["description"]["calibration"] == stored
    assert saved["model_id"] == load(results[0] / "sure.npz").model_id
    assert "sure.json: made, with what was derived and assumed" in results[1]["sure"].stderr


def test_the_report_shows_both_diagrams_and_the_curve(results):
    result(results, "first")
    page = (results[0] / "first" / "report.html").read_text()
    assert page.count('aria-label="Reliability diagram"') == 2
    assert page.count('aria-label="Accuracy against coverage"') == 1
    assert (results[0] / "first" / "manifest.json").exists()


def test_a_finished_run_keeps_its_calibration(results, distilled, tmp_path):
    """Starting it again changes no description, and exports the calibrated one if it must."""
    stored = result(results, "first")["calibration"]
    workdir = shutil.copytree(results[0] / "run", tmp_path / "run")
    texts = {name: (workdir / name).read_bytes() for name in ("model.json", "best.json")}
    assert tiny.train(tiny.config(distilled), workdir)
    for name, text in texts.items():
        assert (workdir / name).read_bytes() == text
    for name in ("best.npz", "best.json"):
        (workdir / name).unlink()
    assert tiny.train(tiny.config(distilled), workdir)
    assert (workdir / "model.json").read_bytes() == texts["model.json"]
    exported = json.loads((workdir / "best.json").read_text())
    assert exported["description"]["calibration"] == stored
