import os
import shutil
import types

import loopback
import pytest
from loopback import Reply

from checkpoints import transfer

DATE = "Tue, 01 Jun 2021 12:00:00 GMT"


@pytest.fixture
def part(tmp_path):
    return tmp_path / "w.npz.part"


def get(server, part, **options):
    transfer.transfer(f"{server.url}/w.npz", part, **options)
    return part.read_bytes()


def interrupt(server, part, reply, monkeypatch):
    """A call that ends before the file does."""
    server.will(reply)
    with monkeypatch.context() as patch:
        patch.setattr(transfer, "ATTEMPTS", 1)
        with pytest.raises(transfer.TransferError):
            get(server, part)


def test_a_whole_file(server, part, npz, capsys):
    server.will(Reply(npz))
    assert get(server, part) == npz
    assert server.ranges == [None]
    assert "w.npz: 2/2 MB in" in capsys.readouterr().err


def test_a_cut_is_resumed_where_it_was(server, part, npz, capsys):
    server.will(Reply(npz, cut=400_000), Reply(npz))
    assert get(server, part) == npz
    assert server.ranges == [None, "bytes=400000-"]
    assert server.requests[1][1]["If-Range"] == '"1"'
    assert f"400,000 of {len(npz):,} bytes; trying again" in capsys.readouterr().err


def test_a_stall_is_resumed(server, part, npz, capsys):
    server.will(Reply(npz, stall=300_000), Reply(npz))
    assert get(server, part, timeout=0.3) == npz
    assert server.ranges == [None, "bytes=300000-"]
    assert "stalled; trying again" in capsys.readouterr().err


def test_a_server_that_never_answers_is_given_up(server, part):
    server.will(Reply(stall=0, claims=10, gate=server.closing))
    with pytest.raises(transfer.TransferError, match="stalled, given up after 5 attempts"):
        get(server, part, timeout=0.1)
    assert len(server.requests) == 5


def test_cuts_do_not_end_it_as_long_as_bytes_come(server, part, npz):
    server.will(*[Reply(npz, cut=100_000)] * 11, Reply(npz))
    assert get(server, part) == npz
    assert len(server.requests) == 12


def test_another_call_goes_on_where_the_last_one_ended(server, part, npz, monkeypatch):
    interrupt(server, part, Reply(npz, cut=500_000), monkeypatch)
    server.will(Reply(npz))
    assert get(server, part) == npz
    assert server.ranges == ["bytes=500000-"]


def test_a_part_of_another_url_is_not_continued(server, part, npz, monkeypatch):
    interrupt(server, part, Reply(npz, cut=500_000), monkeypatch)
    server.will(Reply(npz))
    transfer.transfer(f"{server.url}/mirror/w.npz", part)
    assert server.ranges == [None]
    assert part.read_bytes() == npz


def test_a_complete_part_is_not_fetched_again(server, part, npz):
    server.will(Reply(npz))
    get(server, part)
    assert get(server, part) == npz
    assert server.ranges == [None, f"bytes={len(npz)}-"]


def test_discard_leaves_nothing(server, part, npz):
    server.will(Reply(npz))
    get(server, part)
    transfer.discard(part)
    assert list(part.parent.iterdir()) == []


@pytest.mark.parametrize(
    "new",
    [
        {"etag": '"2"'},  # Heeds If-Range: 200 and the whole file.
        {"etag": '"2"', "if_range": False},  # 206 of another file.
        {"etag": None, "ranges": False},  # 200.
        {"shift": 5},  # 206 that starts elsewhere.
    ],
)
def test_a_file_that_changed_between_two_parts_starts_over(server, part, npz, new):
    old = bytes(len(npz))
    server.will(Reply(old, cut=400_000), Reply(npz, **new), Reply(npz, etag=new.get("etag", '"1"')))
    assert get(server, part) == npz


def test_a_file_that_shrank_between_two_parts_starts_over(server, part, npz, monkeypatch):
    interrupt(server, part, Reply(bytes(900_000), cut=800_000), monkeypatch)
    server.will(Reply(npz[:500_000]))
    assert get(server, part) == npz[:500_000]
    assert server.ranges == ["bytes=800000-", None]


def test_without_a_validator_nothing_is_continued(server, part, npz):
    reply = Reply(npz, etag=None, if_range=False)
    server.will(Reply(bytes(len(npz)), etag=None, cut=400_000), reply)
    assert get(server, part) == npz
    assert server.ranges == [None, None]


def test_a_weak_etag_does_not_vouch_for_bytes_and_a_date_does(server, part, npz):
    server.will(Reply(npz, etag='W/"1"', modified=DATE, cut=400_000), Reply(npz, None, DATE))
    assert get(server, part) == npz
    assert server.ranges == [None, "bytes=400000-"]
    assert server.requests[1][1]["If-Range"] == DATE


def test_a_promise_of_more_than_comes_is_an_error(server, part, npz):
    server.will(Reply(npz, claims=len(npz) + 10))
    promised = f"{len(npz):,} of {len(npz) + 10:,} bytes, given up after 5 attempts"
    with pytest.raises(transfer.TransferError, match=promised):
        get(server, part)
    assert part.read_bytes() == npz  # To go on from, should the server tell the truth.


def test_no_more_is_taken_than_was_promised(server, part, npz):
    server.will(Reply(npz, claims=len(npz) - 10))
    assert get(server, part) == npz[:-10]


def test_no_promise_is_said(server, part, npz, capsys):
    server.will(Reply(npz, claims=-1))
    assert get(server, part) == npz
    assert "tells no length" in capsys.readouterr().err


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_will_not_change_is_asked_once(server, part, status):
    server.will(Reply(b"no", status=status))
    with pytest.raises(transfer.TransferError, match=rf"/w\.npz: HTTP {status} "):
        get(server, part)
    assert len(server.requests) == 1
    assert not part.exists()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_what_may_change_is_asked_again(server, part, npz, status):
    server.will(Reply(b"later", status=status), Reply(b"later", status=status), Reply(npz))
    assert get(server, part) == npz
    assert len(server.requests) == 3


def test_a_server_that_stays_broken_is_given_up(server, part):
    server.will(Reply(status=500))
    with pytest.raises(transfer.TransferError, match=r"HTTP 500 .*after 5 attempts"):
        get(server, part)
    assert len(server.requests) == 5


def test_pauses_double(server, part, npz, monkeypatch):
    pauses = []
    monkeypatch.setattr(transfer, "time", types.SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(transfer, "BACK_OFF_SECONDS", 1.0)
    server.will(*[Reply(status=500)] * 4, Reply(npz))
    get(server, part)
    assert pauses == [1, 2, 4, 8]


def test_an_answer_that_is_no_file_is_an_error(server, part):
    server.will(Reply(status=204))
    with pytest.raises(transfer.TransferError, match="HTTP 204"):
        get(server, part)


def test_a_web_page_leaves_the_part_alone(server, part, npz, monkeypatch):
    interrupt(server, part, Reply(npz, cut=500_000), monkeypatch)
    server.will(Reply(b"<html>log in", etag=None, ranges=False, content_type="text/html"))
    with pytest.raises(transfer.TransferError, match="web page"):
        get(server, part)
    assert part.read_bytes() == npz[:500_000]


def test_a_redirect_to_another_host_is_followed_also_when_resuming(server, part, npz):
    there = Reply(status=302, location=f"http://localhost:{server.port}/x?signed=1")
    server.will(there, Reply(npz, cut=400_000), there, Reply(npz))
    assert get(server, part) == npz
    assert server.ranges == [None, None, "bytes=400000-", "bytes=400000-"]
    assert server.requests[3][1]["Host"] == f"localhost:{server.port}"


@pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
def test_a_redirect_to_another_scheme_is_refused(server, part, tmp_path, scheme):
    (tmp_path / "secret").write_bytes(b"PK")
    server.will(Reply(status=302, location=f"{scheme}://localhost{tmp_path}/secret"))
    with pytest.raises(transfer.TransferError, match=scheme) as error:
        get(server, part)
    assert "\n" not in str(error.value)
    assert len(server.requests) == 1
    assert not part.exists()


def test_redirects_in_a_circle_end(server, part):
    server.will(Reply(status=302, location="/w.npz"))
    with pytest.raises(transfer.TransferError, match="HTTP 302") as error:
        get(server, part)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://localhost/w.npz", "w.npz", "http://"])
def test_other_urls_are_refused(part, url):
    with pytest.raises(transfer.TransferError, match=r"http|no host"):
        transfer.transfer(url, part)


def test_nobody_there(server, part):
    with loopback.serving() as gone:
        url = gone.url
    with pytest.raises(transfer.TransferError, match=r"no connection .*given up"):
        transfer.transfer(f"{url}/w.npz", part)


def test_a_proxy_is_asked(server, part, npz, monkeypatch):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", server.url)
    server.will(Reply(npz))
    transfer.transfer("http://weights.invalid/w.npz", part)
    assert [path for path, _ in server.requests] == ["http://weights.invalid/w.npz"]
    assert part.read_bytes() == npz


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("size", [100, 1_000_000])
def test_a_full_disk_is_told_in_one_line(server, part, size):
    part.symlink_to("/dev/full")
    server.will(Reply(bytes(size)))
    with pytest.raises(transfer.TransferError, match=r"No space left on device after 0 MB$"):
        get(server, part)


def test_too_little_space_is_told_before_a_byte_comes(server, part, npz, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1_000_000))
    server.will(Reply(npz))
    with pytest.raises(transfer.TransferError, match="2 MB more are needed, 1 MB are free"):
        get(server, part)
    assert part.read_bytes() == b""
