"""When a request may start, and how long it may take: turns at hosts, back-off, limits."""

import asyncio
import contextlib
import dataclasses
import datetime
import email.utils
import random
from collections.abc import AsyncIterator

LONGEST_PAUSE = 120.0
"""Seconds; caps back-off and Retry-After."""
_MOST_IDLE_HOSTS = 4096


@dataclasses.dataclass
class _Host:
    turns: asyncio.Semaphore
    next_start: float = 0.0
    users: int = 0


class Hosts:
    """Whose turn it is: at most `per_host` requests to each host, and `workers` in all.

    Who waits for a host holds no worker, so that a slow host does not keep others waiting. Requests
    to one host start at least `interval` seconds apart.
    """

    def __init__(self, workers: int, per_host: int, interval: float) -> None:
        self._workers = asyncio.Semaphore(workers)
        self._per_host, self._interval = per_host, interval
        self._hosts: dict[str, _Host] = {}

    @contextlib.asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Waits for a turn at a host, which lasts as long as the block."""
        host = self._host(name)
        host.users += 1
        try:
            async with host.turns:
                await self._start(host)
                try:
                    yield
                finally:
                    self._workers.release()
        finally:
            host.users -= 1

    async def _start(self, host: _Host) -> None:
        while True:
            while (pause := host.next_start - now()) > 0:
                await asyncio.sleep(pause)
            await self._workers.acquire()
            if host.next_start <= now():
                host.next_start = now() + self._interval
                return
            self._workers.release()  # Another one started at this host in the meantime.

    def hold(self, name: str, seconds: float) -> None:
        """Nothing starts at a host for so long."""
        host = self._host(name)
        host.next_start = max(host.next_start, now() + seconds)

    def _host(self, name: str) -> _Host:
        if name not in self._hosts:
            if len(self._hosts) >= _MOST_IDLE_HOSTS:
                used = {k: h for k, h in self._hosts.items() if h.users or h.next_start > now()}
                self._hosts = used
            self._hosts[name] = _Host(asyncio.Semaphore(self._per_host))
        return self._hosts[name]


@dataclasses.dataclass
class Budget:
    """Seconds on the wire that are left to a photo."""

    left: float

    @contextlib.asynccontextmanager
    async def spending(self) -> AsyncIterator[None]:
        """Raises TimeoutError where the block takes more than what is left."""
        start = now()
        try:
            async with asyncio.timeout(self.left):
                yield
        finally:
            self.left -= now() - start


def pause(back_off: float, url: str, attempt: int) -> float:
    """Seconds after a failed attempt: doubling, by half more or less, the same for each URL."""
    jitter = 0.5 + random.Random(f"{attempt} {url}").random()
    return min(back_off * 2 ** (attempt - 1) * jitter, LONGEST_PAUSE)


def retry_after(header: str | None, at: datetime.datetime) -> float | None:
    """Seconds from `at` that a Retry-After header asks for (RFC 9110, section 10.2.3)."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return min(float(header), LONGEST_PAUSE)
    try:
        date = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return min(max((date - at).total_seconds(), 0.0), LONGEST_PAUSE)


def now() -> float:
    """The event loop's clock, in seconds."""
    return asyncio.get_running_loop().time()
