"""Fetches the photos of a table, so that a test can end it: `fetching.py PHOTOS FOLDER`."""

import pathlib
import sys

import polars as pl

from vit_sentiment.distillation import fetch
from vit_sentiment.runtime import startup

if __name__ == "__main__":
    photos, folder = sys.argv[1:]
    settings = fetch.Settings(per_host=2)
    startup.run(
        lambda *_: fetch.fetch(pl.read_parquet(photos), pathlib.Path(folder), settings),
        __doc__,
        arguments=("PHOTOS", "FOLDER"),
    )
