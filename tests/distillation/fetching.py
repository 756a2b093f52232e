"""Tables of photos to fetch, and a program that does so and that a test can end.

`python fetching.py PHOTOS FOLDER`
"""

import pathlib

import polars as pl

from vit_sentiment.distillation import failures as failures_module
from vit_sentiment.distillation import fetch as fetching
from vit_sentiment.distillation.tables import PHOTOS
from vit_sentiment.runtime import startup

JPEG = bytes(range(256)) * 20


def photo(number, url, *, tweet=None, k=0, path=None):
    tweet = tweet or str(1234500000 + number)
    return (f"{tweet}-{k}.jpg", tweet, path, url, -1, f"tweets.csv:{number + 2}")


def table(*rows):
    return pl.DataFrame(rows, PHOTOS, orient="row")


def listed(server, count):
    return table(*(photo(number, f"{server.url}/{number}") for number in range(count)))


def fetch(photos, folder, **settings):
    settings = {"back_off": 0.0, "timeout": 10.0} | settings
    return fetching.fetch(photos, folder, fetching.Settings(**settings))


def fetch_one(server, folder, *replies, **settings):
    """Its bytes or None, the row of its failure or None."""
    server.will(*replies)
    photos, failures, counts = fetch(listed(server, 1), folder, **settings)
    check_counts(photos, failures, counts)
    path = photos["path"][0]
    assert (path is None) == (len(failures) == 1)
    assert files_below(folder) == ([] if path is None else [pathlib.Path(path)])
    body = None if path is None else pathlib.Path(path).read_bytes()
    return body, (failures.row(0, named=True) if len(failures) else None)


def check_counts(photos, failures, counts):
    assert counts["photo URLs"] == counts["fetched before"] + counts["fetched"] + len(failures)
    assert counts["gone for good"] == failures["final"].sum()
    assert counts["failed for now"] == (~failures["final"]).sum()
    assert photos.schema == PHOTOS
    assert failures.schema == failures_module.FAILURES


def files_below(folder):
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if path.name not in (".lock", "failures.parquet")]


def main(photos, folder):
    fetch(pl.read_parquet(photos), pathlib.Path(folder), per_host=2)


if __name__ == "__main__":
    startup.run(main, __doc__, arguments=("PHOTOS", "FOLDER"))
