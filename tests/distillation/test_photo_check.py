"""The look at every photo: what decodes, and the hashes of it."""

import hashlib

import numpy as np
import polars as pl
import pytest

from input_pipeline import pixels
from vit_sentiment.distillation import photo_check
from vit_sentiment.distillation.hashing import hash_photos
from vit_sentiment.distillation.tables import PhotoFiles
from vit_sentiment.runtime.errors import UserError


@pytest.fixture
def photos(golden, tmp_path):
    """Five photos, the second of which is cut and the fourth missing: table and files."""
    whole = sorted((golden / "decode").glob("rgb*.jpg"))[0]
    paths = []
    for number in range(5):
        paths.append(tmp_path / f"{number}-0.jpg")
        data = whole.read_bytes()
        if number != 3:
            paths[-1].write_bytes(data[:20] if number == 1 else data + bytes([number]))
    table = pl.DataFrame({"id": [path.name for path in paths], "number": [0, 1, 2, 3, 4]})
    return table, PhotoFiles(pl.Series([str(path) for path in paths]))


def test_what_decodes_has_its_hash_and_the_others_their_problem(photos, tmp_path):
    table, files = photos
    looked = photo_check.check(tmp_path / "look", table, files, rows=2)
    assert looked.schema == photo_check.SCHEMA
    assert looked["id"].to_list() == table["id"].to_list()
    assert looked["problem"].is_null().to_list() == [True, False, True, False, True]
    assert looked["problem"][3] == "no such file"
    whole = [files.read(number) for number in (0, 2, 4)]
    expected = hash_photos(iter(whole), 3)
    found = photo_check.hashes_of(looked.filter(pl.col("problem").is_null()))
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.variance, expected.variance)
    digests = [int(hashlib.sha256(data).hexdigest()[:16], 16) for data in whole]
    assert found.digests.tolist() == digests


def test_only_missing_shards_are_looked_at_again(photos, tmp_path, monkeypatch):
    table, files = photos
    folder = tmp_path / "look"
    first = photo_check.check(folder, table, files, rows=2)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "photos-00001-of-00003.parquet").unlink()
    looked_at = []
    read = PhotoFiles.read
    monkeypatch.setattr(
        PhotoFiles, "read", lambda self, number: looked_at.append(number) or read(self, number)
    )
    again = photo_check.check(folder, table, files, rows=2)
    assert sorted(looked_at) == [2, 3]
    assert again.equals(first)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_shards_of_other_photos_are_refused(photos, tmp_path):
    table, files = photos
    photo_check.check(tmp_path / "look", table, files)
    with pytest.raises(UserError, match=r"photos\.json: its shards have photos 5, this run 4"):
        photo_check.check(tmp_path / "look", table[:4], files)


def test_photos_that_are_taken_for_a_worker_read_the_same(photos):
    _, files = photos
    taken = files.take([4, 0])
    assert len(taken) == 2
    assert [taken.read(0), taken.read(1)] == [files.read(4), files.read(0)]
    with pytest.raises(pixels.DecodeError, match="not fetched"):
        PhotoFiles(pl.Series([None], dtype=pl.String)).read(0)
