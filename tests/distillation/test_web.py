"""One photo from a server that is slow, cut, redirecting, missing or no server at all."""

import contextlib
import pathlib
import socket
import threading

import loopback
import pytest
from fetching import JPEG, check_counts, fetch, fetch_one, files_below, listed, photo, table
from loopback import Reply

import vit_sentiment
from vit_sentiment.distillation import waiting


@contextlib.contextmanager
def raw_server(serve):
    """The URL of a server on loopback whose only connection `serve(listener)` answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join()


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
    monkeypatch.setattr(waiting.Hosts, "hold", lambda self, *what: held.append(what))
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
    limit = {"timeout": 0.3} if reply.stall else {}
    assert fetch_one(server, tmp_path / "a", reply, Reply(JPEG), **limit) == (JPEG, None)
    _, failure = fetch_one(server, tmp_path / "b", reply, attempts=2, **limit)
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

    with raw_server(drip) as url:
        _, failures, _ = fetch(table(photo(0, url)), tmp_path, total=0.3)
        done.set()
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
        b"HTTP/1.1 302 Found\r\nLocation: http://%xn--a%20/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http:a?#\r\n\r\n",
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

    with raw_server(serve) as url:
        photos, failures, counts = fetch(table(photo(0, url)), tmp_path, attempts=1)
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


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a/b", "a.jpg", "", "http://a b:x/", "http://%xn--a%20/"]
)
def test_what_is_no_web_address_is_never_asked_for(tmp_path, url):
    _, failures, _ = fetch(table(photo(0, url)), tmp_path)
    (failure,) = failures.rows(named=True)
    assert (failure["attempts"], failure["status"], failure["final"]) == (1, None, True)
    assert files_below(tmp_path) == []


def test_photos_that_are_too_large_are_refused(server, tmp_path):
    """Without waiting for the rest of them."""
    endless = Reply(JPEG, claims=-1, stall=len(JPEG))
    for reply in (Reply(claims=10**9, stall=0), Reply(JPEG), Reply(JPEG, claims=-1), endless):
        _, failure = fetch_one(server, tmp_path, reply, max_bytes=len(JPEG) - 1, retry_failed=True)
        assert failure["error"] == "larger than 5,119 bytes"
        assert failure["final"]
        assert len(server.requests) == 1
    fits = {"max_bytes": len(JPEG), "retry_failed": True}
    assert fetch_one(server, tmp_path, Reply(JPEG), **fits) == (JPEG, None)
