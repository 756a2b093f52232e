import hashlib
import pickle
import shutil

import numpy as np
import polars as pl
import pytest

from input_pipeline.problems import Problems
from input_pipeline.sources import open_source, split_names
from vit_sentiment.runtime.errors import UserError


def numbers_of(source):
    """The number of each photo as its id tells it, from the index and from the data."""
    data = source.data.__getitems__(range(len(source)))
    return (
        [int(id_[-6:-4]) for id_ in source.index["id"]],
        [int(example["id"][-6:-4]) for example in data],
        [example["image"] for example in data],
    )


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", range(9)),
        ("train[2:5]", range(2, 5)),
        ("train[:1]", range(1)),
        ("train[-2:]", (7, 8)),
        ("train[:-6]", range(3)),
        ("test[1:3]", (6, 7)),
        ("train[:2]+train[6:]", (0, 1, 6, 7, 8)),
        ("train[6:]+train[:2]", (6, 7, 8, 0, 1)),
    ],
)
def test_slices_keep_index_and_data_in_step(dataset, make_photo, split, expected):
    source = open_source(str(dataset), split)
    in_index, in_data, images = numbers_of(source)
    assert in_index == in_data == list(expected)
    assert images == [make_photo(k) for k in expected]
    assert source.labels("human_label").tolist() == [k % 3 for k in expected]


def test_percent_slices_part_the_split(dataset):
    parts = [numbers_of(open_source(str(dataset), f"train[{s}]"))[0] for s in (":40%", "40%:")]
    assert parts[0] + parts[1] == list(range(9))
    assert parts[0]
    assert parts[1]


@pytest.mark.parametrize("split", ["train+test", "train[:2]+test[2:]", "train+train[:2]"])
def test_a_union_of_splits_is_in_step_or_refused(dataset, make_photo, split):
    try:
        source = open_source(str(dataset), split)
    except UserError:
        return
    in_index, in_data, images = numbers_of(source)
    assert in_index == in_data
    assert source.index["sha256"].to_list() == [hashlib.sha256(i).hexdigest() for i in images]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("validation", "no split 'validation'; there are: .*train"),
        ("", "several splits; there are: .*train"),
        ("train[2:", "train"),
        ("train[a:b]", "train"),
        ("train[5:2]", "train"),
    ],
)
def test_a_split_that_is_not_there_is_an_error_of_one_line(dataset, split, message):
    with pytest.raises(UserError, match=message) as error:
        open_source(str(dataset), split)
    assert "\n" not in str(error.value)


def test_datasets_are_found_by_name_or_by_any_of_their_folders(dataset):
    data_dir = dataset.parents[2]
    for name in ("labelled_images", "labelled_images/default", "labelled_images/default/1.0.0"):
        assert len(open_source(name, "test", data_dir=str(data_dir))) == 4
        assert sorted(split_names(name, str(data_dir))) == ["test", "train"]
    with pytest.raises(UserError, match="nowhere: no such dataset, table or folder"):
        open_source("nowhere", data_dir=str(data_dir))


def test_the_newest_version_is_taken_and_unfinished_ones_are_not(dataset, tmp_path):
    config = tmp_path / "default"
    shutil.copytree(dataset, config / "1.0.0")
    shutil.copytree(dataset, config / "incomplete.AB12CD_1.20.0")
    assert len(open_source(str(tmp_path), "test")) == 4
    for version in ("1.9.0", "1.10.0"):
        shutil.copytree(dataset, config / version)
        info = (config / version / "dataset_info.json").read_text()
        (config / version / "dataset_info.json").write_text(info.replace("1.0.0", version))
    index = pl.read_parquet(dataset / "records.parquet")
    marked = index.with_columns(group=pl.lit("newest"))
    marked.write_parquet(config / "1.10.0/records.parquet")
    assert set(open_source(str(tmp_path), "test").index["group"]) == {"newest"}


def test_several_datasets_in_a_folder_are_named(dataset, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(dataset, tmp_path / name / "1.0.0")
    with pytest.raises(UserError, match="holds several datasets") as error:
        open_source(str(tmp_path), "test")
    assert str(tmp_path / "one") in str(error.value)
    assert str(tmp_path / "two") in str(error.value)


def test_a_dataset_without_its_index_is_an_error(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "1.0.0")
    (tmp_path / "1.0.0/records.parquet").unlink()
    with pytest.raises(UserError, match=r"lacks records\.parquet"):
        open_source(str(tmp_path), "test")


def test_an_index_of_another_length_is_an_error(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "1.0.0")
    index = pl.read_parquet(dataset / "records.parquet")
    index.head(11).write_parquet(tmp_path / "1.0.0/records.parquet")
    with pytest.raises(UserError, match="has 2 rows for 4 records"):
        open_source(str(tmp_path), "test")


def test_a_table_and_a_folder_are_sources(photos, table, make_photo):
    source = open_source(str(table))
    assert source.labels("human_label").tolist() == [0, 1, 2] * 3
    assert source.labels("teacher_label").tolist() == [-1] * 9
    assert [record.image for record in source.records(window=4)] == [
        make_photo(k) for k in range(9)
    ]
    table.unlink()
    folder = open_source(str(photos))
    assert folder.labels("human_label").tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert split_names(str(photos)) == []


def test_a_table_and_the_dataset_built_from_it_give_equal_records(table, tmp_path, build):
    built = open_source(str(build(tmp_path / "data", {"train": str(table)})))
    for one, other in zip(built.records(), open_source(str(table)).records(), strict=True):
        assert one.teacher_probs.tolist() == other.teacher_probs.tolist()
        assert [one.image, one.id, one.group, one.teacher_label, one.human_label] == [
            other.image, other.id, other.group, other.teacher_label, other.human_label,
        ]  # fmt: skip


def test_bad_rows_of_a_table_go_to_problems(photos):
    (photos / "list.csv").write_text("path,label\nneutral/01.png,neutral\nno.png,neutral\n")
    with pytest.raises(UserError, match=r"list\.csv:3: "):
        open_source(str(photos / "list.csv"))
    problems = Problems("skip")
    assert len(open_source(str(photos / "list.csv"), problems=problems)) == 1
    assert len(problems.rows) == 1


def test_labels_that_are_required_must_be_there(dataset):
    source = open_source(str(dataset), "train")
    assert source.labels_required("human_label").tolist() == [0, 1, 2] * 3
    with pytest.raises(UserError, match=r"9 of 9 records have no teacher_label.*/00\.png"):
        source.labels_required("teacher_label")


def test_the_fingerprint_tells_contents_apart(dataset, photos, table, tmp_path, build):
    train = open_source(str(dataset), "train")
    same = open_source(str(build(tmp_path / "a", {"train": str(table)})))
    assert same.fingerprint == train.fingerprint
    assert len(train.fingerprint) == 16
    text = table.read_text()
    table.write_text(text.replace("00.png,negative", "00.png,positive"))
    relabelled = open_source(str(build(tmp_path / "b", {"train": str(table)})))
    table.write_text(text)
    (photos / "neutral/01.png").write_bytes((photos / "neutral/04.png").read_bytes())
    redrawn = open_source(str(build(tmp_path / "c", {"train": str(table)})))
    prints = {
        s.fingerprint for s in (train, relabelled, redrawn, open_source(str(dataset), "test"))
    }
    assert len(prints) == 4


def test_group_hashes_are_sorted_unique_and_name_the_group(dataset):
    train = open_source(str(dataset), "train").group_hashes()
    test = open_source(str(dataset), "test").group_hashes()
    assert train.dtype == np.uint64
    assert len(train) == 9
    assert (np.diff(train.astype(object)) > 0).all()
    assert np.isin(test, train).all()


def test_examples_can_be_pickled_for_workers(dataset, table):
    for source in (open_source(str(dataset), "train[3:]"), open_source(str(table))):
        copy = pickle.loads(pickle.dumps(source.data))
        assert copy.__getitems__([2])[0]["image"] == source.data.__getitems__([2])[0]["image"]
