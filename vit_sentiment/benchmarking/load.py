"""Clients of a server, for a process of their own: many at once, or at a given rate.

Nothing here imports jax.
"""

import asyncio
import dataclasses
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import httpx2

Answer = dict | None
"""The row of the photo; None where the status is not 200."""

Ask = Callable[..., Awaitable[None]]

_HEADERS = {"Content-Type": "application/octet-stream"}


@dataclasses.dataclass
class Load:
    """What came of requests of one photo each.

    Attributes:
      answers: in the order of the photos.
      latencies: seconds of each, from when it was due.
      seconds: from the first request to the last answer.
      core_seconds: that the clients used.
    """

    answers: list[Answer]
    latencies: list[float]
    seconds: float
    core_seconds: float


def closed(url: str, photos: Sequence[bytes], clients: int) -> Load:
    """Each client sends a photo as soon as its last one is answered."""

    async def spread(ask: Ask) -> None:
        numbers = iter(range(len(photos)))

        async def client() -> None:
            for number in numbers:
                await ask(number)

        await asyncio.gather(*(client() for _ in range(clients)))

    return asyncio.run(_load(url, photos, spread))


def open_loop(url: str, photos: Sequence[bytes], rate: float) -> Load:
    """Photos come at random times, `rate` a second on average, whether others are answered or not.

    Latencies count from the time that a photo was due, so that a late client hides no waiting.
    """

    async def spread(ask: Ask) -> None:
        rng, loop = random.Random(0), asyncio.get_running_loop()
        due, asked = loop.time(), []
        for number in range(len(photos)):
            due += rng.expovariate(rate)
            await asyncio.sleep(due - loop.time())
            asked.append(asyncio.create_task(ask(number, loop.time() - due)))
        await asyncio.gather(*asked)

    return asyncio.run(_load(url, photos, spread))


async def _load(
    url: str, photos: Sequence[bytes], spread: Callable[[Ask], Awaitable[None]]
) -> Load:
    answers: list[Answer] = [None] * len(photos)
    latencies = [0.0] * len(photos)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(base_url=url, trust_env=False, limits=limits) as client:

        async def ask(number: int, late: float = 0.0) -> None:
            start = time.perf_counter()
            response = await client.post(
                "/v1/predict", content=photos[number], headers=_HEADERS, timeout=300
            )
            latencies[number] = late + time.perf_counter() - start
            if response.status_code == 200:
                (answers[number],) = response.json()["predictions"]

        start, used = time.perf_counter(), time.process_time()
        await spread(ask)
        return Load(answers, latencies, time.perf_counter() - start, time.process_time() - used)
