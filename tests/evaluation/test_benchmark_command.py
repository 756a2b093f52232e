"""The command `evaluate --benchmark` on a miniature of the original's tree, with tiny models."""

import csv
import io
import json
import shutil

import dataset_tree
import h5py
import numpy as np
import pytest
import simplejpeg
import tiny
from models.written_out import numpy_vit
from PIL import Image

from checkpoints import formats

MINUS = "\N{MINUS SIGN}"
RANGES = {"ViT_B32": (0.0, 1.0), "ViT_L16": (-1.0, 1.0)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree") / "dataset"
    return root, dataset_tree.write(root)


@pytest.fixture(scope="module")
def keras(golden):
    return golden / "keras_h5" / "full_model.h5"


@pytest.fixture(scope="module")
def done(tree, keras, run, tmp_path_factory):
    """Working folder and completed processes by name; all run once."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "dataset").symlink_to(tree[0])
    weights = folder / "cache" / "t4sa"
    weights.mkdir(parents=True)
    shutil.copy(keras, weights / "ViT_B32.h5")  # As if it had been downloaded.
    for k, (name, rows) in enumerate((("mine", 12), ("other", 12))):
        probs = np.random.default_rng(k).dirichlet(np.ones(3), rows)
        np.savetxt(folder / f"{name}.csv", probs, delimiter=",")
    env = {**tiny.ENV, "VIT_SENTIMENT_CACHE": str(folder / "cache")}

    def call(*arguments):
        return run("vit_sentiment.evaluate", *arguments, env=env, cwd=folder)

    models = ",".join(f"{name}={keras}" for name in RANGES)
    files = ["--json=all.json", "--csv=all.csv", "--html=all.html"]
    calls = {
        "models": ["-m", models, "-b", "5agree,t4sa/b_t4sa_1_0:test", *files, "--reproduce"],
        "by name": ["-m", "ViT_B32", "-b", "5agree", "--format=original", "--out=original",
                    "--predictions=mine.csv"],
        "compare": ["--compare", "other.csv", "X=mine.csv", "-b", "5agree", "--json=pair.json"],
        "stray": ["-b", "5agree", "mine.csv"],
        "other mode": ["-b", "5agree", "--split=test", "--predictions=mine.csv"],
    }  # fmt: skip
    return folder, tiny.together({name: lambda a=a: call(*a) for name, a in calls.items()})


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def keras_params(path):
    """The file's arrays as the tree of `numpy_vit`, float64; read by h5py itself."""
    with h5py.File(path) as file:
        layers = file["model_weights"]
        vit = layers["vit-b16"]

        def dense(group, *shape):
            kernel, bias = (np.float64(group[f"{name}:0"]) for name in ("kernel", "bias"))
            return {"kernel": kernel.reshape(shape or kernel.shape), "bias": bias}

        def norm(group):
            return {"scale": np.float64(group["gamma:0"]), "bias": np.float64(group["beta:0"])}

        def attention(group):
            split = {n: dense(group[n], 48, 4, 12) for n in ("query", "key", "value")}
            split = {n: p | {"bias": p["bias"].reshape(4, 12)} for n, p in split.items()}
            return split | {"out": dense(group["out"], 4, 12, 48)}

        encoder = {
            "posembed_input": {
                "pos_embedding": np.float64(vit["Transformer/posembed_input/pos_embedding:0"])
            },
            "encoder_norm": norm(vit["Transformer/encoder_norm"]),
        }
        for number in range(2):
            block = vit[f"Transformer/encoderblock_{number}"]
            encoder[f"encoderblock_{number}"] = {
                "LayerNorm_0": norm(block["LayerNorm_0"]),
                "LayerNorm_1": norm(block["LayerNorm_2"]),
                "MultiHeadDotProductAttention_0": attention(
                    block["MultiHeadDotProductAttention_1"]
                ),
                "MlpBlock_0": {name: dense(block[name]) for name in ("Dense_0", "Dense_1")},
            }
        return {
            "cls": np.float64(vit["class_token/cls:0"]),
            "embedding": dense(vit["embedding"]),
            "Transformer": encoder,
            "head_hidden": dense(layers["dense/dense"]),
            "head_out": dense(layers["dense_1/dense_1"]),
        }


def pixels(path, size):
    """float64 [size, size, 3] 0..255: bilinear between pixel centres, without antialias."""
    data = path.read_bytes()
    if data[:2] == b"\xff\xd8":
        image = simplejpeg.decode_jpeg(data, fastdct=True)
    else:
        image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    image = image.astype(np.float64)
    for axis in (0, 1):
        length = image.shape[axis]
        at = (np.arange(size) + 0.5) * length / size - 0.5
        below = np.floor(at).astype(int)
        share = (at - below).reshape([-1 if a == axis else 1 for a in range(3)])
        low, high = (np.take(image, np.clip(below + n, 0, length - 1), axis) for n in (0, 1))
        image = low * (1 - share) + high * share
    return image


def test_from_file_to_probability_as_numpy_computes_it(tree, keras, done):
    """JPEG, PNG and GIF under .jpg names, in both input ranges."""
    root, lists = tree
    description = formats.restore(keras).described.description
    assert description.pixel_mode == "exact"
    folder = root / "benchmark" / "Twitter Testing Dataset I" / "images"
    paths = [path for path, _ in lists["5agree"]]
    assert {(folder / path).read_bytes()[:2] for path in paths} == {b"\xff\xd8", b"\x89P", b"GI"}
    images = np.stack([pixels(folder / path, 32) for path in paths])
    params = keras_params(keras)
    seen = {}
    for name, (low, high) in RANGES.items():
        _, logits = numpy_vit(params, low + images / 255 * (high - low), description)
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))
        rows = rows_of(done[0] / "runs/benchmarks/predictions" / f"{name}_5agree.csv")
        assert [row["path"] for row in rows] == paths
        seen[name] = np.array([[float(row[c]) for c in ("NEG", "NEU", "POS")] for row in rows])
        expected = exp / exp.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(seen[name], expected, rtol=0, atol=1e-5)
    assert np.abs(seen["ViT_B32"] - seen["ViT_L16"]).max() > 1e-3


def test_what_is_not_reproduced_is_an_error_with_a_table(done):
    folder, processes = done
    found = processes["models"]
    assert found.returncode == 1
    *_, line = found.stderr.splitlines()
    assert line == "error: not reproduced: 2 of 2 published cells differ by more than 0.1 point"
    cells = [text.split() for text in found.stdout.splitlines() if text.endswith("NO")]
    assert [(cell[0], cell[1], cell[4]) for cell in cells] == [
        ("ViT_B32", "5agree", "86.5"),
        ("ViT_L16", "5agree", "87.8"),
    ]
    assert "<!doctype html>" in (folder / "all.html").read_text()


def test_the_table_and_the_files_hold_the_same_figures(tree, done):
    folder, processes = done
    results = json.loads((folder / "all.json").read_text())["results"]
    assert [(r["model"], r["benchmark"]) for r in results] == [
        (name, benchmark) for name in RANGES for benchmark in ("5agree", "t4sa/b_t4sa_1_0:test")
    ]
    for result, row in zip(results, rows_of(folder / "all.csv"), strict=True):
        assert float(row["accuracy"]) == result["accuracy"]
    path = folder / "runs/benchmarks/predictions/ViT_B32_5agree.csv"
    hits = [
        (float(row["POS"]) > float(row["NEG"])) == (label == 2)
        for row, (_, label) in zip(rows_of(path), tree[1]["5agree"], strict=True)
    ]
    assert results[0]["accuracy"] == np.mean(hits)
    lines = [text.split() for text in processes["models"].stdout.splitlines()]
    (line,) = [text for text in lines if text[:3] == ["ViT_B32", "5agree", "12"]]
    assert line[3:6] == ["5/0/7", "0.5833", f"{np.mean(hits):.4f}"]


def test_t4sas_test_sets_have_three_classes_and_lack_the_corrupted_photo(done):
    folder, _ = done
    result = json.loads((folder / "all.json").read_text())["results"][1]
    path = folder / "runs/benchmarks/predictions/ViT_B32_t4sa-b_t4sa_1_0-test.csv"
    rows = rows_of(path)
    assert result["rows"] == len(rows) == 6
    assert dataset_tree.CORRUPTED not in {row["path"] for row in rows}
    assert result["f1_neutral"] is not None
    assert dataset_tree.CORRUPTED in path.with_suffix(".problems.csv").read_text()


def test_a_model_by_name_and_a_file_are_compared_and_written_in_the_originals_form(done):
    folder, processes = done
    found = processes["by name"]
    assert found.returncode == 0, found.stderr
    rows = rows_of(folder / "original/predictions/ViT_B32_5agree.csv")
    ours = rows_of(folder / "runs/benchmarks/predictions/ViT_B32_5agree.csv")
    assert list(rows[0]) == ["NEG", "NEU", "POS"]
    for row, our in zip(rows, ours, strict=True):
        assert all(np.float32(row[c]) == np.float32(our[c]) for c in row)
    assert any(line.startswith(f"ViT_B32 {MINUS} mine.csv") for line in found.stdout.splitlines())


def test_compare_tests_the_two_in_the_order_given(done):
    folder, processes = done
    assert processes["compare"].returncode == 0, processes["compare"].stderr
    (pair,) = json.loads((folder / "pair.json").read_text())["pairs"]["5agree"]
    assert (pair["first"], pair["second"]) == ("other.csv", "X")
    assert set(pair["mcnemar"]) == {"only_first", "only_second", "p", "p_holm"}
    lines = processes["compare"].stdout.splitlines()
    assert sum(line.startswith(f"other.csv {MINUS} X") for line in lines) == 3


@pytest.mark.parametrize(("name", "told"), [
    ("stray", "unexpected argument 'mine.csv'"),
    ("other mode", "--split does not go with --benchmark"),
])  # fmt: skip
def test_a_mistake_is_told_in_one_line(done, name, told):
    found = done[1][name]
    assert (found.returncode, found.stdout) == (1, "")
    (line,) = found.stderr.splitlines()
    assert line.startswith("error: ")
    assert told in line
