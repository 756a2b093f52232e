"""What stands beside the shards of a dataset and makes them one."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from input_pipeline import dataset_files
from input_pipeline.builder import INDEX_FILE, INDEX_SCHEMA, PROBLEMS_FILE
from input_pipeline.distilled_tweets.distilled_tweets_dataset_builder import DistilledTweets
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, UNKNOWN
from vit_sentiment.distillation import card, written_shard
from vit_sentiment.distillation.written_shard import Shard
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

ORIGINS_FILE = "origins.parquet"
"""Beside the index, in its order: id, and the columns of `written_shard.ORIGINS_SCHEMA`."""
LOST = "lost while writing"


def complete(
    parts: Mapping[str, pl.DataFrame],
    shards: Sequence[Shard],
    folder: pathlib.Path,
    problems: Problems,
    facts: Mapping[str, Any],
    card_facts: Mapping[str, Any],
) -> dict[str, int]:
    """Writes what stands beside the shards."""
    notes = read_notes(shards)
    for shard, part in zip(shards, notes, strict=True):
        list_lost(problems, shard.split, written_shard.lost(part))
    counts = count(parts, notes)
    for split in parts:
        if not counts[split]:
            raise UserError(f"split {split!r}: no usable photo, so there is nothing to write")
    written = [part.filter(pl.col("problem").is_null()) for part in notes]
    table = pl.concat(written)
    for name, columns in (
        (INDEX_FILE, [*INDEX_SCHEMA]),
        (ORIGINS_FILE, ["id", *written_shard.ORIGINS_SCHEMA]),
    ):
        with files.replacing(folder / name) as temporary:
            table.select(columns).write_parquet(temporary)
    pairs = list(zip(shards, written, strict=True))
    sizes = {
        split: (
            [len(part) for shard, part in pairs if shard.split == split],
            sum(part["bytes"].sum() for shard, part in pairs if shard.split == split),
        )
        for split in parts
    }
    info = DistilledTweets(data_dir=folder.parents[1]).info
    dataset_files.write_info(info, folder, sizes)
    problems.write(folder / PROBLEMS_FILE)
    made = {key: facts[key] for key in ("short_side", "quality", "shard_photos")}
    card.write(folder, {**card_facts, "writing": made, **written_facts(table, parts)})
    return counts


def count(parts: Mapping[str, pl.DataFrame], notes: Sequence[pl.DataFrame]) -> dict[str, int]:
    """Records of each split, and photos that were lost."""
    table = pl.concat([pl.DataFrame(schema=written_shard.NOTES_SCHEMA), *notes])
    written = pl.col("problem").is_null()
    counts = dict(table.filter(written).group_by("split").len().iter_rows())
    return {split: counts.get(split, 0) for split in parts} | {LOST: len(table.filter(~written))}


def read_notes(shards: Sequence[Shard]) -> list[pl.DataFrame]:
    """What was noted of each shard."""
    return [pl.read_parquet(shard.notes) for shard in shards]


def list_lost(problems: Problems, split: str, lost: Sequence[tuple[str, str]]) -> None:
    """Adds photos that were lost to the problems."""
    for name, problem in lost:
        problems.add(f"split {split}", name, problem)


def written_facts(index: pl.DataFrame, splits: Iterable[str]) -> dict[str, Any]:
    """What the card tells of the records.

    Args:
      index: with the columns of `INDEX_FILE` and the column tweet.
    """
    several = index.group_by("tweet").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    judged = index.filter(pl.col("human_label") != UNKNOWN)
    agree = judged.filter(pl.col("human_label") == pl.col("teacher_label"))
    return {
        "splits": class_counts(index, splits),
        "parted_tweets": len(several),
        "teacher_against_human": {"records": len(judged), "agree": len(agree)},
    }


def class_counts(index: pl.DataFrame, splits: Iterable[str]) -> dict[str, dict[str, int]]:
    """Records of each split: by class, and those with a human label."""
    found = {}
    for split in splits:
        rows = index.filter(split=split)
        counts = {c: int((rows["teacher_label"] == k).sum()) for k, c in enumerate(CLASSES)}
        found[split] = counts | {"human_label": int((rows["human_label"] != UNKNOWN).sum())}
    return found
