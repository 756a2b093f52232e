"""Back-off, Retry-After and turns at hosts."""

import asyncio
import datetime

import pytest

from vit_sentiment.distillation import waiting


def test_pauses_double_within_their_jitter_and_have_a_cap():
    pauses = [waiting.pause(1.0, "http://a/b", attempt) for attempt in range(1, 20)]
    for attempt, pause in enumerate(pauses[:6]):
        assert 0.5 * 2**attempt <= pause <= 1.5 * 2**attempt
    assert pauses[-1] == waiting.LONGEST_PAUSE
    assert pauses == [waiting.pause(1.0, "http://a/b", attempt) for attempt in range(1, 20)]
    assert len({waiting.pause(1.0, f"http://a/{number}", 1) for number in range(50)}) == 50
    assert waiting.pause(0.0, "http://a/b", 3) == 0


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("7", 7),
        (" 0 ", 0),
        ("99999999999", waiting.LONGEST_PAUSE),
        ("Tue, 01 Jun 2021 12:00:30 GMT", 30),
        ("Tue, 01 Jun 2021 11:00:00 GMT", 0),
        ("Tue, 01 Jun 2021 12:00:30 -0000", 30),
        ("Wed, 01 Jun 2022 12:00:00 GMT", waiting.LONGEST_PAUSE),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, expected):
    at = datetime.datetime(2021, 6, 1, 12, tzinfo=datetime.UTC)
    assert waiting.retry_after(header, at) == expected


class JumpingLoop(asyncio.SelectorEventLoop):
    """Its clock jumps to whatever is to happen next."""

    jumped = 0.0

    def time(self):
        return self.jumped

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.jumped = max(self.jumped, self._scheduled[0].when())
        super()._run_once()


def starts(hosts, names, seconds=10.0, before=lambda: None):
    """(start, host) of requests that all want to start at once and take so long."""
    found = []

    async def one(name):
        async with hosts.turn(name):
            found.append((waiting.now(), name))
            await asyncio.sleep(seconds)

    async def every():
        before()
        await asyncio.gather(*map(one, names))

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(every())
    return found


def test_a_host_has_its_share_of_the_workers():
    found = starts(waiting.Hosts(workers=3, per_host=2, interval=0), "aaaab")
    assert found == [(0, "a"), (0, "a"), (0, "b"), (10, "a"), (10, "a")]


def test_workers_bound_all_hosts_together():
    found = starts(waiting.Hosts(workers=2, per_host=2, interval=0), "abcde")
    assert [start for start, _ in found] == [0, 0, 10, 10, 20]


def test_starts_at_a_host_are_an_interval_apart():
    found = starts(waiting.Hosts(workers=9, per_host=9, interval=3), "aaabb")
    assert sorted(found) == [(0, "a"), (0, "b"), (3, "a"), (3, "b"), (6, "a")]


def test_the_interval_holds_where_workers_are_scarce():
    found = starts(waiting.Hosts(workers=1, per_host=9, interval=4), "aaab", seconds=1)
    assert sorted(found) == [(0, "a"), (1, "b"), (4, "a"), (8, "a")]


def test_a_host_that_asks_for_it_is_left_alone():
    hosts = waiting.Hosts(workers=9, per_host=9, interval=0)
    found = starts(hosts, "aab", before=lambda: hosts.hold("a", 30))
    assert found == [(0, "b"), (30, "a"), (30, "a")]


def test_hosts_that_are_done_with_are_forgotten(monkeypatch):
    monkeypatch.setattr(waiting, "_MOST_IDLE_HOSTS", 10)
    hosts = waiting.Hosts(workers=1, per_host=1, interval=0)

    async def one_by_one():
        hosts.hold("asks for an hour", 3600)
        for number in range(100):
            async with hosts.turn(str(number)):
                assert len(hosts._hosts) <= 10
        assert "asks for an hour" in hosts._hosts

    asyncio.run(one_by_one())


def test_a_turn_ends_with_an_error():
    hosts = waiting.Hosts(workers=1, per_host=1, interval=0)

    async def fail_then_go_on():
        with pytest.raises(KeyError):
            async with hosts.turn("a"):
                raise KeyError
        async with hosts.turn("a"):
            return True

    assert asyncio.run(fail_then_go_on())
