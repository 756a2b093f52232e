"""The command `export`: ONNX, StableHLO and `.npz`, and what is refused of every format."""

import json
import pathlib
import re
import subprocess
import sys

import described
import jax
import numpy as np
import pytest
import tiny
import verbs
from PIL import Image

from checkpoints import google_npz
from vit_sentiment.exporting import checking, onnx_file, samples, stablehlo
from vit_sentiment.inference.model import load

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_pictures")


def test_a_user_exports_onnx_and_int8_with_their_accuracy(run, source, photos, tmp_path):
    out = tmp_path / "new" / "model.onnx"
    words = (
        "--format=onnx",
        f"--out={out}",
        "--int8",
        f"--data={photos}",
        f"--images={photos.parent}",
    )
    done = run("vit_sentiment.export", f"--model={source}", *words, env=tiny.ENV)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.int8.onnx", "model.onnx"]
    assert "7 photos against human_label" in done.stdout
    model = load(source)
    pixels = samples.to_pixels(
        model.description,
        (np.asarray(Image.open(photos.parent / f"{number}.png")) for number in range(7)),
    )
    labels = np.arange(7) % 3
    for name, path in (("float32", out), ("int8", out.with_name("model.int8.onnx"))):
        probs = onnx_file.load(path, model)(pixels)["probs"]
        accuracy = (probs.argmax(1) == labels).mean()
        told = re.search(rf"^onnxruntime {name} +([\d.]+)", done.stdout, re.M)[1]
        assert float(told) == pytest.approx(accuracy, abs=1e-3)


def test_a_user_exports_stablehlo_and_runs_it_without_this_project(run, source, photos, tmp_path):
    out = tmp_path / "program"
    done = run(
        "vit_sentiment.export", f"--model={source}", "--format=stablehlo", f"--out={out}",
        f"--data={photos}", f"--images={photos.parent}", env=tiny.ENV,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _, _, snippet = done.stdout.partition("alone:\n\n")
    np.save(tmp_path / "pixels.npy", described.pixels(load(source).description, 4))
    call = f"np.load({str(tmp_path / 'pixels.npy')!r})"
    code = re.sub(r"np\.zeros\(.*?, np\.float32\)", lambda _: call, snippet)
    assert call in code
    code += f"\nnp.save({str(tmp_path / 'probs.npy')!r}, program.call(weights, pixels)['probs'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    expected = checking.ours(load(source))(np.load(tmp_path / "pixels.npy"))["probs"]
    np.testing.assert_allclose(np.load(tmp_path / "probs.npy"), expected, atol=1e-6, rtol=0)
    called = json.loads((out / stablehlo.CALL_FILE).read_text())
    assert called["results"] == {
        "probs": ["batch", 3], "logits": ["batch", 3], "features": ["batch", 12]
    }  # fmt: skip


@pytest.mark.parametrize(
    "names", [("map without class token", "mask and calibration"), ("no head",)]
)
def test_stablehlo_takes_every_kind_and_any_batch(names, tmp_path):
    changes = {field: v for name in names for field, v in described.VARIANTS[name].items()}
    model = described.model(num_layers=1, **changes)
    stablehlo.write(tmp_path / "program", model)
    run = stablehlo.load(tmp_path / "program")
    pixels = described.pixels(model.description)
    found = checking.check(model, run, pixels, (1, 4), 1e-6, "out")
    assert set(found) == set(checking.output_names(model))
    assert load(tmp_path / "program" / stablehlo.WEIGHTS_FILE).description == model.description


def test_npz_comes_back_bit_for_bit_with_its_calibration(export, write, tmp_path, capsys):
    source = write(**described.VARIANTS["mask and calibration"])
    out = tmp_path / "out" / "model.npz"
    assert export(f"--model={source}", "--format=npz", f"--out={out}") == 0
    assert "equal bit for bit" in capsys.readouterr().out
    found, wanted = load(out), load(source)
    assert found.model_id == wanted.model_id
    assert found.description.calibration.temperature == 2
    assert found.description.calibration.step is None  # A file has no steps.
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.json", "model.npz"]


def test_int8_without_labels_says_so_and_bfloat16_is_exported_in_float32(
    export, write, tmp_path, capsys
):
    source = write(dtype="bfloat16")
    out = tmp_path / "a.onnx"
    assert export(f"--model={source}", "--format=onnx", f"--out={out}", "--int8") == 0
    told = capsys.readouterr()
    assert "computes in bfloat16; what is exported does in float32" in told.err
    assert "that says nothing of accuracy" in told.out


def damaged(params):
    noise = np.linspace(0, 1, 12, dtype=np.float32)
    return jax.tree.map(np.asarray, {**params, "cls": params["cls"] + noise})


@pytest.mark.parametrize("kind", ["onnx", "stablehlo", "huggingface", "npz"])
def test_what_computes_something_else_is_not_kept(
    export, source, tmp_path, monkeypatch, capsys, kind
):
    from checkpoints import huggingface as layout
    from vit_sentiment.exporting import onnx_graph

    module, name = {
        "onnx": (onnx_graph, "make_model"),
        "stablehlo": (google_npz, "write"),
        "huggingface": (layout, "write"),
        "npz": (google_npz, "write"),
    }[kind]
    original, place = getattr(module, name), 1

    def other(*args):
        args = [damaged(a) if i == place else a for i, a in enumerate(args)]
        return original(*args)

    monkeypatch.setattr(module, name, other)
    out = tmp_path / ("out" + verbs.load("vit_sentiment.export").SUFFIXES.get(kind, ""))
    words = ["--int8"] if kind == "onnx" else []
    assert export(f"--model={source}", f"--format={kind}", f"--out={out}", *words) == 1
    captured = capsys.readouterr()
    assert "not kept, since" in captured.err
    assert captured.out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--format=npz", "--out=a.npz", "--int8"], ["--int8 does not go with --format=npz"]),
        (["--format=stablehlo", "--out=a", "--int8"], ["--int8", "stablehlo"]),
        (["--format=npz", "--out=a.npz", "--data=x"], ["--data does not go with --format=npz"]),
        (["--format=onnx", "--out=a.onnx", "--split=x"], ["--split goes with --data"]),
        (["--format=onnx", "--out=a"], ["--out=a: expected a name that ends in .onnx"]),
        (["--format=npz", "--out=a.onnx"], ["ends in .npz"]),
        (["--format=onnx", "--out=here.onnx"], ["here.onnx: exists"]),
        (["--format=onnx", "--out=b.onnx"], ["b.int8.onnx: exists"]),
        (["--format=huggingface", "--out=folder"], ["folder: exists"]),
        (["--format=tflite", "--out=a"], ["tflite", "onnx"]),
        (["--out=a"], ["--format is required"]),
        (["--format=onnx", "--out=a.onnx", "--data=no.csv"], ["no.csv"]),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    export, source, tmp_path, monkeypatch, capsys, words, parts
):
    monkeypatch.chdir(tmp_path)
    kept = {"here.onnx", "b.int8.onnx", "folder"}
    for name in kept:
        pathlib.Path(name).mkdir()
    assert export(f"--model={source}", *words) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    for part in parts:
        assert part in error
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_classes_that_the_model_does_not_tell_are_refused(export, write, photos, tmp_path, capsys):
    source = write(num_classes=2, classes=("a", "b"))
    words = (f"--data={photos}", f"--images={photos.parent}")
    out = tmp_path / "a.onnx"
    assert export(f"--model={source}", "--format=onnx", f"--out={out}", *words) == 1
    assert not out.exists()
