"""Benchmarks of the original system: what their lists say, directly and packed."""

import csv
import hashlib
import itertools
import pathlib
import shutil

import dataset_tree
import numpy as np
import pytest

from input_pipeline import benchmarks, pixels
from input_pipeline.benchmark import benchmark_dataset_builder as module
from input_pipeline.builder import prepare
from input_pipeline.loader import LoadSettings, evaluation_batches
from input_pipeline.problems import Problems
from input_pipeline.sources import open_source, split_names
from vit_sentiment.runtime.errors import UserError

NAMES = [
    "5agree", "4agree", "3agree", "twitter_testing_2",
    "emotion_ROI_test", "emotion_ROI_train", "emotion_ROI_complete",
    "FI_complete", "FI_split_1", "FI_split_2", "FI_split_3", "FI_split_4", "FI_split_5",
    "t4sa/b_t4sa_1_0:test", "t4sa/b_t4sa_1_0_upd:test", "t4sa/b_t4sa_1_0_upd_filt:test",
    "t4sa/unb:test", "t4sa/bal:test", "t4sa/bal_flat:test", "t4sa/merged:test",
]  # fmt: skip
SHORT = {"train": "train", "validation": "val", "test": "test"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The miniature tree and what its lists say."""
    root = tmp_path_factory.mktemp("with spaces") / "dataset"
    return str(root), dataset_tree.write(root)


@pytest.fixture
def own_tree(tree, tmp_path):
    """A copy that a test may change."""
    return pathlib.Path(shutil.copytree(tree[0], tmp_path / "dataset"))


def expected(lists, name, split):
    if name.startswith("t4sa/"):
        rows = lists[name.removeprefix("t4sa/").replace(":", "/")]
        return [row for row in rows if row[0] != dataset_tree.CORRUPTED]
    return lists[f"{name}/{SHORT[split]}" if name.startswith("FI_split") else name]


def pack(data_dir, name, root, **config):
    config = module.BenchmarkConfig(
        name=module.config_name(name), benchmark=name, root=str(root), **config
    )
    return prepare(module.Benchmark(config=config, data_dir=data_dir))


def batches(source, on_error="fail", label="human_label"):
    settings = LoadSettings((20, 24), "exact", label, on_error=on_error, num_threads=0)
    with evaluation_batches(source, settings, batch_size=5) as iterator:
        return list(iterator)


def assert_same(one, other, on_error="fail"):
    assert one.index["id"].to_list() == other.index["id"].to_list()
    assert one.index["group"].to_list() == other.index["group"].to_list()
    for label in ("human_label", "teacher_label"):
        for a, b in zip(
            batches(one, on_error, label), batches(other, on_error, label), strict=True
        ):
            assert set(a) == set(b) == {"image", "label", "probs", "mask", "index"}
            for key in a:
                np.testing.assert_array_equal(a[key], b[key], strict=True)


def test_names_are_the_originals_and_those_of_the_test_sets():
    assert benchmarks.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_direct_and_packed_hold_what_the_list_says_and_give_the_same_batches(tree, tmp_path, name):
    root, lists = tree
    folder = pack(tmp_path, name, root)
    splits = ["train", "validation", "test"] if name.startswith("FI_split") else ["test"]
    assert benchmarks.splits_of(name) == splits
    assert sorted(split_names(str(folder))) == sorted(splits)
    for split in splits:
        direct = benchmarks.open_benchmark(name, root, split=split)
        rows = expected(lists, name, split)
        assert direct.index["id"].to_list() == [path for path, _ in rows]
        labels = [label for _, label in rows]
        kinds = ["human_label", "teacher_label"]
        given, other = kinds if benchmarks.has_human_labels(name) else kinds[::-1]
        assert direct.labels(given).tolist() == labels
        assert direct.labels(other).tolist() == [-1] * len(rows)
        assert direct.classes == ("negative", "neutral", "positive")
        assert (direct.name, direct.split) == (name.removesuffix(":test"), split)
        seen = np.concatenate([batch["label"] for batch in batches(direct, label=given)])
        assert seen[: len(rows)].tolist() == labels
        assert_same(direct, open_source(str(folder), split))


def test_labels_are_a_humans_in_benchmarks_and_a_teachers_in_test_sets(tree):
    for name in NAMES:
        source = benchmarks.open_benchmark(name, tree[0])
        record = next(source.records())
        if name.startswith("t4sa/"):
            np.testing.assert_array_equal(record.teacher_probs, np.eye(3)[record.teacher_label])
            assert record.group in record.id.rpartition("/")[2]
            assert record.group.isdecimal()
        else:
            assert set(source.labels("human_label")) == {0, 2}
            assert not record.teacher_probs.any()
            assert record.group == record.id


def test_photos_are_told_by_content_not_by_name(tree):
    source = benchmarks.open_benchmark("3agree", tree[0])
    heads = {record.image[:3] for record in source.records()}
    assert heads == {b"\xff\xd8\xff", b"\x89PN", b"GIF"}
    assert all(name.endswith(".jpg") for name in source.index["id"])
    shapes = {pixels.decode(record.image).shape for record in source.records()}
    assert shapes == {(16, 16, 3)}


def test_the_trees_photos_differ_and_lists_hold_one_another(tree):
    root, lists = tree
    files = [path.read_bytes() for path in pathlib.Path(root).rglob("images/**/*.*")]
    assert len({hashlib.sha256(data).hexdigest() for data in files}) == len(files) > 200
    assert set(lists["5agree"]) < set(lists["4agree"]) < set(lists["3agree"])
    for k in range(1, 6):
        parts = [lists[f"FI_split_{k}/{part}"] for part in ("train", "val", "test")]
        assert sorted(itertools.chain(*parts)) == sorted(lists["FI_complete"])


@pytest.mark.parametrize(
    ("name", "split", "broken"), [("5agree", "test", [1, 4]), ("FI_complete", "test", [0])]
)
def test_broken_photos_keep_their_place_in_both_forms(own_tree, tmp_path, name, split, broken):
    told = dataset_tree.break_photos(own_tree)
    with pytest.raises(UserError, match=r"\.csv:\d+: .*--on_error=skip"):
        pack(tmp_path / "fail", name, own_tree)
    assert not list(tmp_path.rglob("dataset_info.json"))

    problems = Problems("skip")
    direct = benchmarks.open_benchmark(name, str(own_tree), problems=problems)
    folder = pack(tmp_path / "skip", name, own_tree, on_error="skip")
    packed = open_source(str(folder))
    assert problems.rows == []  # Whoever reads the photos lists them.
    assert_same(direct, packed, "skip")
    mask = np.concatenate([batch["mask"] for batch in batches(packed, "skip")])[: len(packed)]
    assert np.flatnonzero(~mask).tolist() == broken
    with open(folder / "problems.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    ids = [direct.index["id"][number] for number in broken]
    assert [row["where"].rpartition(":")[2] for row in rows] == [str(k + 2) for k in broken]
    for id_, row in zip(ids, rows, strict=True):
        assert row["path"].endswith(id_)
        assert told[id_] in row["problem"]


def test_a_missing_photo_fails_when_the_benchmark_is_opened(own_tree):
    dataset_tree.break_photos(own_tree)
    with pytest.raises(UserError, match=r"5agree\.csv:3: .*_BfFq8ns1\.jpg: no such file") as error:
        benchmarks.open_benchmark("5agree", str(own_tree))
    assert "\n" not in str(error.value)


def test_the_known_corrupted_photo_is_left_out_and_listed(tree):
    problems = Problems("fail")
    source = benchmarks.open_benchmark("t4sa/b_t4sa_1_0:test", tree[0], problems=problems)
    assert dataset_tree.CORRUPTED not in source.index["id"]
    ((where, path, problem),) = problems.rows
    assert where.endswith("b-t4sa_test.txt:2")
    assert path.endswith(dataset_tree.CORRUPTED)
    assert "known to be corrupted" in problem


@pytest.mark.parametrize(("name", "file", "code"), [
    ("5agree", "Twitter Testing Dataset I/5agree.csv", "2"),
    ("FI_complete", "FI/FI_complete.csv", "1"),
    ("emotion_ROI_test", "EmotionROI/emotion_ROI_test.csv", "positive"),
])  # fmt: skip
def test_a_code_of_another_list_is_an_error(own_tree, name, file, code):
    path = own_tree / "benchmark" / file
    lines = path.read_text().splitlines()
    lines[3] = lines[3].rpartition(",")[0] + f",{code}"
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=rf"\.csv:4: .*unknown label '{code}'; classes: 0, "):
        benchmarks.open_benchmark(name, str(own_tree))


def test_files_that_are_missing_are_told_with_all_that_are_expected(own_tree, tmp_path):
    folder = own_tree / "benchmark/FI"
    shutil.rmtree(folder / "images")
    (folder / "split_2/FI_val.csv").unlink()
    with pytest.raises(UserError) as error:
        benchmarks.open_benchmark("FI_split_2", str(own_tree), split="validation")
    assert str(error.value).splitlines() == [
        "FI_split_2: 2 of 2 files and folders are missing",
        f"  missing: {folder / 'split_2/FI_val.csv'}",
        f"  missing: {folder / 'images'}",
        "  from: https://github.com/codiceSpaghetti/T4SA-2.0, folder dataset/ (lists and photos)",
    ]
    (folder / "images").mkdir()
    with pytest.raises(UserError, match="1 of 2 files and folders are missing") as error:
        benchmarks.open_benchmark("FI_split_2", str(own_tree), split="validation")
    assert f"  found: {folder / 'images'}" in str(error.value)
    with pytest.raises(UserError, match="1 of 4 files and folders are missing"):
        pack(tmp_path / "data", "FI_split_2", own_tree)
    with pytest.raises(UserError, match=r"http://www\.t4sa\.it"):
        benchmarks.open_benchmark("t4sa/b_t4sa_1_0:test", str(tmp_path / "nowhere"))


def test_photos_may_lie_in_a_folder_of_their_own(own_tree, tmp_path):
    photos = own_tree / "benchmark/EmotionROI/images"
    before = [
        r.image for r in benchmarks.open_benchmark("emotion_ROI_test", str(own_tree)).records()
    ]
    moved = photos.rename(tmp_path / "photos")
    source = benchmarks.open_benchmark("emotion_ROI_test", str(own_tree), images=str(moved))
    assert [record.image for record in source.records()] == before


def test_wrong_names_and_splits_are_told_in_a_line(tree):
    with pytest.raises(UserError, match=r"no benchmark '6agree'; there are: 5agree, .*merged:test"):
        benchmarks.open_benchmark("6agree", tree[0])
    with pytest.raises(UserError, match="5agree: no split 'train'; there are: test"):
        benchmarks.open_benchmark("5agree", tree[0], split="train")


def test_the_command_packs_a_benchmark(run, tree, tmp_path):
    command = ["--builder=benchmark", f"--root={tree[0]}", f"--data_dir={tmp_path}"]
    done = run("input_pipeline.build", *command, "--benchmark=t4sa/b_t4sa_1_0_upd:test")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "benchmark/t4sa_b_t4sa_1_0_upd_test/1.0.0"
    assert done.stdout == f"{folder} test: 6 photos\n"
    assert "skipped 1 unusable rows; listed in problems.csv" in done.stderr
    packed = open_source("benchmark/t4sa_b_t4sa_1_0_upd_test", "test", data_dir=str(tmp_path))
    assert_same(benchmarks.open_benchmark("t4sa/b_t4sa_1_0_upd:test", tree[0]), packed)

    done = run("input_pipeline.build", *command)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --benchmark: expected one of: 5agree, 4agree, ")
    assert done.stderr.count("\n") == 1
