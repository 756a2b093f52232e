"""One photo over HTTP: attempts, redirects and limits.

In asyncio, since a time limit there ends whatever is going on: the look-up of a name, headers that
never end, a server that sends a byte a second.
"""

import asyncio
import dataclasses
import datetime
import http.cookiejar
import itertools

import httpx2

import vit_sentiment
from checkpoints.transfer import may_pass
from vit_sentiment.distillation.fetch_settings import Settings
from vit_sentiment.distillation.waiting import Budget, Hosts, pause, retry_after

MOST_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})  # RFC 9110, section 15.4.
_MOST_DRAINED = 1 << 16
"""Bytes of an answer that nobody wants, read so that its connection can be used again."""
_LONGEST_LINE = 200


class FetchError(Exception):
    """One line: why a photo did not come.

    Attributes:
      status: of the last answer; None where there was none.
      final: asking again will not help.
      wait: seconds that the host wants to be left alone, if it says so.
    """

    def __init__(
        self, problem: str, status: int | None = None, *, final: bool, wait: float | None = None
    ) -> None:
        super().__init__(problem)
        self.status, self.final, self.wait = status, final, wait


def make_client(settings: Settings) -> httpx2.AsyncClient:
    """Keeps connections alive and takes no cookies; `http_proxy` and its like are honoured."""
    nobody = http.cookiejar.DefaultCookiePolicy(allowed_domains=[])
    return httpx2.AsyncClient(
        headers={
            "User-Agent": f"vit_sentiment/{vit_sentiment.__version__}",
            "Accept": "image/*,*/*;q=0.5",
            "Accept-Encoding": "identity",
        },
        cookies=http.cookiejar.CookieJar(nobody),
        timeout=httpx2.Timeout(settings.timeout, pool=None),  # `Hosts` bounds the connections.
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=settings.workers),
    )


@dataclasses.dataclass(frozen=True)
class Answer:
    """What became of a photo: its bytes, or the error after so many attempts."""

    attempts: int
    body: bytes | None = None
    error: FetchError | None = None


async def fetch(client: httpx2.AsyncClient, hosts: Hosts, url: str, settings: Settings) -> Answer:
    """Fetches a URL, http or https, in as many attempts as it takes and may take."""
    budget = Budget(settings.total)
    for attempt in itertools.count(1):
        try:
            return Answer(attempt, await _follow(client, hosts, url, settings, budget))
        except FetchError as error:
            if error.final or attempt >= settings.attempts or budget.left <= 0:
                return Answer(attempt, error=error)
        await asyncio.sleep(pause(settings.back_off, url, attempt))


async def _follow(
    client: httpx2.AsyncClient, hosts: Hosts, url: str, settings: Settings, budget: Budget
) -> bytes:
    """One attempt. A redirect waits for its turn at the host that it leads to."""
    address = _address(url)
    for _ in range(MOST_REDIRECTS + 1):
        host = address.netloc.decode("ascii")
        try:
            async with hosts.turn(host), budget.spending():
                status, body, location = await _request(client, address, settings.max_bytes)
        except TimeoutError as error:
            raise FetchError(f"took longer than {settings.total:g} s", final=False) from error
        except FetchError as error:
            if error.wait is not None:
                hosts.hold(host, error.wait)
            raise
        if location is None:
            return body
        address = _address(location, address, status)
    raise FetchError(f"more than {MOST_REDIRECTS} redirects", status, final=True)


def _address(url: str, base: httpx2.URL | None = None, status: int | None = None) -> httpx2.URL:
    """The URL, or where a redirect of `base` leads to."""
    whence = "redirected to " if base else ""
    try:
        address = base.join(url) if base else httpx2.URL(url)
        usable = address.scheme in ("http", "https") and address.host
    except (httpx2.InvalidURL, ValueError) as error:  # The latter of names that are not IDNA.
        raise FetchError(f"{whence}{_line(url)}: {_line(error)}", status, final=True) from error
    if not usable:
        problem = f"{whence}{_line(address)}: expected an http or https URL"
        raise FetchError(problem, status, final=True)
    return address


async def _request(
    client: httpx2.AsyncClient, url: httpx2.URL, max_bytes: int
) -> tuple[int, bytes, str | None]:
    """Status, body and where it redirects to."""
    status = None
    try:
        async with client.stream("GET", url) as response:
            status, headers = response.status_code, response.headers
            if status == 200:
                return status, await _body(response, max_bytes), None
            if (length := _length(headers)) is not None and length <= _MOST_DRAINED:
                await response.aread()
            if status in _REDIRECTS and "Location" in headers:
                return status, b"", headers["Location"]
            wait = retry_after(headers.get("Retry-After"), datetime.datetime.now(datetime.UTC))
            raise FetchError(
                f"HTTP {status} {response.reason_phrase}".strip(),
                status,
                final=not may_pass(status),
                wait=wait if may_pass(status) else None,
            )
    except ValueError as error:  # httpx looks at redirects that it does not follow, too.
        raise FetchError(f"redirected to no URL: {_line(error)}", status, final=True) from error
    except httpx2.TimeoutException as error:
        raise FetchError(f"stalled ({type(error).__name__})", status, final=False) from error
    except httpx2.RequestError as error:
        final = isinstance(error, (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol))
        raise FetchError(f"no answer, or not all ({_line(error)})", status, final=final) from error


async def _body(response: httpx2.Response, max_bytes: int) -> bytes:
    """All of it; a body that is shorter than its Content-Length is an error of httpx."""
    body = bytearray()
    promised = _length(response.headers) or 0
    if promised <= max_bytes:
        async for data in response.aiter_bytes():
            body += data
            if len(body) > max_bytes:
                break
    if max(promised, len(body)) > max_bytes:
        raise FetchError(f"larger than {max_bytes:,} bytes", response.status_code, final=True)
    return bytes(body)


def _length(headers: httpx2.Headers) -> int | None:
    length = headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _line(error: object) -> str:
    return " ".join(str(error).split())[:_LONGEST_LINE] or type(error).__name__
