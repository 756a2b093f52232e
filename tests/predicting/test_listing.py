"""Lists of photos in every form."""

import gzip
import tracemalloc

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vit_sentiment.predicting import listing
from vit_sentiment.runtime.errors import UserError

PATHS = ["a.jpg", "b c.jpg", "é/雪.png", "a.jpg", " d.jpg"]


def read(path, column="path", rows=2):
    return list(listing.shards(listing.count(path, column), rows))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_of_any_kind(tmp_path, end, encoding):
    path = tmp_path / "list.txt"
    path.write_bytes(end.join([*PATHS[:2], "", *PATHS[2:]]).encode(encoding))
    assert read(path) == [PATHS[:2], PATHS[2:4], PATHS[4:]]


def test_every_form_has_the_same_hash(tmp_path):
    table = pl.DataFrame({"id": range(5), "path": PATHS})
    table.write_parquet(tmp_path / "list.parquet", row_group_size=2)
    table.write_csv(tmp_path / "list.csv")
    table.write_ndjson(tmp_path / "list.jsonl")
    (tmp_path / "list.txt.gz").write_bytes(gzip.compress("\n".join(PATHS).encode()))
    names = ("list.parquet", "list.csv", "list.jsonl", "list.txt.gz")
    found = [listing.count(tmp_path / name, "path") for name in names]
    assert {photos.rows for photos in found} == {5}
    assert len({photos.sha256 for photos in found}) == 1
    for name in names:
        assert read(tmp_path / name, rows=9) == [PATHS]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_columns_of_other_names_and_types(tmp_path, kind):
    table = pa.table({"photo": pa.array([*PATHS, None], kind)})
    pq.write_table(table, tmp_path / "list.parquet")
    assert read(tmp_path / "list.parquet", "photo", 10) == [[*PATHS, ""]]


def test_another_order_is_another_list(tmp_path):
    (tmp_path / "a").write_text("ab\nc\n")
    (tmp_path / "b").write_text("a\nbc\n")
    assert listing.count(tmp_path / "a", "").sha256 != listing.count(tmp_path / "b", "").sha256


def test_a_list_that_changes_is_told(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a\nb\n")
    photos = listing.count(path, "path")
    path.write_text("a\nc\n")
    with pytest.raises(UserError, match=r"list\.txt: was changed while it was read"):
        list(listing.shards(photos, 2))


def test_what_is_no_list(tmp_path):
    (tmp_path / "empty.txt").write_text("\n\n")
    pl.DataFrame({"id": [1], "name": ["a"]}).write_parquet(tmp_path / "list.parquet")
    (tmp_path / "broken.parquet").write_text("no Parquet")
    (tmp_path / "list.csv").write_text("path\na,b\n")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"photo\n" * 50_000)[:-20])
    for name, column, words in (
        ("empty.txt", "path", "no photo in it, expected at least one path"),
        ("none.txt", "path", "no such file"),
        (".", "path", "a folder, pipe or device, expected a file, which is read twice"),
        ("none.parquet", "path", "no such file"),
        ("list.parquet", "path", "no column 'path'; found: id, name; see --column"),
        ("list.parquet", "id", "column 'id': expected text, found int64"),
        ("broken.parquet", "path", "not a readable Parquet file"),
        ("list.csv", "path", "expected 1 fields, found 2"),
        ("cut.txt.gz", "path", "cut or damaged from here on"),
    ):
        with pytest.raises(UserError, match=words):
            listing.count(tmp_path / name, column)


def test_a_long_list_needs_no_more_memory_than_a_short_one(tmp_path):
    peaks = []
    for rows in (10_000, 80_000):
        path = tmp_path / f"{rows}.txt"
        path.write_text("".join(f"folder/photo_{number:06}.jpg\n" for number in range(rows)))
        tracemalloc.start()
        for paths in listing.shards(listing.count(path, "path"), 1000):
            assert len(paths) == 1000
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
