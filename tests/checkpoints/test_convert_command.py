"""The command `convert`: every format to every other, with a proof, or not at all."""

import functools
import itertools

import numpy as np
import pytest
import verbs

from checkpoints import google_npz
from vit_sentiment.inference.model import load
from vit_sentiment.models.calibration import Calibration

CALIBRATION = Calibration(
    temperature=2.0, prior=(0.2, 0.3, 0.5), rows=9, data="d", split="s", label="l",
    fingerprint="f", step=None, coverage=((0.0, 1.0, 0.5),),
)  # fmt: skip


@pytest.fixture
def convert():
    return functools.partial(verbs.run, "checkpoints.convert", arguments=("IN", "OUT"))


def test_a_user_converts_a_fold_and_inspects_it(run, golden, tmp_path):
    out = tmp_path / "new" / "fold.npz"
    done = run("checkpoints.convert", golden / "keras_h5/fold_masked.h5", out)
    assert done.returncode == 0, done.stderr
    assert "probs: 0" in done.stdout
    assert sorted(path.name for path in out.parent.iterdir()) == ["fold.json", "fold.npz"]
    with np.load(golden / "keras_h5/expected.npz") as file:
        expected = dict(file)
    np.save(tmp_path / "images.npy", expected["images"])
    results = tmp_path / "outputs.npz"
    done = run(
        "checkpoints.inspect", out, f"--forward={tmp_path / 'images.npy'}", f"--out={results}"
    )
    assert done.returncode == 0, done.stderr
    with np.load(results) as found:
        np.testing.assert_allclose(found["probs"], expected["masked"], atol=1e-5, rtol=0)
        np.testing.assert_allclose(found["features"], expected["features"], atol=1e-5, rtol=0)


def test_through_every_format_and_back(convert, golden, tmp_path, capsys):
    source = golden / "keras_h5/weights_only.h5"
    chain = [source, *(tmp_path / name for name in ("a.npz", "b", "c", "d.h5", "e.npz"))]
    heads = ["--num_heads=4"]
    for one, other in itertools.pairwise(chain):
        hints = heads if one.suffix == ".h5" else []
        to = ["--to=orbax"] if other.name == "b" else []
        assert convert(one, other, *hints, *to) == 0, capsys.readouterr().err
        assert ("needs --num_heads=4" in capsys.readouterr().out) == (other.suffix == ".h5")
    first, last = load(source, num_heads=4), load(chain[-1])
    assert first.model_id == last.model_id
    assert first.description == last.description
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.npz", "a.json", "b", "c", "d.h5", "e.npz", "e.json"
    }  # fmt: skip


def test_a_linear_head_becomes_a_classifier_and_back(convert, golden, tmp_path):
    assert convert(golden / "huggingface_vit", tmp_path / "a.h5") == 0
    assert convert(tmp_path / "a.h5", tmp_path / "b", "--num_heads=4") == 0
    assert load(tmp_path / "b").model_id == load(golden / "huggingface_vit").model_id


def test_a_calibration_goes_where_it_has_a_place(convert, golden, tmp_path, capsys):
    model = load(golden / "keras_h5/full_model.h5")
    calibrated = model.description.replace(calibration=CALIBRATION)
    google_npz.write(tmp_path / "a.npz", model.params, calibrated)
    assert convert(tmp_path / "a.npz", tmp_path / "b", "--to=orbax") == 0
    assert convert(tmp_path / "b", tmp_path / "c.npz") == 0
    assert load(tmp_path / "b").description.calibration.temperature == 2
    assert load(tmp_path / "c.npz").description == calibrated
    assert convert(tmp_path / "b", tmp_path / "e") == 0
    assert load(tmp_path / "e").description == calibrated
    card = (tmp_path / "e" / "README.md").read_text()
    assert "`(logits / 2.0).softmax(-1)`" in card
    assert convert(tmp_path / "a.npz", tmp_path / "d.h5") == 1
    assert "the calibration has no place there" in capsys.readouterr().err
    assert not list(tmp_path.glob("*d*"))


@pytest.mark.parametrize(
    ("source", "out", "parts"),
    [
        ("keras_h5/fold_masked.h5", "x.h5", ["output_mask (1.0, 1e-07, 1.0)"]),
        ("keras_h5/fold_masked.h5", "x", ["output_mask"]),
        ("google_original/checkpoint.npz", "x", ["representation_size 48"]),
        ("google_original/checkpoint.npz", "x.h5", ["gelu tanh would be read as exact"]),
        ("siglip_hf/full", "x", ["class_token False", "pooling map, where it has cls"]),
        ("keras_train/initial.npz", "x.h5", ["pass --gelu"]),
        ("keras_h5/full_model.h5", "here.npz", ["here.npz: exists"]),
        ("keras_h5/full_model.h5", "described.npz", ["described.json: exists"]),
        ("nothing.npz", "x.h5", ["nothing.npz: no such file"]),
    ],
)
def test_what_would_be_lost_or_overwritten_is_told(
    convert, golden, tmp_path, capsys, source, out, parts
):
    kept = {"here.npz", "described.json"}
    for name in kept:
        (tmp_path / name).write_text("{}")
    assert convert(golden / source, tmp_path / out) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    for part in parts:
        assert part in error
    assert {path.name for path in tmp_path.iterdir()} == kept


@pytest.mark.parametrize("value", [1e-3, np.nan])
def test_what_computes_something_else_is_not_kept(
    convert, golden, tmp_path, monkeypatch, capsys, value
):
    write = google_npz.write

    def write_other(path, params, description):
        noise = np.linspace(0, value, description.hidden_size, dtype=np.float32)
        write(path, {**params, "cls": params["cls"] + noise}, description)

    monkeypatch.setattr(google_npz, "write", write_other)
    assert convert(golden / "keras_h5/full_model.h5", tmp_path / "x.npz") == 1
    assert "not kept, since its features differ" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
