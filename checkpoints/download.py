"""Brings releases to this machine: from the cache, from files dropped by hand, else by download.

The cache is `$VIT_SENTIMENT_CACHE`, else `vit_sentiment/weights` in the user's cache folder. A file
lies there under its relative path in the catalogue, and so it does on a mirror
(`$VIT_SENTIMENT_BASE_URL`): a filled cache, served as it is, is a mirror. Files dropped by hand may
also lie without their folder, where their name alone tells what they are.

The sha256 of a file is recorded beside it when it is first seen, in a form that `sha256sum -c`
reads, and enforced from then on.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import urllib.parse
import zipfile
from collections.abc import Iterator

from checkpoints import releases, transfer
from checkpoints.releases import Release
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

CACHE_VARIABLE = "VIT_SENTIMENT_CACHE"
BASE_URL_VARIABLE = "VIT_SENTIMENT_BASE_URL"

_SIGNATURES = {".npz": b"PK", ".h5": b"\x89HDF\r\n\x1a\n"}


def cache_folder() -> pathlib.Path:
    """Where downloads go; it need not exist."""
    if given := os.environ.get(CACHE_VARIABLE):
        return pathlib.Path(given).expanduser()
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(user).expanduser() / "vit_sentiment" / "weights"


def locate(release: Release, folder: str | os.PathLike[str] | None = None) -> pathlib.Path | None:
    """The release's file in `folder` or in the cache, under its relative path or flat; else None.

    Raises:
      UserError: `folder` is given and is no folder.
    """
    places = [cache_folder()]
    if folder is not None:
        places.insert(0, pathlib.Path(folder))
        if not places[0].is_dir():
            raise UserError(f"{folder}: no such folder")
    names = [name for name in (release.file, releases.flat_name(release)) if name]
    candidates = [place / name for place in places for name in names]
    return next((path for path in candidates if path.is_file()), None)


def fetch(
    release: Release,
    *,
    folder: str | os.PathLike[str] | None = None,
    base_url: str | None = None,
    timeout: float = transfer.TIMEOUT_SECONDS,
) -> pathlib.Path:
    """The local path of a release, whose sha256 is checked; downloads it into the cache if need be.

    Args:
      release: an entry of the catalogue, as `releases.find` gives it.
      folder: of files dropped by hand, looked into before the cache.
      base_url: of a mirror, instead of `$VIT_SENTIMENT_BASE_URL` and of the release's own URL.
      timeout: seconds without a byte after which a connection counts as broken.

    Raises:
      UserError: it cannot be had, or is not what it was or should be; with what to do about it.
    """
    path = locate(release, folder)
    if path is None:
        path = cache_folder() / release.file
        url = _url(release, base_url, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path):
            if not path.exists():  # Another process may have been quicker.
                _download(url, path, timeout)
                return path
    verify(path)
    return path


def verify(path: pathlib.Path) -> str:
    """The sha256 of a file, equal to the recorded one or, at its first use, recorded now.

    Raises:
      UserError: it differs from the recorded one, or the file is not of the kind its name says.
    """
    found = _sha256(path)
    recorded = _recorded(path)
    if recorded is None:
        _check_kind(path, path.suffix, str(path))
        try:
            _record(path, found)
        except OSError as error:
            say(f"{path}: sha256 {found} cannot be recorded beside it: {error.strerror}")
    elif found != recorded:
        raise UserError(
            f"{path}: has sha256 {found}, but {_record_path(path).name} recorded {recorded}; "
            "delete the file to fetch it anew, or the record if you changed the file on purpose"
        )
    return found


def _download(url: str, path: pathlib.Path, timeout: float) -> None:
    part = path.with_name(f"{path.name}.part")
    instead = f"or put the file there yourself: {path}"
    say(f"{path.name}: fetching {url}")
    try:
        transfer.transfer(url, part, timeout=timeout)
    except transfer.TransferError as error:
        again = "run again to go on" if part.exists() else "try a mirror with --base_url"
        raise UserError(f"{error}; {again}, {instead}") from error
    try:
        _check_kind(part, path.suffix, url)
        found, recorded = _sha256(part), _recorded(path)
        if recorded not in (None, found):
            raise UserError(
                f"{url}: what came has sha256 {found}, but {_record_path(path)} recorded "
                f"{recorded}; delete the record to accept a new release"
            )
    except UserError:
        transfer.discard(part)
        raise
    # The record first: there is no moment at which the file is there without one.
    _record(path, found)
    part.replace(path)
    transfer.discard(part)


def _url(release: Release, base_url: str | None, path: pathlib.Path) -> str:
    base_url = base_url or os.environ.get(BASE_URL_VARIABLE)
    if base_url:
        return f"{base_url.rstrip('/')}/{urllib.parse.quote(release.file)}"
    if release.url is None:
        raise UserError(
            f"{release.name}: has no public file; put {path.name} there yourself: {path}, or name "
            "its folder with --folder"
        )
    return release.url


@contextlib.contextmanager
def _lock(path: pathlib.Path) -> Iterator[None]:
    """Of several processes that fetch the same file, one does and the others wait."""
    with open(path.with_name(f".{path.name}.lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{path.name}: another process is fetching it, waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _check_kind(file: pathlib.Path, suffix: str, where: str) -> None:
    """A login page, an error page or half an archive, sent as if all were well, is told here."""
    signature = _SIGNATURES[suffix]
    with open(file, "rb") as content:
        head = content.read(64)
    if head.startswith(signature):
        if suffix != ".npz" or zipfile.is_zipfile(file):
            return
        found = "the beginning of one, without its end"
    elif head.lstrip().startswith(b"<"):
        found = "a web page (a login or an error page?)"
    else:
        found = f"{head[:16]!r}..." if head else "an empty file"
    raise UserError(f"{where}: expected an {suffix} file, found {found}")


def _sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record_path(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.sha256")


def _recorded(path: pathlib.Path) -> str | None:
    record = _record_path(path)
    if not record.exists():
        return None
    match = re.match(r"([0-9a-fA-F]{64})\b", record.read_text(encoding="utf-8", errors="replace"))
    if match is None:
        raise UserError(f"{record}: expected a line as sha256sum writes it")
    return match[1].lower()


def _record(path: pathlib.Path, sha256: str) -> None:
    files.write_text(_record_path(path), f"{sha256}  {path.name}\n")
