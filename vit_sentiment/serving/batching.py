"""Photos of many requests through the forward path, in batches of the compiled sizes."""

import asyncio
import collections
import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vit_sentiment.inference.forward import Fetch, Forward
from vit_sentiment.serving.failures import busy


@dataclasses.dataclass(eq=False)
class _Row:
    pixels: np.ndarray
    answer: asyncio.Future
    arrived: float


class Batcher:
    """One thread that feeds the devices; used from one event loop.

    Attributes:
      rate: photos a second in full batches, lately.
      seconds: that a batch of each size takes, once `warm` has measured it.

    A batch starts when it is full, or when nothing is computed and its first photo has waited for
    `max_wait`. While one is computed, the next one fills; only a full one is started behind it.
    Where padding to the next size would cost more than it brings, the newest photos stay behind.
    """

    def __init__(
        self,
        forward: Forward,
        max_wait: float,
        observe: Callable[[int, float], None] = lambda rows, seconds: None,
    ) -> None:
        """
        Args:
          max_wait: seconds.
          observe: is told the photos of each batch and the seconds that it took.
        """
        self._forward, self._max_wait, self._observe = forward, max_wait, observe
        self.seconds = dict.fromkeys(forward.sizes, 1.0)
        self.rate, self._ended = 1.0, 0.0
        self._largest = forward.sizes[-1]
        self._rows: collections.deque[_Row] = collections.deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)

    def warm(self, shape: Sequence[int]) -> None:
        """Computes a batch of each size, of pixels [H, W, 3], so that nothing is left to set up."""
        for size in self._forward.sizes:
            images = np.zeros((size, *shape), np.uint8)
            self._forward(images)
            start = time.perf_counter()
            self._forward(images)
            self.seconds[size] = time.perf_counter() - start
        self.rate = self._largest / self.seconds[self._largest]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Computes what waits, then ends."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    async def run(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities [C] of pixels [H, W, 3]; whoever is cancelled is not computed."""
        row = _Row(pixels, asyncio.get_running_loop().create_future(), time.monotonic())
        with self._changed:
            self._rows.append(row)
            if len(self._rows) in (1, self._largest):
                self._changed.notify()
        try:
            return await row.answer
        except asyncio.CancelledError:
            with self._changed, contextlib.suppress(ValueError):
                self._rows.remove(row)  # Or it is being computed already.
            raise

    def _work(self) -> None:
        running: tuple[list[_Row], Fetch, float] | None = None
        while True:
            rows = self._take(only_full=running is not None)
            if self._stopping and not (rows or running or self._rows):
                return
            before, running = running, self._begin(rows)
            if before is not None:
                self._finish(*before)

    def _take(self, only_full: bool) -> list[_Row]:
        """The rows of the next batch; it waits for them, or takes none where it is not full."""
        with self._changed:
            if only_full and len(self._rows) < self._largest:
                return []
            while not self._rows and not self._stopping:
                self._changed.wait()
            while len(self._rows) < self._largest and self._rows and not self._stopping:
                left = self._rows[0].arrived + self._max_wait - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            taken = [self._rows.popleft() for _ in range(self._worth(len(self._rows)))]
        return [row for row in taken if not row.answer.cancelled()]

    def _worth(self, waiting: int) -> int:
        """Photos of the next batch: all that fit, or a smaller size without padding if faster."""
        count = min(waiting, self._largest)
        smaller = [size for size in self._forward.sizes if size <= count]
        if not smaller or smaller[-1] == count:
            return count
        exact = smaller[-1]
        padded = self.seconds[next(size for size in self._forward.sizes if size > count)]
        return count if count * self.seconds[exact] >= exact * padded else exact

    def _begin(self, rows: list[_Row]) -> tuple[list[_Row], Fetch, float] | None:
        if not rows:
            return None
        started = time.perf_counter()
        try:
            return rows, self._forward.start(np.stack([row.pixels for row in rows])), started
        except Exception as error:
            _settle(rows, error)
            return None

    def _finish(self, rows: list[_Row], fetch: Fetch, started: float) -> None:
        try:
            probs = fetch()["probs"]
        except Exception as error:
            _settle(rows, error)
            return
        ended = time.perf_counter()
        seconds = ended - max(started, self._ended)  # Not that in which the one before ran.
        self._ended = ended
        if len(rows) == self._largest:
            self.rate += 0.1 * (len(rows) / seconds - self.rate)
        self._observe(len(rows), seconds)
        _settle(rows, probs)


def _settle(rows: Sequence[_Row], found: np.ndarray | Exception) -> None:
    """Answers all of them in one go, in the event loop."""

    def settle() -> None:
        for number, row in enumerate(rows):
            if row.answer.done():
                continue
            if isinstance(found, Exception):
                row.answer.set_exception(found)
            else:
                row.answer.set_result(found[number])

    rows[0].answer.get_loop().call_soon_threadsafe(settle)


class Places:
    """How many photos may be accepted and unanswered at a time; used from one event loop."""

    def __init__(self, most: int, rate: Callable[[], float]) -> None:
        """`rate` tells how many photos a second leave."""
        self.most, self.taken, self._rate = most, 0, rate

    @contextlib.contextmanager
    def hold(self) -> Iterator[Callable[[], None]]:
        """Yields a function that takes a place, or raises a Failure; in the end all are free."""
        held = 0

        def take() -> None:
            nonlocal held
            if self.taken >= self.most:
                seconds = math.ceil(self.taken / max(self._rate(), 1e-3))
                raise busy("queue_full", "too many images are waiting; try again later", seconds)
            self.taken += 1
            held += 1

        try:
            yield take
        finally:
            self.taken -= held
