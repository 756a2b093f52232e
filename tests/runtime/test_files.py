import json
import math
import os
import stat

import pytest

from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "out.npz"
    with files.replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".npz"
        temporary.write_bytes(b"content")
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert names(path.parent) == ["out.npz"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there_before(tmp_path, error):
    path = tmp_path / "out.txt"
    path.write_text("before")

    def fail():
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "before"
    assert names(tmp_path) == ["out.txt"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_have_the_mode_that_the_umask_leaves(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        files.write_text(tmp_path / "out.txt", "text")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.txt").stat().st_mode) == mode


def test_what_is_no_file_is_told_before_the_work_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    before = names(tmp_path)
    for name, kind in (("pipe", "a pipe"), ("folder", "a folder"), ("link", "a pipe")):
        with pytest.raises(UserError, match=f"{name}: {kind}"), files.replacing(tmp_path / name):
            pytest.fail("the work was begun")
    assert names(tmp_path) == before
    assert stat.S_ISFIFO((tmp_path / "link").stat().st_mode)


def test_what_a_link_points_to_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.txt").symlink_to("there/out.txt")
    files.write_text(tmp_path / "link.txt", "text")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "there/out.txt").read_text() == "text"


def test_text_is_utf_8(tmp_path):
    files.write_text(tmp_path / "out.txt", "naïve 😊\n")
    assert (tmp_path / "out.txt").read_bytes() == "naïve 😊\n".encode()


def test_json_and_back(tmp_path):
    value = {"a": [1, 2.5, None, True], "b": {"c": "é"}}
    files.write_json(tmp_path / "out.json", value)
    text = (tmp_path / "out.json").read_text()
    assert json.loads(text) == value
    assert text.endswith("}\n")
    assert files.read_json(tmp_path / "out.json") == value


@pytest.mark.parametrize("value", [math.nan, math.inf, [{"a": -math.inf}]])
def test_numbers_that_json_lacks_are_refused_and_nothing_is_written(tmp_path, value):
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "out.json", value)
    assert names(tmp_path) == []


@pytest.mark.parametrize("data", [b'{"a": 1,\n"b": }', b"\xff\xfe", b""])
def test_broken_json_is_an_error_with_the_files_name(tmp_path, data):
    (tmp_path / "in.json").write_bytes(data)
    with pytest.raises(UserError, match=r"in\.json: not valid JSON") as error:
        files.read_json(tmp_path / "in.json")
    assert "\n" not in str(error.value)


def test_broken_json_names_the_line(tmp_path):
    (tmp_path / "in.json").write_text('{"a": 1,\n"b": }')
    with pytest.raises(UserError, match="line 2"):
        files.read_json(tmp_path / "in.json")
