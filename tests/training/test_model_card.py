"""The card of a model: what the workdir knows, and nothing else."""

import json
import shutil

import pytest
import verbs
import yaml

from checkpoints import google_npz
from vit_sentiment.evaluating import on_data
from vit_sentiment.inference.model import load
from vit_sentiment.training import model_card, run_facts


def head(text):
    return yaml.safe_load(text.split("---\n")[1])


@pytest.fixture(scope="module")
def workdir(trained, distilled, tmp_path_factory):
    """A copy of the run, evaluated."""
    copy = tmp_path_factory.mktemp("card") / "run"
    shutil.copytree(trained, copy)
    options = on_data.Options(
        data=str(distilled), split=None, data_dir="", images=None, label=None, out=None,
        batch_size=20, on_error="fail", probes="", report_images=False,
        hints={"checkpoint": "best"},
    )  # fmt: skip
    on_data.evaluate([str(copy)], None, options)
    return copy


def test_a_run_has_a_card_from_its_end_on(trained):
    text = (trained / "MODEL_CARD.md").read_text()
    facts, found = head(text), run_facts.read(trained)
    assert facts["license"] == "unknown"
    assert facts["pipeline_tag"] == "image-classification"
    assert facts["datasets"] == ["data"]
    assert "base_model" not in facts
    assert "model-index" not in facts
    assert "folder has no evaluation of these weights" in text
    step, value = found.best
    assert f"40 steps with the seed 0. Best validation (validation/macro_f1) {value:.4f}" in text
    assert f"at step {step}" in text
    assert "| teacher: teacher | vader |" in text
    assert "| stages[1].learning_rate | 0.001 |" in text
    assert load(trained).model_id in text
    assert found.made["train"]["fingerprint"] in text
    assert str(trained.parent) not in text


def test_evaluate_puts_its_figures_on_the_card(workdir):
    text = (workdir / "MODEL_CARD.md").read_text()
    (path,) = workdir.glob("evaluation/*/metrics.json")
    result = json.loads(path.read_text())
    low, high = result["model"]["interval_95"]["accuracy"]
    line = f"| model | 20 | {result['model']['accuracy']:.4f} | {low:.4f} to {high:.4f} |"
    assert line in text
    assert f"| majority class | 20 | {result['model']['majority']:.4f} |" in text
    (index,) = head(text)["model-index"][0]["results"]
    assert index["metrics"][0] == {"type": "accuracy", "value": result["model"]["accuracy"]}
    assert text == model_card.card(workdir)


def test_figures_of_other_weights_are_not_on_it(workdir, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(workdir, copy)
    (path,) = copy.glob("evaluation/*/manifest.json")
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "model_id": "another"}))
    assert "folder has no evaluation of these weights" in model_card.card(copy)


@pytest.mark.parametrize("source", ["", "best.npz"])
def test_a_converted_run_has_the_same_card(workdir, tmp_path, source):
    words = (workdir / source, tmp_path / "out", "--license=cc-by-4.0")
    assert verbs.run("checkpoints.convert", *words, arguments=("IN", "OUT")) == 0
    text = (tmp_path / "out" / "README.md").read_text()
    own = (workdir / "MODEL_CARD.md").read_text()
    facts = head(text)
    assert facts["license"] == "cc-by-4.0"
    assert facts["model-index"] == head(own)["model-index"]
    for part in ("## Data", "## Training", "## Results", "## Limits"):
        begin = own.index(part)
        assert own[begin : own.index("\n## ", begin + 1)] in text
    assert "from_pretrained(" in text
    assert "pixel mode `uint8`" in text
    assert "python -m vit_sentiment.export --model=out --format=huggingface" in text
    assert str(tmp_path) not in text


def test_weights_of_nobody_knows_what_have_a_card_that_says_so(trained, tmp_path):
    model = load(trained)
    google_npz.write(tmp_path / "other.npz", model.params, model.description)
    assert model_card.workdir_of(str(tmp_path / "other.npz"), model.model_id) is None
    published = model_card.Published("out", "mit", model.model_id, None, None)
    text = model_card.card_of_weights(model.description, "/home/x/other.npz", published)
    assert "How it was trained, and on what, is not known" in text
    assert "/home" not in text
    assert "library_name" not in head(text)


def test_a_workdir_without_a_run_gets_no_card(tmp_path):
    model_card.write(tmp_path)
    assert list(tmp_path.iterdir()) == []
