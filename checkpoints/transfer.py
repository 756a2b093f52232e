"""One file over HTTP: resumed, tried again, checked against the length that was promised.

A part is only ever continued when the server vouches that its file is still the same one: what it
called the file's state at the start (`ETag` or `Last-Modified`) is kept beside the part and sent
along as `If-Range` (RFC 9110, sections 13.1.5 and 14). In any other case the part starts over.
"""

import contextlib
import http.client
import math
import os
import pathlib
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

from vit_sentiment.runtime import files
from vit_sentiment.runtime.progress import progress, say

TIMEOUT_SECONDS = 60.0
"""Without a byte for so long, a connection counts as broken."""
ATTEMPTS = 5
"""In a row without a byte gained."""
BACK_OFF_SECONDS = 1.0
"""Before the second attempt; doubles with each one."""

_CHUNK = 1 << 18
_MB = 1_000_000


class TransferError(Exception):
    """One line: why a file cannot be had from its URL. Its part is kept, if it can be continued."""


class _Broken(Exception):
    """What another attempt may mend."""


def transfer(url: str, part: pathlib.Path, *, timeout: float = TIMEOUT_SECONDS) -> None:
    """Fetches `url` into `part`, going on from what is there of an earlier, interrupted call.

    Cuts, stalls and errors of the server are tried again; `http_proxy`, `https_proxy` and
    `no_proxy` are honoured.

    Args:
      url: http or https; so are the URLs that it may redirect to.
      part: the partial file; its folder exists. Whoever calls renames it and calls `discard`.
      timeout: seconds without a byte after which a connection counts as broken.

    Raises:
      TransferError: the file cannot be had, or not for now.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise TransferError(f"{url}: expected an http or https URL")
    most, failures = _size(part), 0
    while True:
        try:
            return _attempt(url, part, timeout)
        except _Broken as error:
            gained = _size(part) > most
            most, failures = max(most, _size(part)), 1 if gained else failures + 1
            if failures >= ATTEMPTS:
                raise TransferError(
                    f"{url}: {error}, given up after {ATTEMPTS} attempts in a row without progress"
                ) from error
            pause = BACK_OFF_SECONDS * 2 ** (failures - 1)
            say(f"{part.stem}: {error}; trying again in {pause:g} s")
            time.sleep(pause)


def may_pass(status: int) -> bool:
    """Whether asking again may change an HTTP status that is an error."""
    return status in (408, 425, 429) or status >= 500


def discard(part: pathlib.Path) -> None:
    """Removes the part and what is kept beside it."""
    part.unlink(missing_ok=True)
    _state_path(part).unlink(missing_ok=True)


def _attempt(url: str, part: pathlib.Path, timeout: float) -> None:
    validator = _saved_validator(url, part)
    done = _size(part) if validator else 0
    headers = {"User-Agent": "vit_sentiment", "Accept-Encoding": "identity"}
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": validator}
    response = _open(urllib.request.Request(url, headers=headers), timeout)
    with response:
        if response.status == 416:
            if done and _content_range(response) == (None, done) and _same(response, validator):
                return  # The last call ended between the last byte and the renaming.
            discard(part)
            raise _Broken("the part does not fit the server's file, starting over")
        if response.status == 206 and done:
            start, total = _content_range(response)
            if start != done or not _same(response, validator):
                discard(part)
                raise _Broken("the server's file has changed, starting over")
        elif response.status == 200:
            if response.headers.get_content_type() == "text/html":
                raise TransferError(f"{url}: a web page came, no file (a login or an error page?)")
            if done:
                say(f"{part.stem}: the server does not resume or its file changed, starting over")
            done, total = 0, _content_length(response)
            _start_over(url, part, _validator(response))
        else:
            raise TransferError(f"{url}: unexpected answer: HTTP {response.status}")
        _save(response, part, done, total)


def _save(
    response: http.client.HTTPResponse, part: pathlib.Path, done: int, total: int | None
) -> None:
    """Appends the body to `part`, which has `done` of `total` bytes."""
    if total is None:
        say(f"{part.stem}: the server tells no length, so the size cannot be checked")
    elif (free := shutil.disk_usage(part.parent).free) < total - done:
        raise TransferError(
            f"{part}: {_mb(total - done)} MB more are needed, {free // _MB} MB are free"
        )
    # Without a buffer: a full disk is met here, not on closing, and a part holds all that came.
    with _progress(part.stem, done, total) as tick, open(part, "ab", buffering=0) as file:
        for data in _body(response, None if total is None else total - done):
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else str(error)
                raise TransferError(f"{part}: {reason} after {_mb(done)} MB") from error
            tick(_mb(done + len(data)) - _mb(done))
            done += len(data)
    if total is not None and done < total:
        raise _Broken(f"the connection ended after {done:,} of {total:,} bytes")


def _body(response: http.client.HTTPResponse, length: int | None) -> Iterator[bytes]:
    """What the server sends, up to `length` bytes if it is known."""
    while length is None or length > 0:
        try:
            data = response.read1(_CHUNK if length is None else min(_CHUNK, length))
        except TimeoutError as error:
            raise _Broken("the connection stalled") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(f"the connection broke ({_reason(error)})") from error
        if not data:
            return
        length = None if length is None else length - len(data)
        yield data


def _open(request: urllib.request.Request, timeout: float) -> http.client.HTTPResponse:
    """The answer, of status 2xx or 416, after redirects."""
    url = request.full_url
    try:
        return _opener().open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error
        with error:
            if may_pass(error.code):
                raise _Broken(f"HTTP {error.code} {_reason(error.reason)}") from error
            raise TransferError(f"{url}: HTTP {error.code} {_reason(error.reason)}") from error
    except http.client.InvalidURL as error:
        raise TransferError(f"{url}: {_reason(error)}") from error
    except urllib.error.URLError as error:
        # A reason that is mere text is urllib's own, as of a redirect to another scheme.
        if isinstance(error.reason, (str, ssl.SSLCertVerificationError)):
            raise TransferError(f"{url}: {_reason(error.reason)}") from error
        raise _Broken(f"no connection ({_reason(error.reason)})") from error
    except TimeoutError as error:
        raise _Broken("the server does not answer") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(f"the connection broke ({_reason(error)})") from error


def _opener() -> urllib.request.OpenerDirector:
    """What `urlopen` uses, less the handlers of file:, ftp: and data:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What names the state of the server's file; a weak ETag cannot vouch for its bytes."""
    tag = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


def _same(response: http.client.HTTPResponse, validator: str | None) -> bool:
    return _validator(response) in (None, validator)


def _content_length(response: http.client.HTTPResponse) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _content_range(response: http.client.HTTPResponse) -> tuple[int | None, int | None]:
    """First byte and size of the whole file; None for what the header does not tell."""
    header = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", header.strip())
    if match is None:
        return None, None
    start, total = (int(group) if group else None for group in match.groups())
    if total is None and start is not None and (rest := _content_length(response)) is not None:
        total = start + rest
    return start, total


def _state_path(part: pathlib.Path) -> pathlib.Path:
    return part.with_name(f"{part.name}.json")


def _saved_validator(url: str, part: pathlib.Path) -> str | None:
    path = _state_path(part)
    if not path.exists():
        return None
    state = files.read_json(path)
    return state["validator"] if state["url"] == url else None


def _start_over(url: str, part: pathlib.Path, validator: str | None) -> None:
    # Empty first: old bytes under a new validator would be continued with bytes of another file.
    part.write_bytes(b"")
    if validator:
        files.write_json(_state_path(part), {"url": url, "validator": validator})
    else:
        _state_path(part).unlink(missing_ok=True)


def _size(part: pathlib.Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _mb(count: int) -> int:
    return math.ceil(count / _MB)


def _progress(name: str, done: int, total: int | None) -> contextlib.AbstractContextManager:
    if total is None:
        return contextlib.nullcontext(lambda count: None)
    return progress(name, _mb(total), "MB", done=_mb(done))


def _reason(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
