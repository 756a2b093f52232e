"""Photos of the training data that are also in a benchmark, to be removed from training."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from input_pipeline import benchmarks, photos, pixels
from input_pipeline.problems import Problems
from input_pipeline.sources import Source, open_source, split_names
from vit_sentiment.distillation.hashing import Hashes, hash_photos
from vit_sentiment.distillation.near import near_pairs
from vit_sentiment.runtime.progress import say

SCHEMA = {
    "row": pl.Int64,
    "benchmark": pl.String,
    "split": pl.String,
    "photo": pl.String,
    "distance": pl.UInt8,
}


def open_all(names: Sequence[str], root: str) -> list[Source]:
    """All splits of benchmarks by name, written datasets, tables and folders of photos.

    Args:
      root: of benchmarks: the original's `dataset/` folder.

    Raises:
      UserError: one of them is not there.
    """
    sources = []
    for name in names:
        if name in benchmarks.names():
            sources += [
                benchmarks.open_benchmark(name, root, split=split, problems=Problems("skip"))
                for split in benchmarks.splits_of(name)
            ]
        else:
            problems = Problems("skip")
            sources += [
                open_source(name, split, problems=problems) for split in split_names(name) or [""]
            ]
    return sources


def find_leaks(hashes: Hashes, sources: Sequence[Source], distance: int) -> pl.DataFrame:
    """Photos of `hashes` that are within `distance` of a photo of a source, schema `SCHEMA`.

    One row a photo, with the nearest photo of the sources, of equally near ones the first; `row`
    is the photo's number. Flat photos only match identical files.
    """
    row, other, apart = nearest(hashes, hash_sources(sources), distance)
    index = pl.concat(
        [
            source.index.select(
                benchmark=pl.lit(source.name), split=pl.lit(source.split), photo=pl.col("id")
            )
            for source in sources
        ]
    )
    leaks = index[other].with_columns(row=pl.Series(row), distance=pl.Series(apart))
    return leaks.select(*SCHEMA).cast(SCHEMA)


def hash_sources(sources: Sequence[Source]) -> Hashes:
    """Hashes of all photos of all sources, in order."""
    found = [_hash_source(source) for source in sources]
    names = ("values", "digests", "variance")
    return Hashes(*(np.concatenate([getattr(part, name) for part in found]) for name in names))


def _hash_source(source: Source) -> Hashes:
    title = f"hash {source.name} {source.split}".strip()
    hashes = hash_photos(_files(source), len(source), title)
    if unreadable := int(np.sum(~hashes.readable)):
        say(f"{title}: {unreadable} photos are missing or damaged, and are not searched for")
    return hashes


def _files(source: Source) -> Iterator[bytes]:
    for start in range(0, len(source), photos.WINDOW):
        numbers = range(start, min(start + photos.WINDOW, len(source)))
        for example in source.data.__getitems__(numbers):
            image = example["image"]
            yield b"" if isinstance(image, pixels.DecodeError) else image


def nearest(
    ours: Hashes, theirs: Hashes, distance: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of ours that have a near one among theirs, its number, and the distance; [M] each."""
    values = np.unique(np.concatenate([ours.values[~ours.flat], theirs.values[~theirs.flat]]))
    pairs = near_pairs(values, distance, "near benchmark photos")
    # The number of their first photo with a value, where there is one.
    known, index = np.unique(theirs.values[~theirs.flat], return_index=True)
    number = np.full(len(values), -1)
    number[np.searchsorted(values, known)] = np.flatnonzero(~theirs.flat)[index]
    both = np.arange(len(values))
    ends = pl.DataFrame(
        {
            "value": np.concatenate([both, pairs.first, pairs.second]),
            "other": number[np.concatenate([both, pairs.second, pairs.first])],
            "distance": np.concatenate([0 * both, pairs.distance, pairs.distance]),
        }
    )
    best = (
        ends.filter(pl.col("other") >= 0)
        .sort("distance", "other")
        .unique("value", keep="first", maintain_order=True)
    )
    other, apart = np.full(len(values), -1), np.zeros(len(values), np.uint8)
    other[best["value"]], apart[best["value"]] = best["other"], best["distance"]
    rows = np.flatnonzero(~ours.flat)
    place = np.searchsorted(values, ours.values[rows])
    files, first = np.unique(theirs.digests, return_index=True)
    flat = np.flatnonzero(ours.flat)
    flat = flat[np.isin(ours.digests[flat], files)]
    same = first[np.searchsorted(files, ours.digests[flat])]
    rows, other, apart = (
        np.concatenate(columns)
        for columns in ((rows, flat), (other[place], same), (apart[place], np.zeros(len(flat))))
    )
    order = np.argsort(rows)
    order = order[other[order] >= 0]
    return rows[order], other[order], apart[order]
