"""Benchmarks in this process: where data is found, seeds, and what is no system."""

import csv
import shutil

import dataset_tree
import numpy as np
import polars as pl
import pytest
from sklearn.model_selection import StratifiedKFold

from checkpoints import formats, orbax_store
from input_pipeline.benchmark import benchmark_dataset_builder as builder
from input_pipeline.benchmarks import open_benchmark
from input_pipeline.builder import prepare
from vit_sentiment.evaluating import on_benchmarks
from vit_sentiment.evaluation import published
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training.workdir import GROUPS_FILE, RUN_FILE

HINTS = {"checkpoint": "best"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree") / "dataset"
    dataset_tree.write(root)
    return root


@pytest.fixture
def model(golden, tmp_path, monkeypatch):
    """The tiny Keras model as one of the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(golden / "keras_h5" / "full_model.h5", tmp_path / "tiny.h5")
    return "tiny.h5"


def evaluate(tree, names, *, systems=(), workdirs=(), predictions=(), compared=(), **changes):
    options = {
        "root": str(tree), "images": None, "fold": None, "data_dir": "data", "out": "out",
        "batch_size": 8, "on_error": "fail", "file_format": "ours", "hints": HINTS,
        "json": "all.json", "csv": None, "html": None, "reproduce": False,
    }  # fmt: skip
    on_benchmarks.evaluate(
        names, systems, workdirs, predictions, compared,
        on_benchmarks.Options(**options | changes),
    )  # fmt: skip
    return files.read_json("all.json")


def pack(name, root):
    config = builder.BenchmarkConfig(
        name=builder.config_name(name), benchmark=name, root=str(root), on_error="skip"
    )
    return prepare(builder.Benchmark(config=config, data_dir="data"))


@pytest.mark.parametrize("name", ["FI_split_2", "t4sa/bal:test"])
def test_packed_and_tree_give_identical_results(tree, model, tmp_path, name):
    direct = evaluate(tree, [name], systems=[model])
    (path,) = (tmp_path / "out/predictions").iterdir()
    written = path.read_bytes()
    pack(name, tree)
    packed = evaluate("nowhere", [name], systems=[model])
    assert packed["results"] == direct["results"]
    assert path.read_bytes() == written
    again = evaluate("nowhere", [name], predictions=[str(path)])
    for figure in ("accuracy", "auc_pos", "auc_binary", "interval_95"):
        assert again["results"][0][figure] == direct["results"][0][figure]


def test_without_tree_and_packed_all_that_is_expected_is_told(model):
    with pytest.raises(UserError, match="2 of 2 files and folders are missing"):
        evaluate("nowhere", ["5agree"], systems=[model])


def test_a_photo_that_is_not_readable_is_no_row_whatever_the_form(tree, model, tmp_path):
    root = shutil.copytree(tree, tmp_path / "broken")
    dataset_tree.break_photos(root)
    found = {}
    for form in ("ours", "original"):
        found[form] = evaluate(root, ["5agree"], systems=[model], on_error="skip",
                               file_format=form)["results"]  # fmt: skip
        (result,) = found[form]
        assert (result["rows"], result["unreadable"]) == (10, 2)
        again = evaluate(root, ["5agree"], predictions=["out/predictions/tiny.h5_5agree.csv"])
        names = ("rows", "unreadable", "accuracy", "macro_f1", "auc_pos", "auc_binary")
        assert {n: again["results"][0][n] for n in names} == {n: result[n] for n in names}
    assert found["ours"] == found["original"]
    with open("out/predictions/tiny.h5_5agree.problems.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_files_of_predictions_need_the_list_alone(tree, tmp_path, monkeypatch):
    """And the one for the longest list serves those that it holds."""
    monkeypatch.chdir(tmp_path)
    root = shutil.copytree(tree, tmp_path / "lists", ignore=shutil.ignore_patterns("images"))
    folder = root / "benchmark" / "Twitter Testing Dataset I"
    with open(folder / "3agree.csv", newline="") as file:
        rows = [(row["path"], row["label"]) for row in csv.DictReader(file)]
    lines = ["path,prediction", *(f"{path},{label}" for path, label in rows[::-1])]
    (tmp_path / "labels.txt").write_text("\n".join(lines))
    found = evaluate(root, ["5agree", "3agree"], predictions=["labels.txt"])
    assert [(r["rows"], r["accuracy"]) for r in found["results"]] == [(12, 1), (16, 1)]
    assert found["results"][0]["auc_pos"] is None


def test_files_of_folds_are_scored_on_the_rows_of_their_fold(tree, model):
    """Masked files of the original: no paths, as many rows as scikit-learn's fold has."""
    evaluate(tree, ["5agree"], systems=[model])
    whole = pl.read_csv("out/predictions/tiny.h5_5agree.csv")
    source = open_benchmark("5agree", str(tree))
    gold = source.labels("human_label")
    folds = StratifiedKFold(5, shuffle=True, random_state=42).split(gold, gold)
    for fold, (_, rows) in enumerate(folds):
        part = whole[rows].select("NEG", pl.col("NEU") * 1e-7, "POS")
        part.write_csv("fine_tune_5agree.csv")
        (found,) = evaluate(tree, ["5agree"], predictions=["fine_tune_5agree.csv"], fold=fold)[
            "results"
        ]
        right = (part["POS"] > part["NEG"]).to_numpy() == (gold[rows] == 2)
        assert (found["rows"], found["accuracy"]) == (len(rows), right.mean())
    with pytest.raises(UserError, match=r"expected 12 rows, .* found 2; "):
        evaluate(tree, ["5agree"], predictions=["fine_tune_5agree.csv"])
    with pytest.raises(UserError, match=r"t4sa/bal, split test: .* have no human_label"):
        evaluate(tree, ["t4sa/bal:test"], predictions=["fine_tune_5agree.csv"], fold=0)


def write_run(workdir, weights, seed, **changes):
    """A workdir as `train` leaves one behind, with other biases for each seed."""
    restored = formats.restore(weights)
    params = restored.params
    params["head_out"]["bias"] = params["head_out"]["bias"] + np.float32([0.02 * seed, 0, 0])
    description = restored.described.description.replace(**changes)
    workdir.parent.mkdir(exist_ok=True)
    orbax_store.write_workdir(workdir, 1, params, description)
    files.write_json(workdir / RUN_FILE, {"config": {"seed": seed}})


def test_seeds_are_rows_and_one_system(tree, model, tmp_path, capsys):
    for seed in range(2):
        write_run(tmp_path / "runs" / f"seed-{seed}", model, seed)
    leaks = open_benchmark("5agree", str(tree)).group_hashes()[:5]
    np.save(tmp_path / "runs" / "seed-0" / GROUPS_FILE, leaks)
    found = evaluate(tree, ["5agree"], systems=[model], workdirs=["runs"])
    names = ["tiny.h5", "runs/seed-0", "runs/seed-1"]
    assert [r["model"] for r in found["results"]] == names
    assert list(found["made_from"]["weights"]) == names
    (pair,) = found["pairs"]["5agree"]
    assert (pair["first"], pair["second"], pair["mcnemar"]) == ("tiny.h5", "runs", None)
    accuracies = [r["accuracy"] for r in found["results"]]
    expected = accuracies[0] - np.mean(accuracies[1:])
    assert pair["accuracy"]["difference"] == pytest.approx(expected)
    out, err = capsys.readouterr()
    (line,) = [text for text in out.splitlines() if text.startswith("runs  ")]
    deviation = np.std(accuracies[1:], ddof=1)
    assert f"{np.mean(accuracies[1:]):.4f} ± {deviation:.4f}" in line
    assert "warning: runs/seed-0 on 5agree: 5 of 12 groups (tweets) were in the training" in err
    written = {path.name for path in (tmp_path / "out/predictions").iterdir()}
    assert "runs-seed-1_5agree.csv" in written


@pytest.mark.parametrize(("given", "told"), [
    ({"systems": ["headless.npz"]}, "headless.npz: has no head; train one first"),
    ({"systems": ["tiny.h5", "other"]}, r"other step 1 tells 3 classes \['a', 'b', 'c'\], "),
    ({"systems": ["tiny.h5", "tiny.h5"]}, "tiny.h5 is given twice"),
    ({"compared": ["tiny.h5", "./tiny.h5"]}, "./tiny.h5 is given twice"),
    ({"systems": ["ViT_B23"]}, "ViT_B23: no such file or folder, nor the name of a public"),
    ({"predictions": ["never.csv"]}, "never.csv: no such file"),
    ({"workdirs": ["tiny.h5", "other"]}, "tiny.h5: no run.json; expected the workdir"),
    ({}, "give --model, --workdir, --weights or --predictions"),
])  # fmt: skip
def test_what_is_no_system_is_told_before_anything_is_scored(
    tree, golden, model, tmp_path, capsys, given, told
):
    if given.get("systems") == ["headless.npz"]:
        with np.load(golden / "google_augreg" / "checkpoint.npz") as file:
            arrays = {name: file[name] for name in file if not name.startswith("head/")}
        np.savez(tmp_path / "headless.npz", **arrays)
    if "other step" in told:
        write_run(tmp_path / "other", model, 0, classes=("a", "b", "c"))
    hints = {**HINTS, "num_heads": 4, "gelu": "tanh"} if "headless" in told else HINTS
    with pytest.raises(UserError, match=told) as error:
        evaluate(tree, ["5agree"], hints=hints, **given)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "out").exists()


def test_only_what_compare_names_is_tested(tree, model):
    evaluate(tree, ["5agree"], systems=[model])
    shutil.copy("out/predictions/tiny.h5_5agree.csv", "copy.csv")
    shutil.copy("copy.csv", "third.csv")
    found = evaluate(tree, ["5agree"], predictions=["third.csv"], compared=["copy.csv", model])
    assert len(found["results"]) == 3
    (pair,) = found["pairs"]["5agree"]
    assert (pair["first"], pair["second"]) == ("copy.csv", "tiny.h5")
    assert pair["accuracy"]["difference"] == 0
    assert (pair["mcnemar"]["only_first"], pair["mcnemar"]["p"]) == (0, 1)


def test_reproduction_needs_a_published_cell(tree, model):
    with pytest.raises(UserError, match="nothing was published of these models on these bench"):
        evaluate(tree, ["5agree"], systems=[model], reproduce=True)


def test_all_cells_within_the_tolerance_are_a_reproduction(tree, model, monkeypatch, capsys):
    evaluate(tree, ["5agree"], systems=[model])
    accuracy = files.read_json("all.json")["results"][0]["accuracy"]
    cell = published.Figure("ViT_B32", "5agree", "accuracy", round(100 * accuracy, 1), "", "")
    monkeypatch.setattr(published, "figures", lambda: (cell,))
    given = ["ViT_B32=out/predictions/tiny.h5_5agree.csv"]
    evaluate(tree, ["5agree"], systems=given, reproduce=True)
    assert capsys.readouterr().out.splitlines()[-1].split()[-1] == "yes"
