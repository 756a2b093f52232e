"""The stage of `distill` that fetches photos by their URLs, and goes on where it was interrupted.

A photo lies under `<first 5 digits of its tweet>/<tweet>-<k>.jpg`, the original's scheme, whatever
its format: a later stage tells whether it decodes. What failed is in `failures.parquet`; what
failed for good is not asked for again.
"""

import asyncio
import contextlib
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from vit_sentiment.distillation import web
from vit_sentiment.distillation.failures import FAILURES_FILE, Failures
from vit_sentiment.distillation.fetch_settings import Settings
from vit_sentiment.distillation.waiting import Hosts
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import Tick, progress, say

_PLAIN = r"^[0-9A-Za-z_][0-9A-Za-z_.-]{0,199}$"
"""What may name a file: neither hidden nor in another folder, and not too long."""
FOR_NOW = "failed for now"
"""The count of photos that may come another time."""
_PARTS = ".parts"
_WAITING = 16
"""Photos for each worker that wait for the turn of their host, or for another attempt."""


def fetch(
    photos: pl.DataFrame, folder: str | os.PathLike[str], settings: Settings | None = None
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """Fetches the photos that have a URL and no path.

    Args:
      photos: see `tables.PHOTOS`.
      folder: made if need be. Photos appear in it by renaming, when they are complete.

    Returns:
      The photos, in order, with the paths of all that are on disk now; those that are not but have
      a URL, see `failures.FAILURES`; and how many there were of each kind.

    Raises:
      UserError: another run is fetching into the folder, or its failures are not readable.
    """
    folder, settings = pathlib.Path(folder), settings or Settings()
    wanted = photos.filter(pl.col("path").is_null() & pl.col("url").is_not_null()).select(
        "id",
        "tweet",
        "url",
        target=pl.concat_str(
            pl.lit(str(folder)), pl.col("tweet").str.slice(0, 5), pl.col("id"), separator="/"
        ),
        plain=pl.col("id").str.contains(_PLAIN) & pl.col("tweet").str.contains(_PLAIN),
    )
    with _lock(folder):
        failures, here, before = _fetch(wanted, folder, settings)
    found = wanted.filter(here).select("id", found="target")
    photos = photos.join(found, on="id", how="left", maintain_order="left")
    photos = photos.with_columns(path=pl.coalesce("path", "found")).drop("found")
    final = int(failures["final"].sum())
    counts = {
        "photo URLs": len(wanted),
        "fetched before": before,
        "fetched": int(here.sum()) - before,
        "gone for good": final,
        FOR_NOW: len(failures) - final,
    }
    return photos, failures, counts


def _fetch(
    wanted: pl.DataFrame, folder: pathlib.Path, settings: Settings
) -> tuple[pl.DataFrame, np.ndarray, int]:
    """Failures, which photos are on disk now (bool [N]), and how many were before."""
    here = np.fromiter(
        (
            plain and os.path.isfile(target)
            for target, plain in wanted["target", "plain"].iter_rows()
        ),
        np.bool_,
        len(wanted),
    )
    before = int(here.sum())
    failures = Failures(folder / FAILURES_FILE, wanted, here)
    plain = wanted["plain"].to_numpy()
    for row in wanted.filter(~plain)["id", "tweet", "url"].iter_rows():
        failures.add(*row, 0, None, "id or tweet is not a plain file name", True)
    gone = failures.final() & plain & ~here & (not settings.retry_failed)
    if gone.any():
        say(f"fetch: {gone.sum()} photos failed for good in an earlier run and are left out")
    todo = np.flatnonzero(plain & ~here & ~gone)
    rows = zip(todo, wanted[todo]["id", "tweet", "url", "target"].iter_rows(), strict=True)
    try:
        with progress("fetch", len(wanted), "photos", len(wanted) - len(todo)) as tick:
            asyncio.run(_fetch_all(rows, folder / _PARTS, here, failures, settings, tick))
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    finally:
        failures.save()
    return failures.of_wanted(), here, before


async def _fetch_all(
    rows: Iterable[tuple[int, tuple[str, str, str, str]]],
    parts: pathlib.Path,
    here: np.ndarray,
    failures: Failures,
    settings: Settings,
    tick: Tick,
) -> None:
    """Marks in `here` what came, and adds the rest to the failures."""
    hosts = Hosts(settings.workers, settings.per_host, settings.interval)
    window = asyncio.Semaphore(settings.workers * _WAITING)
    async with web.make_client(settings) as client, asyncio.TaskGroup() as group:

        async def one(number: int, id_: str, tweet: str, url: str, target: str) -> None:
            answer = await web.fetch(client, hosts, url, settings)
            if answer.error is None:
                await asyncio.to_thread(_write, parts / id_, pathlib.Path(target), answer.body)
                here[number] = True
            else:
                error = answer.error
                row = (answer.attempts, error.status, str(error), error.final)
                failures.add(id_, tweet, url, *row)
            tick()
            window.release()

        for number, row in rows:
            await window.acquire()
            group.create_task(one(number, *row))


def _write(part: pathlib.Path, target: pathlib.Path, body: bytes) -> None:
    target.parent.mkdir(exist_ok=True)
    part.write_bytes(body)
    part.replace(target)


@contextlib.contextmanager
def _lock(folder: pathlib.Path) -> Iterator[None]:
    """Keeps other runs out of the folder; removes what a killed one left half written."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = folder / _PARTS
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: another run is fetching into it") from error
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir()
        try:
            yield
        finally:
            shutil.rmtree(parts, ignore_errors=True)
