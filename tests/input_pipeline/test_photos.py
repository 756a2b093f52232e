"""Photo files that can be read, and those that cannot."""

import os
import pathlib

import pytest

from input_pipeline import photos
from input_pipeline.pixels import DecodeError

IMPOSSIBLE = ["x" * 300 + ".jpg", "zero\0byte.jpg", "missing.jpg", "missing/photo.jpg", "."]


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_be_read_is_told_and_does_not_exist(tmp_path, name):
    assert not photos.exists(tmp_path / name)
    with pytest.raises(DecodeError):
        photos.read(tmp_path / name)


def test_pipes_and_devices_neither_hang_nor_fill_the_memory(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", pathlib.Path("/dev/zero")):
        with pytest.raises(DecodeError, match="a pipe or a device"):
            photos.read(path)


def test_files_come_in_order_with_what_is_wrong(golden, tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "WINDOW", 2)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8 not a photo")
    decode = golden / "decode"
    paths = [decode / "rgb.png", bad, pathlib.Path("gone"), decode / "rgb.bmp"]
    found = list(photos.examine(paths))
    assert [found[0], found[3]] == [paths[0].read_bytes(), paths[3].read_bytes()]
    assert isinstance(found[1], DecodeError)
    assert str(found[2]) == "no such file"
