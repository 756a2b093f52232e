"""Fetching the photos of a table, and going on with it."""

import os
import pathlib
import signal
import subprocess
import sys
import threading

import loopback
import polars as pl
import pytest
from fetching import JPEG, check_counts, fetch, files_below, listed, photo, table
from loopback import Reply

from vit_sentiment.distillation import failures as failures_module
from vit_sentiment.distillation.fetch import Settings
from vit_sentiment.runtime.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


def umask():
    value = os.umask(0)
    os.umask(value)
    return value


def test_photos_lie_where_the_original_puts_them(server, tmp_path):
    server.will(Reply(JPEG))
    server.will(Reply(JPEG[:99]), at="/b")
    rows = [
        photo(0, f"{server.url}/a", tweet="987654321"),
        photo(1, None, path="here.jpg"),
        photo(2, f"{server.url}/b", tweet="987654321", k=1),
        photo(3, f"{server.url}/never", path="there.jpg"),
        photo(4, None),
        photo(5, f"{server.url}/c", tweet="17"),
    ]
    photos, failures, counts = fetch(table(*rows), tmp_path / "photos")
    check_counts(photos, failures, counts)
    first, second, third = (
        str(tmp_path / "photos" / name)
        for name in ("98765/987654321-0.jpg", "98765/987654321-1.jpg", "17/17-0.jpg")
    )
    assert photos["path"].to_list() == [first, "here.jpg", second, "there.jpg", None, third]
    assert photos.drop("path").equals(table(*rows).drop("path"))
    assert pathlib.Path(first).read_bytes() == JPEG
    assert pathlib.Path(second).read_bytes() == JPEG[:99]
    assert sorted(server.paths) == ["/a", "/b", "/c"]
    assert len(failures) == 0
    assert list(counts.values()) == [3, 0, 3, 0, 0]
    assert pathlib.Path(first).stat().st_mode & 0o777 == 0o666 & ~umask()


@pytest.mark.parametrize(
    ("id_", "tweet"),
    [
        ("../evil.jpg", "12345"),
        ("/tmp/evil.jpg", "12345"),
        ("a/b.jpg", "12345"),
        ("..", "12345"),
        (".hidden", "12345"),
        ("", "12345"),
        ("a\n.jpg", "12345"),
        ("a.jpg\n", "12345"),
        ("a\0.jpg", "12345"),
        ("a.jpg", "../.."),
        ("a.jpg", "/tmp"),
        ("a.jpg", ""),
        ("a" * 300 + ".jpg", "12345"),
    ],
)
def test_nothing_is_written_outside_the_folder(server, tmp_path, id_, tweet):
    server.will(Reply(JPEG))
    rows = table((id_, tweet, None, f"{server.url}/", -1, ""), photo(1, f"{server.url}/1"))
    photos, failures, counts = fetch(rows, tmp_path / "in" / "photos")
    check_counts(photos, failures, counts)
    assert photos["path"].is_null().to_list() == [True, False]
    assert failures["id"].to_list() == [id_]
    assert failures["error"].to_list() == ["id or tweet is not a plain file name"]
    assert files_below(tmp_path) == [pathlib.Path(photos["path"][1])]


class Together:
    """A gate that opens when so many wait before it."""

    def __init__(self, count):
        self.barrier = threading.Barrier(count)

    def wait(self, timeout):
        self.barrier.wait(timeout)
        return True


def test_a_host_gets_as_many_connections_as_it_may_and_no_more(server, tmp_path):
    server.will(Reply(JPEG, gate=Together(3)))
    photos, _, _ = fetch(listed(server, 12), tmp_path, workers=9, per_host=3)
    assert photos["path"].is_not_null().all()
    assert server.most_active == {f"127.0.0.1:{server.port}": 3}


def test_workers_are_as_many_over_all_hosts(server, tmp_path):
    server.will(Reply(JPEG, gate=Together(4)))
    names = ("127.0.0.1", "localhost")
    rows = [photo(n, f"http://{names[n % 2]}:{server.port}/{n}") for n in range(12)]
    photos, _, _ = fetch(table(*rows), tmp_path, workers=4, per_host=3)
    assert photos["path"].is_not_null().all()
    assert max(server.most_active.values()) <= 3


def test_who_waits_for_a_slow_host_holds_up_no_other(server, tmp_path):
    """Forty photos of a host that answers only when the other host's photo has come."""
    other = threading.Event()
    server.will(Reply(JPEG, gate=other))
    rows = [photo(n, f"{server.url}/{n}") for n in range(40)]
    server.will(Reply(JPEG, gate=Open(other)), at="/other")
    rows.append(photo(99, f"http://localhost:{server.port}/other"))
    photos, _, _ = fetch(table(*rows), tmp_path, workers=3, per_host=2)
    assert photos["path"].is_not_null().all()


class Open:
    """A gate that is open, and opens another one."""

    def __init__(self, other):
        self.other = other

    def wait(self, timeout):
        self.other.set()
        return True


def test_a_redirect_counts_for_the_host_it_leads_to(server, tmp_path):
    server.will(Reply(JPEG, gate=Together(2)))
    for n in range(8):
        location = f"http://localhost:{server.port}/to/{n}"
        server.will(Reply(status=302, location=location), at=f"/{n}")
    photos, _, _ = fetch(listed(server, 8), tmp_path, workers=8, per_host=2)
    assert photos["path"].is_not_null().all()
    assert server.most_active[f"localhost:{server.port}"] == 2


def test_connections_are_kept_alive_even_where_photos_are_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with loopback.serving(keep_alive=True) as server:
        server.will(Reply(JPEG))
        server.will(Reply(b"nothing here", status=404), at="/3")
        photos, failures, _ = fetch(listed(server, 20), tmp_path, per_host=1)
    assert photos["path"].null_count() == len(failures) == 1
    assert server.connections == 1


def test_a_second_run_asks_for_what_may_have_changed(server, tmp_path, capsys):
    server.will(Reply(JPEG))
    server.will(Reply(status=404), at="/1")
    server.will(Reply(status=503), at="/2")
    photos, failures, counts = fetch(listed(server, 4), tmp_path, attempts=1)
    check_counts(photos, failures, counts)
    assert failures.select("id", "final").rows() == [
        ("1234500001-0.jpg", True),
        ("1234500002-0.jpg", False),
    ]
    server.will(Reply(JPEG), at="/2")
    capsys.readouterr()
    again, left, counts = fetch(listed(server, 4), tmp_path)
    assert "1 photos failed for good in an earlier run" in capsys.readouterr().err
    check_counts(again, left, counts)
    assert server.paths == ["/2"]
    assert left.equals(failures[:1])
    assert list(counts.values()) == [4, 2, 1, 1, 0]
    assert again["path"].null_count() == 1
    server.will(Reply(JPEG), at="/1")
    final, left, _ = fetch(listed(server, 4), tmp_path, retry_failed=True)
    assert server.paths == ["/1"]
    assert len(left) == final["path"].null_count() == 0
    assert len(pl.read_parquet(tmp_path / "failures.parquet")) == 0


def test_another_url_of_the_same_photo_is_another_chance(server, tmp_path):
    server.will(Reply(status=404))
    fetch(listed(server, 1), tmp_path)
    server.will(Reply(JPEG))
    photos, failures, _ = fetch(table(photo(0, f"{server.url}/new")), tmp_path)
    assert len(failures) == photos["path"].null_count() == 0


def test_failures_of_other_tables_are_kept(server, tmp_path):
    server.will(Reply(status=404))
    photos = listed(server, 5)
    fetch(photos[:3], tmp_path)
    _, failures, _ = fetch(photos[2:], tmp_path)
    assert failures["id"].to_list() == photos[2:]["id"].to_list()
    kept = pl.read_parquet(tmp_path / "failures.parquet")
    assert sorted(kept["id"]) == photos["id"].to_list()
    assert len(server.requests) == 5


def test_failures_are_saved_on_the_way(server, tmp_path, monkeypatch):
    monkeypatch.setattr(failures_module, "SAVE_SECONDS", 0)
    seen = []

    class Look:
        def wait(self, timeout):
            seen.append(pl.read_parquet(tmp_path / "failures.parquet")["id"].to_list())
            return True

    server.will(Reply(status=404), at="/0")
    server.will(Reply(JPEG, gate=Look()), at="/1")
    fetch(listed(server, 2), tmp_path, workers=1)
    assert seen == [["1234500000-0.jpg"]]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_ended_goes_on(server, tmp_path, kind):
    reached, gate = threading.Event(), threading.Event()

    class Stuck:
        def wait(self, timeout):
            reached.set()
            return gate.wait(timeout)

    server.will(Reply(JPEG))
    server.will(Reply(status=404), at="/1")
    server.will(Reply(JPEG, gate=Stuck()), at="/7")
    photos, folder = listed(server, 20), tmp_path / "photos"
    photos.write_parquet(tmp_path / "photos.parquet")
    process = subprocess.Popen(
        [sys.executable, ROOT / "tests/distillation/fetching.py"]
        + [tmp_path / "photos.parquet", folder],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert reached.wait(60)
    with pytest.raises(UserError, match="another run is fetching into it"):
        fetch(photos, folder)
    process.send_signal(kind)
    _, told = process.communicate(timeout=60)
    gate.set()
    assert process.returncode == (130 if kind == signal.SIGINT else -signal.SIGKILL), told
    there = [path for path in files_below(folder) if path.parent.name != ".parts"]
    assert {path.read_bytes() for path in there} == {JPEG}
    expected = set(photos["id"]) - {path.name for path in there}
    if kind == signal.SIGINT:
        assert "Traceback" not in told
        assert pl.read_parquet(folder / "failures.parquet")["id"].to_list() == ["1234500001-0.jpg"]
        expected -= {"1234500001-0.jpg"}
    server.will(Reply(JPEG), at="/7")
    photos, failures, counts = fetch(photos, folder)
    check_counts(photos, failures, counts)
    assert {f"12345{path[1:]:0>5}-0.jpg" for path in server.paths} == expected
    assert counts["fetched before"] == len(there)
    assert failures["id"].to_list() == ["1234500001-0.jpg"]
    assert len(files_below(folder)) == 19


def test_a_full_disk_ends_the_run_and_leaves_no_half_photo(server, tmp_path, monkeypatch):
    write = pathlib.Path.write_bytes

    def full(path, body):
        write(path, body[: len(body) // 2])
        raise OSError(28, "No space left on device", str(path))

    server.will(Reply(JPEG))
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            fetch(listed(server, 9), tmp_path)
    assert files_below(tmp_path) == []
    photos, _, counts = fetch(listed(server, 9), tmp_path)
    assert counts["fetched"] == 9
    assert {pathlib.Path(path).read_bytes() for path in photos["path"]} == {JPEG}


def test_failures_that_cannot_be_read_are_told(server, tmp_path):
    (tmp_path / "failures.parquet").write_text("no table")
    with pytest.raises(UserError, match=r"failures\.parquet: not readable"):
        fetch(listed(server, 1), tmp_path)
    assert server.requests == []


def test_nothing_to_fetch(tmp_path):
    photos = table(photo(0, None), photo(1, "http://a/", path="b.jpg"))
    same, failures, counts = fetch(photos, tmp_path)
    assert same.equals(photos)
    check_counts(same, failures, counts)
    assert set(counts.values()) == {0}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("workers", 0, "at least 1"),
        ("per_host", -1, "at least 1"),
        ("attempts", 0, "at least 1"),
        ("timeout", 0.0, "seconds above 0"),
        ("total", float("inf"), "seconds above 0"),
        ("interval", -1.0, "seconds from 0"),
        ("back_off", float("nan"), "seconds from 0"),
    ],
)
def test_settings_that_make_no_sense(name, value, expected):
    with pytest.raises(UserError, match=f"{name}: expected {expected}, found {value}"):
        Settings(**{name: value})
