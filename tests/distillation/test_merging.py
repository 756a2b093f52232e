"""Adding datasets that have splits of their own."""

import pathlib

import numpy as np
import polars as pl
import pytest

from input_pipeline.sources import open_source
from vit_sentiment.distillation import merging
from vit_sentiment.distillation.tables import PhotoFiles
from vit_sentiment.runtime.errors import UserError


@pytest.fixture
def own(tmp_path, distilled):
    """Rows of our own: three new tweets, one of which names a tweet of the dataset's test part."""
    held_out = open_source(str(distilled), "test").index["group"][0]
    groups = ["new-1", "new-2", held_out]
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(bytes([number]))
    table = pl.DataFrame(
        {
            "id": [f"{group}/own.jpg" for group in groups],
            "tweet": groups,
            "group": groups,
            **dict.fromkeys(("NEG", "NEU", "POS"), np.full(3, 1 / 3, np.float32)),
            "teacher_label": pl.Series([0, 1, 2], dtype=pl.Int32),
            "human_label": pl.Series([-1, -1, -1], dtype=pl.Int32),
            "number": [0, 1, 2],
        }
    )
    files = PhotoFiles(pl.Series([str(tmp_path / f"{number}.jpg") for number in range(3)]))
    return table, files


def test_what_a_dataset_holds_out_is_not_trained_on(own, distilled):
    table, files = own
    sources = merging.open_all([str(distilled)])
    parts = {"train": table, "validation": table[:0], "test": table[:0]}
    merged, photos = merging.add(parts, files, sources)
    assert {part: len(rows) for part, rows in merged.items()} == {
        "train": 162, "validation": 20, "test": 21,
    }  # fmt: skip
    assert merged["train"]["id"].to_list()[:2] == ["new-1/own.jpg", "new-2/own.jpg"]
    groups = [set(rows["group"]) for rows in merged.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    # Every number leads to its own photo, of whichever source.
    expected = {
        record.id: (record.image, list(record.teacher_probs))
        for source in sources
        for record in source.records()
    }
    for rows in merged.values():
        for row in rows.iter_rows(named=True):
            if row["id"] in expected:
                image, probs = expected[row["id"]]
                assert [row["NEG"], row["NEU"], row["POS"]] == probs
                assert photos.read(row["number"]) == image
            else:
                assert photos.read(row["number"]) == files.read(list(table["id"]).index(row["id"]))


def test_a_tweet_that_is_held_out_is_known_by_any_name_of_its_group(own, distilled):
    table, files = own
    group = pl.Series(["new-1", "new-2", "new-2"])
    merged, _ = merging.add(
        {"train": table.with_columns(group=group)}, files, merging.open_all([str(distilled)])
    )
    assert [row for row in merged["train"]["id"] if row.startswith("new")] == ["new-1/own.jpg"]
    assert len(merged["test"]) == 22


def test_thrown_together_a_photo_is_there_once(own, distilled):
    table, files = own
    sources = merging.open_all([str(distilled)])
    twice = table.with_columns(id=pl.Series([*table["id"][:2], sources[0].index["id"][0]]))
    rows, photos = merging.throw_together(twice, files, sources)
    assert len(rows) == 202
    assert rows["id"].to_list()[:3] == twice["id"].to_list()
    assert photos.read(rows["number"][2]) == files.read(2)


def test_a_worker_gets_the_photos_it_needs(own, distilled):
    table, files = own
    _, photos = merging.throw_together(table, files, merging.open_all([str(distilled)]))
    numbers = [150, 1, 202, 0, 150]
    taken = photos.take(numbers)
    assert [taken.read(i) for i in range(5)] == [photos.read(number) for number in numbers]
    assert [len(source) for source in taken.sources] == [2, 2, 0, 1]


def test_only_labelled_datasets_with_our_splits_are_added(tweets, tmp_path):
    with pytest.raises(UserError, match=r"sources: .*expected a dataset with the splits train, "):
        merging.open_all([str(tweets)])
    with pytest.raises(UserError, match="nowhere: no such dataset"):
        merging.open_all([str(pathlib.Path(tmp_path / "nowhere"))])


def test_the_merged_set_needs_something_to_merge(tmp_path, run):
    done = run(
        "vit_sentiment.distill",
        "--config=configs/distill.py:merged",
        f"--tweets={tmp_path}",
        f"--out={tmp_path / 'out'}",
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "give the folders of datasets, --config.merge.sources=" in line
