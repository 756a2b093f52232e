"""The report of a run, and of several seeds: of the whole run, from its workdir alone."""

import json
import shutil

import pytest
import tiny
from report_checks import check, read

from vit_sentiment.training import run as training_run
from vit_sentiment.training import run_facts, train_report


@pytest.fixture(scope="module")
def stopped(distilled, tmp_path_factory):
    """Workdir of a run of two seeds that was stopped at step 12, its reports, and then resumed."""
    folder = tmp_path_factory.mktemp("stopped") / "seeds"
    config = tiny.config(distilled)
    assert not training_run.train_seeds(config, folder, [0, 1], "never", lambda step: step == 12)
    before = [(folder / name / "report.html").read_text() for name in ("", "seed-0")]
    assert training_run.train_seeds(config, folder, [0, 1], "never", lambda step: False)
    return folder, before


def test_the_report_of_a_run_has_its_figures(trained):
    page = (trained / "report.html").read_text()
    check(page)
    text = read(page)
    found = run_facts.read(trained)
    step, value = found.best
    assert f"Best validation macro-F1 {value:.4f} at step {step}" in text
    assert "Trained 40 of at most 40 steps on 160 photos; the run is complete." in text
    assert found.made["train"]["fingerprint"] in text
    assert "stages[1].learning_rate0.001" in text.replace("\n", "")
    for words in ("learning rate", "photos/s", "macro-F1 (share)", "best checkpoint"):
        assert words in text
    share = found.made["train"]["classes"]["neutral"] / 160
    assert f"{share:.1%}" in text


def test_best_and_last_validation_stand_beside_each_other(trained):
    found = run_facts.read(trained)
    rows = {row["step"]: row for row in found.log if "validation/accuracy" in row}
    text = read((trained / "report.html").read_text()).replace("\n", "")
    best, last = rows[found.best[0]], rows[40]
    assert f"accuracy{best['validation/accuracy']:.4f}{last['validation/accuracy']:.4f}" in text


def test_a_stop_leaves_a_report_and_a_resumed_run_one_of_the_whole(stopped):
    folder, (of_seeds, of_one) = stopped
    for page in (of_seeds, of_one):
        check(page)
        assert "stopped, and goes on with the same command" in read(page)
    assert "Trained 12 of at most 40 steps" in read(of_one)
    page = (folder / "seed-0" / "report.html").read_text()
    check(page)
    assert "Trained 40 of at most 40 steps" in read(page)
    assert "resumed at step 12" in read(page)
    assert "at step 1," in page.split('aria-label="Training curves', 1)[1][:200]


def test_seeds_have_a_report_of_their_own(stopped):
    folder, _ = stopped
    page = (folder / "report.html").read_text()
    check(page)
    text = read(page)
    values = [run_facts.read(folder / f"seed-{seed}").best[1] for seed in (0, 1)]
    assert f"Best validation macro-F1 {sum(values) / 2:.4f} ± " in text
    assert f"worst {min(values):.4f}" in text
    assert "all are complete" in text


def test_a_report_is_made_of_the_files_alone(trained, tmp_path):
    copy = tmp_path / trained.name
    ignored = shutil.ignore_patterns("checkpoints", "tensorboard", "report.html")
    shutil.copytree(trained, copy, ignore=ignored)
    train_report.write(copy, 40, True)
    whole = tmp_path / "whole" / trained.name  # Others may have started `trained` again.
    shutil.copytree(trained, whole)
    train_report.write(whole, 40, True)
    assert (copy / "report.html").read_text() == (whole / "report.html").read_text()
    (copy / "metrics.jsonl").unlink()
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["train"], manifest["validation"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    train_report.write(copy, 40, False)
    page = (copy / "report.html").read_text()
    assert "No validation so far. Trained 0 of at most 40 steps" in read(page)
