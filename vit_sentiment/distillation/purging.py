"""Taking tweets out of a written dataset, when their authors ask for it.

The new dataset is made beside the old one, with links to the shards that stay as they are, and then
takes its place; an interrupted purge is simply run again.
"""

import pathlib
import re
import tempfile
from collections.abc import Iterable

import polars as pl

from input_pipeline.builder import INDEX_FILE, PROBLEMS_FILE
from input_pipeline.sources import dataset_folder
from vit_sentiment.distillation import purged_tables
from vit_sentiment.distillation.completing import ORIGINS_FILE
from vit_sentiment.distillation.purged_dataset import finish_swap, rewrite, swap
from vit_sentiment.distillation.purged_tables import Purge
from vit_sentiment.distillation.written_shard import NAME
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

_GROUPS = "incomplete.groups.json"
_SHORTEST_ID = 6
"""Shorter ones are numbers like others; those of Twitter have been longer since its first year."""


def find(name: str) -> pathlib.Path:
    """The folder of a dataset that `distill` wrote; swaps are finished that were interrupted."""
    path = pathlib.Path(name)
    for home in (path, path / NAME, path.parent):
        finish_swap(home)
    folder = dataset_folder(name)
    if folder is None or not (folder / ORIGINS_FILE).exists():
        raise UserError(f"{name}: not a dataset that distill wrote with {ORIGINS_FILE} in it")
    return folder


def purge(folder: pathlib.Path, ids: Iterable[str], date: str, dry_run: bool) -> dict[str, int]:
    """Removes tweets or photos from a dataset and from what `distill` left beside it.

    Args:
      folder: what `find` gave.
      ids: of tweets or of photos.
      date: for the card.
      dry_run: whether to change nothing.

    Returns:
      Counts of what went, or would go.

    Raises:
      UserError: a file that is no table still names a tweet afterwards.
    """
    asked = frozenset(ids)
    index = pl.concat(
        [pl.read_parquet(folder / INDEX_FILE), pl.read_parquet(folder / ORIGINS_FILE).drop("id")],
        how="horizontal",
    )
    root = folder.parents[1] if folder.parent.name == NAME else folder
    tables = list(purged_tables.tables(root, folder))
    gone = index["id"].is_in(list(asked)) | index["tweet"].is_in(list(asked))
    photos = asked.union(index["id"].filter(gone))
    photos = photos.union(*(purged_tables.photos_of(path, asked) for path in tables))
    wanted = Purge(asked, photos, _new_groups(folder, index.filter(~gone), asked, tables, dry_run))
    found = set(index["id"].filter(gone)) | set(index["tweet"].filter(gone))
    tweets = index.filter(gone)["tweet"].n_unique()
    counts = {
        "ids asked for": len(asked),
        "ids without a record": len(asked - found),
        "photos removed": int(gone.sum()),
        "groups renamed": len(wanted.groups),
    }
    left = _photo_files(root, folder, wanted)
    counts["photo files beside it"] = len(left)
    with tempfile.TemporaryDirectory() as scratch:
        counts["rows of tables beside it"] = sum(
            purged_tables.clean(
                path, pathlib.Path(scratch) / path.name if dry_run else path, wanted
            )
            for path in tables
        )
    if dry_run:
        return counts
    for path in left:
        path.unlink()
    removal = {"date": date, "tweets": tweets, "photos": int(gone.sum())}
    if gone.any() or index["group"].is_in(list(wanted.groups)).any():
        swap(folder, rewrite(folder, index, gone, wanted, removal))
    elif (folder / PROBLEMS_FILE).exists():
        purged_tables.clean(folder / PROBLEMS_FILE, folder / PROBLEMS_FILE, wanted)
    (folder.parent / _GROUPS).unlink(missing_ok=True)
    _refuse_mentions(root, wanted)
    return counts


def _new_groups(
    folder: pathlib.Path,
    kept: pl.DataFrame,
    asked: frozenset[str],
    tables: list[pathlib.Path],
    dry_run: bool,
) -> dict[str, str]:
    """Groups that are called after a tweet that goes, and what they are called now.

    Kept in a file until all is done: after an interruption some tables have the new names already.
    """
    path = folder.parent / _GROUPS
    names = dict(files.read_json(path)) if path.exists() else {}
    left = [kept.select("tweet", "group")]
    for table in tables:
        if table.suffix.lower() == ".parquet":
            schema = pl.read_parquet_schema(table)
            if {"tweet", "group"} <= set(schema):
                left.append(pl.read_parquet(table, columns=["tweet", "group"]))
            elif {"id", "group"} <= set(schema):
                rows = pl.read_parquet(table, columns=["id", "group"])
                # Where the tweet is not known, the photo's name will do.
                left.append(rows.select(pl.col("id").alias("tweet"), "group"))
    for part in left:
        rows = part.filter(pl.col("group").is_in(list(asked)))
        for tweet, group in rows.iter_rows():
            if not Purge(asked, asked).names(tweet):
                names.setdefault(group, tweet)
    if names and not dry_run:
        files.write_json(path, names)
    return {old: new for old, new in names.items() if old in asked}


def _photo_files(root: pathlib.Path, folder: pathlib.Path, wanted: Purge) -> list[pathlib.Path]:
    """Files below `root` that are called as a photo that goes."""
    return [
        path
        for path in root.rglob("*")
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".gif", ".webp")
        and not path.is_relative_to(folder)
        and (wanted.names(path.name) or wanted.names(str(path.relative_to(root))))
    ]


def _refuse_mentions(root: pathlib.Path, wanted: Purge) -> None:
    """Reports, pages and logs are nothing that this could change."""
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in (".json", ".jsonl", ".html", ".md", ".txt", ".log"):
            text = path.read_text(encoding="utf-8", errors="replace")
            words = {*re.findall(r"[\w./-]+", text), *re.findall(r"\w+", text)}
            if any(len(word) >= _SHORTEST_ID and wanted.names(word) for word in words):
                raise UserError(
                    f"{path}: still names a tweet that was purged from all tables; remove the file "
                    "or make it again"
                )
