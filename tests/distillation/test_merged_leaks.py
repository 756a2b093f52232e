"""Photos of merged datasets that must not be trained on."""

import cv2
import polars as pl
import pytest
import written

from vit_sentiment.distillation import leaks, merged_leaks, merging
from vit_sentiment.distillation.writing import write


@pytest.fixture
def names(tmp_path):
    """Two datasets; the other's first photo for training is a test photo of one, shrunk."""
    parts, files = written.make(tmp_path / "one")
    write(parts, files, tmp_path / "one-data")
    other, others = written.make(tmp_path / "other", seed=1)
    photo = cv2.imread(str(tmp_path / "one" / parts["test"]["id"][0]))
    path = tmp_path / "other" / other["train"]["id"][0]
    cv2.imwrite(str(path), cv2.resize(photo, (60, 40)), [cv2.IMWRITE_JPEG_QUALITY, 70])
    named = [pl.format("other-{}", name).alias(name) for name in ("id", "tweet", "group")]
    write({k: rows.with_columns(named) for k, rows in other.items()}, others, tmp_path / "2-data")
    return [str(tmp_path / "one-data"), str(tmp_path / "2-data")]


def test_nothing_is_trained_on_that_looks_like_what_another_dataset_holds_out(names):
    sources = merging.open_all(names)
    own = pl.DataFrame(schema=written.ROWS)
    merged, _ = merging.add({"train": own}, merging.PhotosOfMany((), *[own["number"]] * 2), sources)
    hashes = leaks.hash_sources(sources)
    parts, table = merged_leaks.of_held_out(merged, sources, hashes, 0, 3)
    (found,) = table.rows(named=True)
    assert found["distance"] <= 3
    assert (found["id"], found["benchmark"], found["split"], found["photo"]) == (
        "other-810000000000-0.jpg",
        names[0],
        "test",
        "810000000018-0.jpg",
    )
    left = merged["train"].filter(pl.col("id") != found["id"])
    assert len(left) == 63
    assert parts["train"].equals(left)
    assert parts["test"].equals(merged["test"])


def test_photos_of_benchmarks_are_found_in_datasets(names):
    sources = merging.open_all(names)
    hashes = leaks.hash_sources(sources)
    benchmark = leaks.open_all([names[0]], "dataset")
    numbers, table = merged_leaks.of_benchmarks(sources, hashes, benchmark, 0)
    assert set(range(40)) <= set(numbers.tolist()) <= set(range(41))
    assert table["id"].to_list()[:40] == table["photo"].to_list()[:40]
    numbers, table = merged_leaks.of_benchmarks(sources, hashes, [], 0)
    assert (len(numbers), len(table)) == (0, 0)
