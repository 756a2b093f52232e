"""Training sets of the original system: lists of every form, their parts, and new ones."""

import csv
import json
import pathlib
import shutil

import dataset_tree
import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from input_pipeline.builder import prepare
from input_pipeline.sources import open_source
from input_pipeline.t4sa import t4sa_dataset_builder as module
from vit_sentiment.runtime.errors import UserError

SETS = ["b_t4sa_1_0", "b_t4sa_1_0_upd", "b_t4sa_1_0_upd_filt", "unb", "bal", "bal_flat", "merged"]
PARTS = {"train": "train", "validation": "val", "test": "test"}
WARNING = "tweets have photos in more than one part"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The miniature tree and what its lists say, the corrupted photo left out."""
    root = tmp_path_factory.mktemp("t4sa") / "dataset"
    lists = dataset_tree.write(root)
    return root, {name: [r for r in rows if r[0] != dataset_tree.CORRUPTED]
                  for name, rows in lists.items()}  # fmt: skip


def build(data_dir, root, listed, split_by="given", **config):
    name = module.config_name(listed, split_by)
    config = module.T4saConfig(
        name=name, listed=listed, root=str(root), split_by=split_by, **config
    )
    folder = prepare(module.T4sa(config=config, data_dir=data_dir))
    return {part: open_source(str(folder), part) for part in PARTS}


def rows_of(source):
    return list(zip(source.index["id"], source.labels("teacher_label").tolist(), strict=True))


def tweets_of(source):
    return set(source.index["group"])


@pytest.mark.parametrize("listed", SETS)
def test_parts_are_the_lists_own(tree, tmp_path, listed):
    root, lists = tree
    for part, source in build(tmp_path, root, listed).items():
        rows = lists[f"{listed}/{PARTS[part]}"]
        assert rows_of(source) == rows
        assert source.labels("human_label").tolist() == [-1] * len(rows)
        records = list(source.records())
        probs = np.stack([record.teacher_probs for record in records])
        np.testing.assert_array_equal(probs, np.eye(3, dtype=np.float32)[[k for _, k in rows]])
        for record, (path, _) in zip(records, rows, strict=True):
            folder = "t4sa 1.0" if path.startswith("data/") else "t4sa 2.0"
            assert record.image == (root / folder / "images" / path).read_bytes()
            assert record.group == path.rpartition("/")[2].rpartition("-")[0]


def test_the_known_corrupted_photo_is_listed_under_either_policy(tree, tmp_path, capsys):
    for on_error in ("fail", "skip"):
        build(tmp_path / on_error, tree[0], "b_t4sa_1_0", on_error=on_error)
        with open(tmp_path / on_error / "t4sa/b_t4sa_1_0/1.0.0/problems.csv", newline="") as file:
            (row,) = csv.DictReader(file)
        assert row["where"].endswith("b-t4sa_test.txt:2")
        assert row["path"].endswith(dataset_tree.CORRUPTED)
        assert "skipped 1 unusable rows" in capsys.readouterr().err


def joined(lists, listed):
    return [row for part in PARTS.values() for row in lists[f"{listed}/{part}"]]


@pytest.mark.parametrize("listed", ["unb", "merged"])
def test_a_split_by_image_is_the_originals_procedure(tree, tmp_path, listed, capsys):
    """Its two calls of scikit-learn, here written out; the second one has a seed, too."""
    root, lists = tree
    rows = joined(lists, "unb") + (
        joined(lists, "b_t4sa_1_0_upd_filt") if listed == "merged" else []
    )
    train, rest = train_test_split(
        rows, test_size=0.2, random_state=42, shuffle=True, stratify=[k for _, k in rows]
    )
    validation, test = train_test_split(
        rest, test_size=0.5, random_state=42, shuffle=True, stratify=[k for _, k in rest]
    )
    parts = build(tmp_path, root, listed, "image")
    found = {part: rows_of(source) for part, source in parts.items()}
    assert found == {"train": train, "validation": validation, "test": test}
    assert WARNING in capsys.readouterr().err
    if listed == "merged":  # As in the original, some of what B-T4SA holds out is trained on.
        held_out = lists["b_t4sa_1_0_upd_filt/test"] + lists["b_t4sa_1_0_upd_filt/val"]
        assert set(train) & set(held_out)
    other = build(tmp_path / "other", root, listed, "image", seed=1)
    assert rows_of(other["train"]) != train


@pytest.mark.parametrize("listed", ["b_t4sa_1_0", "unb", "merged"])
def test_a_split_by_tweet_parts_no_tweet(tree, tmp_path, listed, capsys):
    root, lists = tree
    parts = build(tmp_path, root, listed, "tweet")
    assert WARNING not in capsys.readouterr().err
    tweets = [tweets_of(source) for source in parts.values()]
    assert sum(map(len, tweets)) == len(set.union(*tweets))
    sources = ["unb", "b_t4sa_1_0_upd_filt"] if listed == "merged" else [listed]
    rows = [row for name in sources for row in joined(lists, name)]
    assert sorted(row for source in parts.values() for row in rows_of(source)) == sorted(rows)
    assert 0.7 < len(parts["train"]) / len(rows) < 0.9
    again = build(tmp_path / "again", root, listed, "tweet")
    assert [rows_of(s) for s in again.values()] == [rows_of(s) for s in parts.values()]


def test_merged_by_tweet_trains_on_nothing_that_b_t4sa_holds_out(tree, tmp_path):
    root, lists = tree
    parts = build(tmp_path, root, "merged", "tweet")

    def tweets(part):
        rows = lists[f"b_t4sa_1_0_upd_filt/{part}"]
        return {path.rpartition("/")[2].rpartition("-")[0] for path, _ in rows}

    assert tweets("train") & (tweets("val") | tweets("test"))  # The lists themselves part tweets.
    assert not tweets_of(parts["train"]) & (tweets("val") | tweets("test"))
    assert not tweets_of(parts["validation"]) & tweets("test")
    assert tweets_of(parts["test"]) >= tweets("test")


def test_given_parts_that_share_tweets_are_warned_of(tree, tmp_path, capsys):
    parts = build(tmp_path, tree[0], "unb")
    tweets = [tweets_of(source) for source in parts.values()]
    shared = sum(map(len, tweets)) - len(set.union(*tweets))
    assert shared > 0
    assert f"warning: {shared} {WARNING}" in capsys.readouterr().err


def test_broken_photos_fail_or_are_skipped_and_listed(tree, tmp_path):
    root = pathlib.Path(shutil.copytree(tree[0], tmp_path / "dataset"))
    broken = dataset_tree.break_photos(root)
    with pytest.raises(UserError, match=r"bal_T4SA2\.0_train\.csv:4: .*empty file"):
        build(tmp_path / "fail", root, "bal")
    parts = build(tmp_path / "skip", root, "bal", on_error="skip")
    rows = [row for row in tree[1]["bal/train"] if row[0] not in broken]
    assert len(rows) == len(tree[1]["bal/train"]) - 1
    assert rows_of(parts["train"]) == rows


def test_all_photos_may_lie_below_one_folder(tree, tmp_path):
    for number in (1, 2):
        source = tree[0] / f"t4sa {number}.0/images"
        shutil.copytree(source, tmp_path / "photos", dirs_exist_ok=True)
    shutil.copytree(tree[0], tmp_path / "dataset", ignore=shutil.ignore_patterns("images"))
    images = str(tmp_path / "photos")
    parts = build(tmp_path / "data", tmp_path / "dataset", "merged", images=images)
    assert rows_of(parts["train"]) == tree[1]["merged/train"]


def test_lists_that_were_never_published_are_told(tree, tmp_path):
    root = pathlib.Path(shutil.copytree(tree[0], tmp_path / "dataset"))
    missing = root / "t4sa 2.0/unb_T4SA2.0/unb_T4SA2.0_train.csv"
    missing.unlink()
    with pytest.raises(UserError) as error:
        build(tmp_path / "data", root, "merged", "image")
    lines = str(error.value).splitlines()
    assert lines[0] == "unb: 1 of 4 files and folders are missing"
    assert lines[1] == f"  missing: {missing}"
    assert lines[-1].endswith("train lists and photos from the authors")


def test_the_command_says_how_it_split(run, tree, tmp_path):
    command = ["--builder=t4sa", f"--root={tree[0]}", f"--data_dir={tmp_path}"]
    done = run("input_pipeline.build", *command, "--config=merged", "--split_by=tweet")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "t4sa/merged_by_tweet/1.0.0"
    counts = {part: len(open_source(str(folder), part)) for part in PARTS}
    assert done.stdout == "".join(f"{folder} {part}: {n} photos\n" for part, n in counts.items())
    facts = json.loads((folder / "manifest.json").read_text())
    assert (facts["split_by"], facts["split_seed"]) == ("tweet", 42)

    done = run("input_pipeline.build", *command, "--config=balanced")
    assert done.returncode == 1
    assert done.stderr == f"error: --config: expected one of {', '.join(SETS)}; found 'balanced'\n"
