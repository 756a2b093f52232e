"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

LINE_EVERY_SECONDS = 15.0

Tick = Callable[..., None]


_silent = False


def be_silent() -> None:
    """Of several processes that do the same, all but the first one keep silent."""
    global _silent
    _silent = True


def say(message: str) -> None:
    """Prints one line for the person at the terminal; results go to stdout, this to stderr."""
    if not _silent:
        print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(what: str, total: int, unit: str, done: int = 0) -> Iterator[Tick]:
    """Yields `tick(count, note="")`; shows `done` of `total`, the rate and the time left.

    Args:
      what: the work, as in "train".
      total: how many units there are in all.
      unit: what is counted, in the plural.
      done: how many were finished before, by an interrupted run; they do not count into the rate.
    """
    show = _bar if sys.stderr.isatty() and not _silent else _lines
    with show(what, total, unit, done) as tick:
        yield tick


@contextlib.contextmanager
def _bar(what: str, total: int, unit: str, done: int) -> Iterator[Tick]:
    from rich import console
    from rich import progress as rich_progress

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[rate]} {task.fields[note]}"),
        rich_progress.TextColumn("left"),
        rich_progress.TimeRemainingColumn(),
    )
    start, finished = time.monotonic(), done
    with rich_progress.Progress(*columns, console=console.Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done, rate="", note="")

        def tick(count: int = 1, note: str = "") -> None:
            nonlocal finished
            finished += count
            rate = (finished - done) / max(time.monotonic() - start, 1e-9)
            bar.update(task, completed=finished, rate=f"{rate:,.1f} {unit}/s", note=note)

        yield tick


@contextlib.contextmanager
def _lines(what: str, total: int, unit: str, done: int) -> Iterator[Tick]:
    start = last = time.monotonic()
    finished = done

    def tick(count: int = 1, note: str = "") -> None:
        nonlocal finished, last
        finished += count
        now = time.monotonic()
        if now - last >= LINE_EVERY_SECONDS:
            last = now
            rate = (finished - done) / (now - start)
            left = (total - finished) / rate if rate else float("inf")
            say(f"{what}: {finished}/{total} {unit}, {rate:,.1f}/s, {left:,.0f} s left {note}")

    yield tick
    if finished > done:
        seconds = time.monotonic() - start
        rate = (finished - done) / max(seconds, 1e-9)
        say(f"{what}: {finished}/{total} {unit} in {seconds:,.1f} s, {rate:,.1f}/s")
