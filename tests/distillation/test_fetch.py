"""Fetching photos from a server on loopback that misbehaves."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import loopback
import polars as pl
import pytest
from loopback import Reply

import vit_sentiment
from vit_sentiment.distillation import failures as failures_module
from vit_sentiment.distillation import fetch as fetching
from vit_sentiment.distillation.tables import PHOTOS
from vit_sentiment.runtime.errors import UserError

JPEG = bytes(range(256)) * 20
ROOT = pathlib.Path(__file__).parents[2]


def photo(number, url, *, tweet=None, k=0, path=None):
    tweet = tweet or str(1234500000 + number)
    return (f"{tweet}-{k}.jpg", tweet, path, url, -1, f"tweets.csv:{number + 2}")


def table(*rows):
    return pl.DataFrame(rows, PHOTOS, orient="row")


def listed(server, count):
    return table(*(photo(number, f"{server.url}/{number}") for number in range(count)))


def fetch(photos, folder, **settings):
    settings = {"back_off": 0.0, "timeout": 10.0} | settings
    return fetching.fetch(photos, folder, fetching.Settings(**settings))


def fetch_one(server, folder, *replies, **settings):
    """Its bytes or None, the row of its failure or None."""
    server.will(*replies)
    photos, failures, counts = fetch(listed(server, 1), folder, **settings)
    check_counts(photos, failures, counts)
    path = photos["path"][0]
    assert (path is None) == (len(failures) == 1)
    assert files_below(folder) == ([] if path is None else [pathlib.Path(path)])
    body = None if path is None else pathlib.Path(path).read_bytes()
    return body, (failures.row(0, named=True) if len(failures) else None)


def check_counts(photos, failures, counts):
    assert counts["photo URLs"] == counts["fetched before"] + counts["fetched"] + len(failures)
    assert counts["gone for good"] == failures["final"].sum()
    assert counts["failed for now"] == (~failures["final"]).sum()
    assert photos.schema == PHOTOS
    assert failures.schema == failures_module.FAILURES


def files_below(folder):
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if path.name not in (".lock", "failures.parquet")]


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


def umask():
    value = os.umask(0)
    os.umask(value)
    return value


def test_requests_name_the_project_and_carry_no_cookies(server, tmp_path):
    server.will(Reply(JPEG, headers={"Set-Cookie": "a=b"}))
    fetch(listed(server, 3), tmp_path, workers=1)
    for _, headers in server.requests:
        assert headers["User-Agent"] == f"vit_sentiment/{vit_sentiment.__version__}"
        assert headers["Accept-Encoding"] == "identity"
        assert "Cookie" not in headers


def test_what_is_no_photo_is_left_to_a_later_stage(server, tmp_path):
    page = Reply(b"<html>", content_type="text/html")
    assert fetch_one(server, tmp_path, page) == (b"<html>", None)


def test_a_body_without_length_is_taken_as_it_is(server, tmp_path):
    assert fetch_one(server, tmp_path, Reply(JPEG, claims=-1)) == (JPEG, None)


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 403, 404, 410, 451])
def test_any_other_status_is_final(server, tmp_path, status):
    body, failure = fetch_one(server, tmp_path, Reply(status=status))
    assert body is None
    assert len(server.requests) == 1
    expected = {"attempts": 1, "status": status, "final": True}
    assert failure | expected == failure
    assert failure["error"].startswith(f"HTTP {status}")
    assert failure["url"] == f"{server.url}/0"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(server, tmp_path, status):
    replies = (Reply(status=status), Reply(status=status), Reply(JPEG))
    assert fetch_one(server, tmp_path / "good", *replies) == (JPEG, None)
    assert len(server.requests) == 3
    _, failure = fetch_one(server, tmp_path / "bad", Reply(status=status))
    assert len(server.requests) == failure["attempts"] == 4
    assert failure["status"] == status
    assert not failure["final"]


def test_retry_after_holds_the_host(server, tmp_path, monkeypatch):
    held = []
    monkeypatch.setattr(fetching.Hosts, "hold", lambda self, *what: held.append(what))
    busy = Reply(status=429, headers={"Retry-After": "3"})
    assert fetch_one(server, tmp_path, busy, Reply(JPEG)) == (JPEG, None)
    assert held == [(f"127.0.0.1:{server.port}", 3.0)]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(JPEG, cut=1000), "peer closed connection"),
        (Reply(JPEG, cut=0), "peer closed connection"),
        (Reply(JPEG, claims=len(JPEG) + 1), "peer closed connection"),
        (Reply(JPEG, stall=100), "stalled"),
    ],
    ids=["cut", "cut at once", "shorter than promised", "stall"],
)
def test_half_a_photo_is_none(server, tmp_path, reply, error):
    assert fetch_one(server, tmp_path / "a", reply, Reply(JPEG), timeout=0.3) == (JPEG, None)
    _, failure = fetch_one(server, tmp_path / "b", reply, timeout=0.1, attempts=2)
    assert error in failure["error"]
    assert (failure["attempts"], failure["status"], failure["final"]) == (2, 200, False)


def test_a_slow_photo_that_keeps_coming_is_fetched(server, tmp_path):
    """Longer than the time-out, which is for silence."""
    assert fetch_one(server, tmp_path, Reply(JPEG[:8], drip=0.06), timeout=0.3) == (JPEG[:8], None)


def test_a_drip_ends_at_the_total_limit(server, tmp_path):
    _, failure = fetch_one(server, tmp_path, Reply(JPEG, drip=0.02), total=0.3)
    assert failure["error"] == "took longer than 0.3 s"
    assert (failure["attempts"], failure["final"]) == (1, False)


def test_a_drip_of_headers_ends_there_too(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    done = threading.Event()

    def drip(listener):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not done.wait(0.02):
                connection.sendall(b"a")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        photos = table(photo(0, f"http://127.0.0.1:{listener.getsockname()[1]}/"))
        _, failures, _ = fetch(photos, tmp_path, total=0.3)
        done.set()
        thread.join()
    assert failures["error"].to_list() == ["took longer than 0.3 s"]


def test_no_server_is_a_failure_for_now(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with loopback.serving() as gone:
        url = gone.url
    _, failures, _ = fetch(table(photo(0, url)), tmp_path, attempts=3)
    (failure,) = failures.rows(named=True)
    assert (failure["attempts"], failure["status"], failure["final"]) == (3, None, False)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff garbage \r\n\r\n",
        b"HTTP/1.1 999999 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc",
        b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://a:b:c/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1/\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
)
def test_answers_that_are_not_http_are_failures(tmp_path, monkeypatch, answer):
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def serve(listener):
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while connection.recv(65536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        photos = table(photo(0, f"http://127.0.0.1:{listener.getsockname()[1]}/"))
        photos, failures, counts = fetch(photos, tmp_path, attempts=1)
        thread.join()
    check_counts(photos, failures, counts)
    assert len(failures) == 1
    assert "\n" not in failures["error"][0]


def test_redirects_are_followed(server, tmp_path):
    server.will(Reply(status=302, location="/b"), at="/0")
    server.will(Reply(status=308, location=f"http://localhost:{server.port}/c"), at="/b")
    server.will(Reply(JPEG), at="/c")
    photos, _, _ = fetch(listed(server, 1), tmp_path)
    assert pathlib.Path(photos["path"][0]).read_bytes() == JPEG
    assert server.paths == ["/0", "/b", "/c"]


@pytest.mark.parametrize(
    ("location", "error", "requests"),
    [
        ("/0", "more than 10 redirects", 11),
        ("file:///etc/passwd", "redirected to file:/etc/passwd: expected an http or https", 1),
        ("ftp://127.0.0.1/a.jpg", "redirected to ftp://127.0.0.1/a.jpg: expected", 1),
        (None, "HTTP 302", 1),
    ],
    ids=["loop", "file", "ftp", "no location"],
)
def test_redirects_that_lead_nowhere_are_final(server, tmp_path, location, error, requests):
    _, failure = fetch_one(server, tmp_path, Reply(status=302, location=location))
    assert error in failure["error"]
    assert (failure["attempts"], failure["status"], failure["final"]) == (1, 302, True)
    assert len(server.requests) == requests


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "a.jpg", "", "http://a b:x/"])
def test_what_is_no_web_address_is_never_asked_for(tmp_path, url):
    _, failures, _ = fetch(table(photo(0, url)), tmp_path)
    (failure,) = failures.rows(named=True)
    assert (failure["attempts"], failure["status"], failure["final"]) == (1, None, True)
    assert files_below(tmp_path) == []


def test_photos_that_are_too_large_are_refused(server, tmp_path):
    for reply in (Reply(JPEG), Reply(JPEG, claims=-1)):
        _, failure = fetch_one(server, tmp_path, reply, max_bytes=len(JPEG) - 1, retry_failed=True)
        assert failure["error"] == "larger than 5,119 bytes"
        assert failure["final"]
        assert len(server.requests) == 1
    assert fetch_one(server, tmp_path, reply, max_bytes=len(JPEG), retry_failed=True)[0] == JPEG


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


def test_a_second_run_asks_for_what_may_have_changed(server, tmp_path):
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
    again, left, counts = fetch(listed(server, 4), tmp_path)
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


def test_a_full_disk_ends_the_run(server, tmp_path, monkeypatch):
    def full(path, body):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    server.will(Reply(JPEG))
    with pytest.raises(OSError, match="No space left"):
        fetch(listed(server, 9), tmp_path)


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
