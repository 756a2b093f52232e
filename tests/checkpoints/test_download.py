import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest
from loopback import Reply

from checkpoints import download, releases, transfer
from checkpoints.releases import Release
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
H5 = b"\x89HDF\r\n\x1a\n" + bytes(100)


@pytest.fixture
def release(server):
    return Release("w", "some/w.npz", f"{server.url}/w.npz", "ViT-B/16", 224, "data", "a/b: c")


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def drop(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def assert_error(error, *parts):
    assert "\n" not in str(error.value)
    for part in parts:
        assert str(part) in str(error.value)


def test_the_first_download_is_recorded_and_the_second_does_not_happen(server, cache, release, npz):
    server.will(Reply(npz))
    path = download.fetch(release)
    assert path == cache / "some" / "w.npz"
    assert path.read_bytes() == npz
    record = path.with_name("w.npz.sha256")
    assert record.read_text() == f"{sha256(npz)}  w.npz\n"
    assert names(cache) == ["some/.w.npz.lock", "some/w.npz", "some/w.npz.sha256"]
    assert download.fetch(release) == path
    assert len(server.requests) == 1


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_reads_the_record(server, cache, release, npz):
    server.will(Reply(npz))
    path = download.fetch(release)
    command = ["sha256sum", "--strict", "-c", "w.npz.sha256"]
    assert subprocess.run(command, cwd=path.parent, capture_output=True).returncode == 0


def test_a_file_that_is_not_what_it_was_is_an_error(server, cache, release, npz):
    server.will(Reply(npz))
    path = download.fetch(release)
    changed = npz[:-1] + b"x"
    path.write_bytes(changed)
    with pytest.raises(UserError) as error:
        download.fetch(release)
    assert_error(error, path, sha256(changed), sha256(npz), "w.npz.sha256", "delete the file")
    path.unlink()
    assert download.fetch(release).read_bytes() == npz
    path.write_bytes(changed)
    path.with_name("w.npz.sha256").unlink()
    assert download.fetch(release) == path  # Changed on purpose, and recorded anew.
    assert download.verify(path) == sha256(changed)


def test_a_release_that_changed_is_an_error_and_leaves_nothing(server, cache, release, npz):
    drop(cache / "some/w.npz.sha256", b"0" * 64 + b"  w.npz\n")
    server.will(Reply(npz))
    with pytest.raises(UserError) as error:
        download.fetch(release)
    assert_error(error, release.url, "0" * 64, sha256(npz), "delete the record")
    assert names(cache) == ["some/.w.npz.lock", "some/w.npz.sha256"]
    (cache / "some/w.npz.sha256").unlink()
    assert download.fetch(release).read_bytes() == npz


def test_a_record_that_is_none_is_an_error(cache, release, npz):
    drop(cache / "some/w.npz", npz)
    drop(cache / "some/w.npz.sha256", b"w.npz\n")
    with pytest.raises(UserError) as error:
        download.fetch(release)
    assert_error(error, "w.npz.sha256", "sha256sum")


def test_an_interrupted_download_goes_on(server, cache, release, npz, monkeypatch):
    server.will(Reply(npz, cut=500_000))
    with monkeypatch.context() as patch:
        patch.setattr(transfer, "ATTEMPTS", 1)
        with pytest.raises(UserError) as error:
            download.fetch(release)
    assert_error(error, release.url, "run again to go on", cache / "some/w.npz")
    assert download.locate(release) is None
    server.will(Reply(npz))
    assert download.fetch(release).read_bytes() == npz
    assert server.ranges == ["bytes=500000-"]
    assert "some/w.npz.part" not in names(cache)
    assert "some/w.npz.part.json" not in names(cache)


def test_a_missing_file_says_what_else_to_do(server, cache, release):
    server.will(Reply(status=404))
    with pytest.raises(UserError) as error:
        download.fetch(release)
    assert_error(error, release.url, "HTTP 404", "--base_url", cache / "some/w.npz")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"\n<!DOCTYPE html><title>Log in", "a web page"),
        (b"sorry", "b'sorry'"),
        (b"", "an empty file"),
    ],
)
def test_what_is_no_weight_file_is_not_kept(server, cache, release, body, found):
    server.will(Reply(body))
    with pytest.raises(UserError) as error:
        download.fetch(release)
    assert_error(error, release.url, "expected an .npz file", found)
    assert names(cache) == ["some/.w.npz.lock"]


def test_a_promise_of_too_little_is_found_out(server, cache, release, npz):
    server.will(Reply(npz, claims=len(npz) - 1000))
    with pytest.raises(UserError) as error:
        download.fetch(release)
    assert_error(error, "the beginning of one, without its end")
    assert names(cache) == ["some/.w.npz.lock"]


def test_an_h5_file_has_the_signature_of_one(server, cache, npz):
    release = Release("w", "t/w.h5", f"{server.url}/w.h5", "ViT-B/16", 224, "data", "a/b: c")
    server.will(Reply(npz), Reply(H5))
    with pytest.raises(UserError, match=r"expected an \.h5 file"):
        download.fetch(release)
    assert download.fetch(release).read_bytes() == H5


def test_the_base_url_replaces_the_releases_own(server, cache, npz, monkeypatch):
    server.will(Reply(npz))
    release = releases.find("imagenet21k+imagenet2012/ViT-B_32")
    download.fetch(release, base_url=f"{server.url}/mirror/")
    monkeypatch.setenv("VIT_SENTIMENT_BASE_URL", f"{server.url}/of-the-site")
    download.fetch(releases.find("imagenet21k/ViT-B_32"))
    assert [path for path, _ in server.requests] == [
        "/mirror/imagenet21k%2Bimagenet2012/ViT-B_32.npz",
        "/of-the-site/imagenet21k/ViT-B_32.npz",
    ]
    assert (cache / release.file).read_bytes() == npz


def test_a_filled_cache_is_a_mirror(cache, tmp_path, npz, monkeypatch):
    release = releases.find("imagenet21k+imagenet2012/ViT-B_32")
    drop(cache / release.file, npz)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind=127.0.0.1"],
        cwd=cache,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            port = process.stdout.readline().split(" port ")[1].split()[0]
            monkeypatch.setenv("VIT_SENTIMENT_CACHE", str(tmp_path / "other"))
            path = download.fetch(release, base_url=f"http://127.0.0.1:{port}")
        finally:
            process.kill()
    assert path == tmp_path / "other" / release.file
    assert path.read_bytes() == npz


def test_a_model_without_a_public_file_says_where_to_put_it(cache, tmp_path):
    release = releases.find("boosted_model")
    with pytest.raises(UserError) as error:
        download.fetch(release)
    assert_error(error, "no public file", cache / "t4sa/boosted_model.h5", "--folder")
    drop(cache / "t4sa/boosted_model.h5", H5)
    assert download.fetch(release) == cache / "t4sa/boosted_model.h5"


@pytest.mark.parametrize("where", ["cache", "folder"])
@pytest.mark.parametrize("flat", [False, True])
def test_files_dropped_by_hand_are_found_and_recorded(cache, tmp_path, where, flat):
    release = releases.find("ViT_B32")
    path = drop(tmp_path / where / ("ViT_B32.h5" if flat else "t4sa/ViT_B32.h5"), H5)
    folder = tmp_path / "folder" if where == "folder" else None
    assert download.fetch(release, folder=folder) == path
    assert path.with_name("ViT_B32.h5.sha256").read_text() == f"{sha256(H5)}  ViT_B32.h5\n"
    path.write_bytes(H5 + b"x")
    with pytest.raises(UserError, match=sha256(H5)):
        download.fetch(release, folder=folder)


def test_the_given_folder_comes_before_the_cache(cache, tmp_path):
    drop(cache / "t4sa/ViT_B32.h5", H5)
    path = drop(tmp_path / "folder/ViT_B32.h5", H5)
    assert download.locate(releases.find("ViT_B32"), tmp_path / "folder") == path


def test_a_flat_file_that_may_be_either_of_two_is_neither(cache, tmp_path, npz):
    drop(tmp_path / "folder/ViT-B_32.npz", npz)
    for name in ("imagenet21k/ViT-B_32", "imagenet21k+imagenet2012/ViT-B_32"):
        assert download.locate(releases.find(name), tmp_path / "folder") is None


def test_a_dropped_file_of_another_kind_is_an_error(cache, tmp_path):
    path = drop(tmp_path / "folder/ViT_B32.h5", b"<html>")
    with pytest.raises(UserError) as error:
        download.fetch(releases.find("ViT_B32"), folder=tmp_path / "folder")
    assert_error(error, path, "a web page")
    assert names(tmp_path / "folder") == ["ViT_B32.h5"]


def test_a_folder_that_is_none_is_an_error(cache, tmp_path):
    with pytest.raises(UserError, match="never: no such folder"):
        download.locate(releases.find("ViT_B32"), tmp_path / "never")


def test_a_record_that_cannot_be_written_is_said(cache, tmp_path, monkeypatch, capsys):
    path = drop(tmp_path / "folder/ViT_B32.h5", H5)

    def refuse(*args):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files, "write_text", refuse)
    assert download.fetch(releases.find("ViT_B32"), folder=tmp_path / "folder") == path
    assert f"{sha256(H5)} cannot be recorded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"VIT_SENTIMENT_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"VIT_SENTIMENT_CACHE": "~/a"}, "/home/me/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/vit_sentiment/weights"),
        ({}, "/home/me/.cache/vit_sentiment/weights"),
    ],
)
def test_where_the_cache_is(monkeypatch, variables, expected):
    for name in ("VIT_SENTIMENT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    assert str(download.cache_folder()) == expected


def test_of_two_processes_one_fetches_and_the_other_waits(server, cache, npz):
    gate = threading.Event()
    server.will(Reply(npz, gate=gate))
    command = [sys.executable, "-m", "checkpoints.zoo", "ViT-B_32_imagenet21k"]
    environment = os.environ | {"VIT_SENTIMENT_BASE_URL": server.url}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) for _ in range(2)]
    try:
        firsts = [process.stderr.readline() for process in processes]
        gate.set()
        outputs = [process.communicate(timeout=60) for process in processes]
    finally:
        gate.set()
        for process in processes:
            process.kill()
    assert sorted("waiting" in line for line in firsts) == [False, True]
    path = cache / "vit_keras/ViT-B_32_imagenet21k.npz"
    assert [out for out, _ in outputs] == [f"{path}\n"] * 2
    assert [process.returncode for process in processes] == [0, 0]
    assert len(server.requests) == 1
    assert path.read_bytes() == npz
