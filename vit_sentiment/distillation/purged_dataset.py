"""Writing a dataset again without some of its records."""

import os
import pathlib
import shutil
from collections.abc import Iterable

import polars as pl
import tensorflow_datasets as tfds

from input_pipeline import dataset_files
from input_pipeline.builder import INDEX_FILE, PROBLEMS_FILE
from input_pipeline.distilled_tweets.distilled_tweets_dataset_builder import DistilledTweets
from vit_sentiment.distillation import card, purged_tables
from vit_sentiment.distillation.completing import ORIGINS_FILE, written_facts
from vit_sentiment.distillation.purged_tables import Purge
from vit_sentiment.runtime import files

_OLD, _NEW = "incomplete.old", "incomplete.purged"


def rewrite(
    folder: pathlib.Path, index: pl.DataFrame, gone: pl.Series, wanted: Purge, removal: dict
) -> pathlib.Path:
    """Makes the new dataset beside the old one and returns its folder.

    Args:
      index: all of `INDEX_FILE` and `ORIGINS_FILE`.
      gone: which of its rows go.
      removal: what the card says of it.
    """
    new = folder.parent / _NEW / folder.name
    shutil.rmtree(new.parent, ignore_errors=True)
    new.mkdir(parents=True)
    for path in folder.iterdir():
        _link(path, new / path.name)
    renamed = index["group"].replace(dict(wanted.groups))
    touched = gone | (renamed != index["group"])
    info = tfds.builder_from_directory(os.fspath(folder)).info
    splits, first = {}, 0
    for split, known in info.splits.items():
        lengths, size = [], known.num_bytes
        for number, length in enumerate(known.shard_lengths):
            rows = slice(first, first + length)
            first += length
            if touched[rows].any():
                name = dataset_files.shard_name(info.name, split, number, known.num_shards)
                size += _rewrite_shard(folder / name, new / name, gone[rows], renamed[rows])
            lengths.append(int((~gone[rows]).sum()))
        splits[split] = lengths, size
    # Made afresh: read from files, TFDS adds to it, and `rehydrate` would write other bytes.
    made = DistilledTweets(data_dir=new.parent).info
    dataset_files.write_info(made, new, splits)
    for name, columns in (
        (INDEX_FILE, pl.read_parquet_schema(folder / INDEX_FILE)),
        (ORIGINS_FILE, pl.read_parquet_schema(folder / ORIGINS_FILE)),
    ):
        table = index.with_columns(group=renamed).filter(~gone).select(*columns)
        with files.replacing(new / name) as temporary:
            table.write_parquet(temporary)
    if (new / PROBLEMS_FILE).exists():
        purged_tables.clean(folder / PROBLEMS_FILE, new / PROBLEMS_FILE, wanted)
    facts = files.read_json(folder / card.FACTS_FILE)
    counted = written_facts(index.filter(~gone), info.splits)
    removals = [*facts.get("removals", []), removal]
    card.write(new, {**facts, **counted, "removals": removals})
    return new


def _rewrite_shard(old: pathlib.Path, new: pathlib.Path, gone: pl.Series, groups: pl.Series) -> int:
    """Writes what is left of a shard; returns by how many bytes its examples grew."""
    grown = 0

    def left() -> Iterable[bytes]:
        nonlocal grown
        rows = zip(dataset_files.read_shard(old), gone, groups, strict=True)
        for example, is_gone, group in rows:
            kept = b"" if is_gone else dataset_files.in_group(example, group)
            grown += len(kept) - len(example)
            if not is_gone:
                yield kept

    with files.replacing(new) as temporary:
        dataset_files.write_shard(temporary, left())
    return grown


def _link(old: pathlib.Path, new: pathlib.Path) -> None:
    """Shards are never written again in place, other files may be."""
    try:
        if ".array_record-" in old.name:
            new.hardlink_to(old)
            return
    except OSError:  # Some file systems have none.
        pass
    shutil.copy2(old, new)


def finish_swap(home: pathlib.Path) -> None:
    """Goes on where `swap` was interrupted."""
    if not (home / _OLD).exists():
        return
    for new in (home / _NEW).glob("*"):
        if not (home / new.name).exists():
            new.rename(home / new.name)
    for rest in (_OLD, _NEW):
        shutil.rmtree(home / rest, ignore_errors=True)


def swap(folder: pathlib.Path, new: pathlib.Path) -> None:
    """Puts the new dataset in the place of the old one."""
    old = folder.parent / _OLD
    folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old)
    shutil.rmtree(new.parent)
