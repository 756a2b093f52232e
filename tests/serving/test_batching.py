"""Batches of a forward path that computes only when told to."""

import asyncio
import queue
import threading

import numpy as np
import pytest

from vit_sentiment.serving.batching import Batcher, Places
from vit_sentiment.serving.failures import Failure


class Forward:
    """Says of each photo the value of its first pixel; each batch waits for `go`."""

    sizes = (1, 2, 4)

    def __init__(self):
        self.started = queue.Queue()
        self.go = threading.Semaphore(0)

    def start(self, images):
        if images[0, 0, 0, 0] == 99:
            raise ValueError("cannot start")
        self.started.put(images[:, 0, 0, 0].tolist())

        def fetch():
            assert self.go.acquire(timeout=30)
            if images[0, 0, 0, 0] == 98:
                raise ValueError("cannot finish")
            return {"probs": images[:, 0, 0]}

        return fetch

    def next(self):
        return self.started.get(timeout=30)


def pixels(value):
    return np.full((2, 2, 3), value, np.uint8)


def batching(check, max_wait):
    """Runs an asynchronous function of a forward path, `submit` and the batcher that runs it."""

    async def run():
        forward = Forward()
        batcher = Batcher(forward, max_wait)
        batcher.start()

        def submit(*values):
            return [asyncio.create_task(batcher.run(pixels(value))) for value in values]

        try:
            await check(forward, submit, batcher)
        finally:
            forward.go.release(100)
            await asyncio.to_thread(batcher.stop)

    asyncio.run(run())


def test_a_full_batch_waits_for_nothing():
    async def check(forward, submit, batcher):
        tasks = submit(1, 2, 3, 4)
        assert await asyncio.to_thread(forward.next) == [1, 2, 3, 4]
        forward.go.release()
        assert [(await task).tolist() for task in tasks] == [[n] * 3 for n in (1, 2, 3, 4)]

    batching(check, max_wait=1000)


def test_while_a_batch_is_computed_the_next_one_fills():
    async def check(forward, submit, batcher):
        first = submit(1)
        assert await asyncio.to_thread(forward.next) == [1]
        rest = submit(2, 3)
        await asyncio.sleep(0.1)
        assert forward.started.empty()
        forward.go.release()
        assert await asyncio.to_thread(forward.next) == [2, 3]
        forward.go.release()
        await asyncio.gather(*first, *rest)

    batching(check, max_wait=0.001)


def test_a_full_batch_is_started_behind_the_one_that_is_computed():
    async def check(forward, submit, batcher):
        tasks = submit(1)
        assert await asyncio.to_thread(forward.next) == [1]
        tasks += submit(2)
        await asyncio.sleep(0.05)
        forward.go.release()
        assert await asyncio.to_thread(forward.next) == [2]
        tasks += submit(3, 4, 5, 6, 7, 8, 9, 10)
        forward.go.release()
        assert await asyncio.to_thread(forward.next) == [3, 4, 5, 6]
        assert await asyncio.to_thread(forward.next) == [7, 8, 9, 10]  # The other one still runs.
        forward.go.release(2)
        assert [int((await task)[0]) for task in tasks] == list(range(1, 11))

    batching(check, max_wait=0.001)


@pytest.mark.parametrize(
    ("seconds", "batches"),
    [({1: 1.0, 2: 2.0, 4: 4.0}, [[1], [2, 3], [4]]), ({1: 1.0, 2: 1.1, 4: 1.2}, [[1], [2, 3, 4]])],
)
def test_padding_is_for_devices_to_which_it_costs_little(seconds, batches):
    async def check(forward, submit, batcher):
        batcher.seconds = seconds
        tasks = submit(1)
        assert await asyncio.to_thread(forward.next) == batches[0]
        tasks += submit(2, 3, 4)
        await asyncio.sleep(0.05)
        for batch in batches[1:]:
            forward.go.release()
            assert await asyncio.to_thread(forward.next) == batch
        forward.go.release()
        assert [int((await task)[0]) for task in tasks] == [1, 2, 3, 4]

    batching(check, max_wait=0.001)


def test_who_is_cancelled_is_not_computed():
    async def check(forward, submit, batcher):
        first = submit(1)
        assert await asyncio.to_thread(forward.next) == [1]
        gone, stays = submit(2, 3)
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        forward.go.release(2)
        assert await asyncio.to_thread(forward.next) == [3]
        assert (await stays).tolist() == [3] * 3
        await first[0]

    batching(check, max_wait=0.001)


def test_photos_that_go_just_before_they_are_taken_hold_up_no_batch():
    async def run():
        forward = Forward()
        batcher = Batcher(forward, 1000)

        class Going(threading.Condition):
            def __enter__(self):
                if not forward.started.empty():
                    batcher._rows.clear()
                return super().__enter__()

        tasks = [asyncio.create_task(batcher.run(pixels(value))) for value in range(8)]
        await asyncio.sleep(0)
        batcher._changed = Going()
        batcher.start()
        forward.go.release()
        async with asyncio.timeout(30):
            assert [int((await task)[0]) for task in tasks[:4]] == [0, 1, 2, 3]
        for task in tasks[4:]:
            task.cancel()
        await asyncio.to_thread(batcher.stop)

    asyncio.run(run())


@pytest.mark.parametrize("value", [98, 99])
def test_a_batch_that_fails_fails_its_photos_alone(value):
    async def check(forward, submit, batcher):
        forward.go.release(2)
        (bad,) = submit(value)
        with pytest.raises(ValueError, match="cannot"):
            await bad
        (good,) = submit(5)
        assert (await good).tolist() == [5] * 3

    batching(check, max_wait=0.001)


def test_what_waits_at_the_end_is_computed():
    async def run():
        forward = Forward()
        batcher = Batcher(forward, 1000)
        batcher.start()
        task = asyncio.create_task(batcher.run(pixels(7)))
        await asyncio.sleep(0)
        forward.go.release()
        await asyncio.to_thread(batcher.stop)
        assert (await task).tolist() == [7] * 3

    asyncio.run(run())


def test_places_are_free_again_whatever_happens():
    places = Places(3, lambda: 0.5)
    with places.hold() as take:
        take()
        take()
        with places.hold() as take_too:
            take_too()
            assert places.taken == 3
            with pytest.raises(Failure) as full:
                take_too()
        assert full.value.status == 503
        assert full.value.headers == {"Retry-After": "6"}  # Three photos, half a one each second.
        assert places.taken == 2
    assert places.taken == 0
