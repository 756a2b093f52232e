"""Photos a second that `distill` writes, beside the same threads that only shrink them."""

import concurrent.futures
import itertools
import os
import pathlib
import statistics
import tempfile
import time

import polars as pl

from input_pipeline import pixels
from input_pipeline.photos import cores, examine
from vit_sentiment.distillation import written_shard
from vit_sentiment.distillation.tables import PhotoFiles
from vit_sentiment.distillation.writing import Settings, write
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

PHOTOS = 4096
SHORT_SIDE = 224
"""The original's students see 224 or 384 pixels."""
SUFFIXES = (".jpg", ".jpeg", ".png")


def measure(
    folder: str | pathlib.Path,
    photos: int = PHOTOS,
    short_side: int = SHORT_SIDE,
    rounds: int = 5,
    workers: int = 0,
) -> dict:
    """Measures both in turn on the same photos, after a round of each that does not count.

    Decoding and encoding has the files in memory; writing reads, decodes, shrinks, encodes, hashes
    and serialises them, and writes shards and all that belongs to a dataset.

    Args:
      folder: of photos, searched in depth; they are taken over and over until there are enough.
      workers: threads of both; 0: one a core.

    Returns:
      `bare` and `write`: photos a second of each round; `bare_core`, `write_core`: photos for each
      second of a core, which others on the machine disturb less; `ratio` and `core_ratio`: medians
      over the rounds of write over bare.

    Raises:
      UserError: the folder has no photos.
    """
    found = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)
    found = [
        path
        for path, data in zip(found, examine(found), strict=True)
        if not isinstance(data, pixels.DecodeError)
    ]
    if not found:
        raise UserError(f"{folder}: no photos ({', '.join(SUFFIXES)}) in it")
    paths = [str(path) for path in itertools.islice(itertools.cycle(found), photos)]
    settings = Settings(short_side, shard_photos=max(1, min(256, photos // 8)), workers=workers)
    data = {path: pathlib.Path(path).read_bytes() for path in dict.fromkeys(paths)}
    rates: dict[str, list[float]] = {"bare": [], "write": [], "bare_core": [], "write_core": []}

    for number in range(rounds + 1):
        last = {}
        for name, work in (("bare", _bare), ("write", _write)):
            start, used = time.perf_counter(), time.process_time()
            work(paths, data, settings)
            last[name] = photos / (time.perf_counter() - start)
            last[f"{name}_core"] = photos / (time.process_time() - used)
        if number:
            for name, rate in last.items():
                rates[name].append(rate)
            told = ", ".join(f"{name} {last[name]:.0f}" for name in ("bare", "write"))
            say(f"round {number} of {rounds}: {told} photos/s, load {os.getloadavg()[0]:.1f}")
    ratios = {
        "ratio": _ratio(rates["write"], rates["bare"]),
        "core_ratio": _ratio(rates["write_core"], rates["bare_core"]),
    }
    return {**rates, **ratios, "photos": photos, "workers": workers or cores()}


def _ratio(ours: list[float], bare: list[float]) -> float:
    return statistics.median(mine / other for mine, other in zip(ours, bare, strict=True))


def _bare(paths: list[str], data: dict[str, bytes], settings: Settings) -> None:
    def work(start: int) -> None:
        for path in paths[start : start + settings.shard_photos]:
            written_shard.photo(data[path], settings.short_side, settings.quality)

    with concurrent.futures.ThreadPoolExecutor(settings.workers or cores()) as pool:
        for _ in pool.map(work, range(0, len(paths), settings.shard_photos)):
            pass


def _write(paths: list[str], data: dict[str, bytes], settings: Settings) -> None:
    numbers = pl.int_range(len(paths), eager=True)
    names = numbers.cast(pl.String)
    labels = {"NEG": 0.2, "NEU": 0.3, "POS": 0.5, "teacher_label": 2, "human_label": -1}
    rows = pl.DataFrame({"id": names, "tweet": names, "group": names, "number": numbers})
    rows = rows.with_columns(pl.lit(value).alias(name) for name, value in labels.items())
    with tempfile.TemporaryDirectory() as out:
        write({"train": rows}, PhotoFiles(pl.Series(paths)), out, settings)
