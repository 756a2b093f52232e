"""What the stages of `distill` depend on, read off the files without reading them."""

import os
import pathlib
from typing import Any

import polars as pl

from input_pipeline.sources import open_source
from vit_sentiment.distillation import read_crawl, shards, tweets


def of_tweets(name: str, images: str | None, human_labels: str | None) -> dict[str, Any]:
    """JSON values that change when the files that `tweets.read_tweets` takes do.

    Of a dataset it is the fingerprint, of others names, sizes and times of change. Photos are not
    among them, see `of_photos`.
    """
    path = pathlib.Path(name)
    if path.is_dir() and not tweets.tweet_files(path):
        kinds = {"dataset": open_source(name).fingerprint}
    else:
        # The list of a crawl need not be named.
        listing, _ = read_crawl.photo_list(path if path.is_dir() else path.parent, images)
        kinds = {"tweets": of_file(name), "listing": of_file(listing)}
    labels = of_file(human_labels) if human_labels else None
    return {"paths": [name, images, human_labels], "human_labels": labels, **kinds}


def of_file(path: str | os.PathLike[str]) -> list[list[Any]]:
    """Name, size and time of change of a file, or of the files in a folder; empty: no such file."""
    top = pathlib.Path(path)
    found = sorted(top.iterdir()) if top.is_dir() else [top]
    stats = ((file.name, file.stat()) for file in found if file.is_file())
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def of_photos(photos: pl.DataFrame) -> str:
    """sha256 of ids, paths, sizes and times of change of photos, see `tables.PHOTOS`."""
    rows = photos.select("id", "path").iter_rows()
    return shards.hash_rows((id_, path, *_changed(path)) for id_, path in rows)


def _changed(path: str | None) -> tuple[int, ...]:
    try:
        stat = os.stat(path) if path else None
    except OSError:  # A look at the photo tells why.
        return ()
    return (stat.st_size, stat.st_mtime_ns) if stat else ()
