"""All stages of `distill` in their order, from what lies on disk to rows that can be written."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from input_pipeline import splits
from input_pipeline.problems import Problems
from input_pipeline.sources import Source
from vit_sentiment.distillation import (
    balance,
    crawl_filter,
    duplicates,
    fetch,
    leaks,
    merged_leaks,
    merging,
    photo_check,
    shards,
    stages,
    teachers,
    thresholds,
    tweets,
)
from vit_sentiment.distillation.tables import Photos
from vit_sentiment.distillation.thresholds import LABEL
from vit_sentiment.distillation.written_shard import ROWS
from vit_sentiment.runtime.errors import UserError

STAGES_FOLDER = "stages"
PHOTOS_FOLDER = "photos"
TEACHER_FOLDER = "teacher"

LEFT = "photos left"
"""The last count of each stage."""

Funnel = dict[str, dict[str, int]]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the stages start from; see `tweets.read_tweets`."""

    tweets: str
    images: str | None
    human_labels: str | None
    columns: Mapping[str, str] | None


@dataclasses.dataclass(frozen=True)
class Settings:
    """A config's values as the stages take them, checked.

    Attributes:
      seed: of balance and split.
      fetch: None: photos that are known by URL alone are counted as missing.
      rules: the crawl filter's.
      teacher: None: `teacher_table` has the labels.
      teacher_table: its path, or empty.
      shard_rows: tweets of a shard of labels.
      thresholds: of each class.
      balance: see `balance.balance`.
      duplicates: what counts as a duplicate or a leak.
      split_by: `group` or `photo`.
      merge: datasets that are added, all their splits.
      merge_how: `own` or `original`.
    """

    seed: int
    fetch: fetch.Settings | None
    rules: crawl_filter.Rules
    teacher: teachers.Teacher | None
    teacher_table: str
    shard_rows: int
    thresholds: tuple[float, float, float]
    balance: str
    duplicates: duplicates.Settings
    split_by: str
    merge: Sequence[Source]
    merge_how: str


@dataclasses.dataclass(frozen=True)
class Result:
    """What is to be written.

    Attributes:
      parts: rows of each split: the columns of `written_shard.ROWS`.
      files: the photos by `number`.
      funnel: counts of each stage, in order.
      tables: `duplicates`, `leaks` and `fetch_failures`, those that there are.
      class_weights: that even the classes out, if they were asked for.
    """

    parts: dict[str, pl.DataFrame]
    files: Photos
    funnel: Funnel
    tables: dict[str, pl.DataFrame]
    class_weights: tuple[float, ...] | None


def run(inputs: Inputs, settings: Settings, out: pathlib.Path, problems: Problems) -> Result:
    """Runs all stages, or loads those that an earlier run finished in `out`.

    Args:
      problems: takes every row that cannot be used.

    Raises:
      UserError: an input cannot be read; nothing is left after a stage.
    """
    funnel: Funnel = {}
    listed: dict[str, pl.DataFrame] = {}
    key = ""

    def stage(
        name: str,
        facts: Mapping[str, Any],
        compute: Callable[[], tuple[stages.Tables, stages.Counts]],
    ) -> stages.Tables:
        nonlocal key
        folder = out / STAGES_FOLDER / f"{len(funnel) + 1}-{name}"
        done = stages.run(folder, facts, key, problems, compute)
        key = done.key
        funnel[name] = done.counts | {LEFT: len(done.tables["photos"])}
        return done.tables

    def read() -> tuple[stages.Tables, stages.Counts]:
        found = tweets.read_tweets(
            inputs.tweets,
            problems,
            images=inputs.images,
            human_labels=inputs.human_labels,
            columns=inputs.columns,
        )
        return {"texts": found.texts, "photos": found.photos}, found.counts

    tables = stage("read", _input_facts(inputs), read)
    texts, photos = tables["texts"], tables["photos"]
    if settings.fetch:
        get = settings.fetch
        found = stage(
            "fetch", dataclasses.asdict(get), lambda: _fetch(photos, out / PHOTOS_FOLDER, get)
        )
        photos, listed["fetch_failures"] = found["photos"], found["failures"]
    files = tweets.open_photos(inputs.tweets, photos)

    def filter_crawl() -> tuple[stages.Tables, stages.Counts]:
        on_disk, missing = _on_disk(photos)
        kept_texts, kept, counts = crawl_filter.apply(texts, on_disk, settings.rules)
        return {"texts": kept_texts, "photos": kept}, missing | counts

    tables = stage("filter", dataclasses.asdict(settings.rules), filter_crawl)
    texts, photos = tables["texts"], tables["photos"]
    _need(photos, "the crawl filter")
    looked = photo_check.check(out / STAGES_FOLDER / "look", photos, files)
    before = len(photos)
    photos = _usable(photos, looked, problems)
    funnel["look"] = {"do not decode": before - len(photos), LEFT: len(photos)}
    _need(photos, "a look at the photos")
    texts = texts.filter(pl.col("tweet").is_in(photos["tweet"].unique().implode()))
    if settings.teacher is None:
        labels = teachers.look_up(settings.teacher_table, texts["tweet"].to_list(), problems)
        facts = {"table": _stat(settings.teacher_table)}
    else:
        ids = texts["tweet"].to_list()
        probs = shards.label(
            out / TEACHER_FOLDER,
            ids,
            texts["text"].to_list(),
            settings.teacher,
            settings.shard_rows,
        )
        labels, facts = teachers.to_table(ids, probs), settings.teacher.facts
    funnel["teacher"] = {"tweets labelled": len(texts), LEFT: len(photos)}

    def label() -> tuple[stages.Tables, stages.Counts]:
        labelled = thresholds.label(labels)
        found, counts = thresholds.label_photos(photos, labelled, settings.thresholds)
        return {"photos": found}, counts

    photos = stage("label", {**facts, "thresholds": settings.thresholds}, label)["photos"]
    _need(photos, "the teacher's thresholds")

    def remove() -> tuple[stages.Tables, stages.Counts]:
        table = photos.join(
            texts.select("tweet", "text"), on="tweet", how="left", maintain_order="left"
        )
        distinct = duplicates.remove(table, files, settings.duplicates)
        kept = distinct.table.select(pl.col(name).cast(kind) for name, kind in ROWS.items())
        return {"photos": kept, **distinct.tables}, distinct.counts

    tables = stage("duplicates", settings.duplicates.facts, remove)
    photos = tables.pop("photos")
    listed |= tables
    _need(photos, "the removal of duplicates")
    photos, counts, weights = balance.balance(photos, settings.balance, settings.seed)
    funnel["balance"] = counts | {LEFT: len(photos)}
    if settings.merge:
        parts, files, found = _merge(photos, files, settings)
        merged = sum(map(len, parts.values())) - len(photos)
        funnel["merge"] = {
            "leaks removed from other datasets": len(found),
            "photos of other datasets": merged,
            LEFT: len(photos) + merged,
        }
        if len(found):
            listed["leaks"] = pl.concat([listed.get("leaks", found[:0]), found])
    else:
        parts = _parts(photos, settings)
    funnel["split"] = {part: len(rows) for part, rows in parts.items()}
    funnel["split"][LEFT] = sum(map(len, parts.values()))
    return Result(parts, files, funnel, listed, weights)


def _fetch(
    photos: pl.DataFrame, folder: pathlib.Path, settings: fetch.Settings
) -> tuple[stages.Tables, stages.Counts]:
    found, failures, counts = fetch.fetch(photos, folder, settings)
    return {"photos": found, "failures": failures}, counts


def _on_disk(photos: pl.DataFrame) -> tuple[pl.DataFrame, stages.Counts]:
    """The photos that can be read, and how many are known by URL alone."""
    by_url = pl.col("path").is_null() & pl.col("url").is_not_null()
    there = photos.filter(~by_url)
    missing = len(photos) - len(there)
    return there, {"photos known by URL alone": missing} if missing else {}


def _usable(photos: pl.DataFrame, looked: pl.DataFrame, problems: Problems) -> pl.DataFrame:
    """The photos that decode, with their hashes; the others are listed."""
    together = pl.concat([photos, looked.drop("id")], how="horizontal")
    for row in together.filter(pl.col("problem").is_not_null()).iter_rows(named=True):
        problems.add(row["where"], row["path"] or row["id"], row["problem"])
    return together.filter(pl.col("problem").is_null()).drop("problem")


def _merge(
    photos: pl.DataFrame, files: Photos, settings: Settings
) -> tuple[dict[str, pl.DataFrame], Photos, pl.DataFrame]:
    """Splits, with the datasets that are merged in; and which photos of these leaked."""
    sources, distance = settings.merge, settings.duplicates.distance
    names = {source.name for source in sources}
    benchmarks = [source for source in settings.duplicates.leaks if source.name not in names]
    original, first = settings.merge_how == "original", len(files)
    if original and not benchmarks:
        hashes, gone, found = None, np.empty(0, np.int64), pl.DataFrame(schema=merged_leaks.SCHEMA)
    else:
        hashes = leaks.hash_sources(sources)
        gone, found = merged_leaks.of_benchmarks(sources, hashes, benchmarks, distance)
    stays = ~pl.col("number").is_in((first + gone).tolist())
    if original:
        table, files = merging.throw_together(photos, files, sources)
        parts = splits.split_rows(table.filter(stays), LABEL, settings.seed)
        return parts, files, found
    parts, files = merging.add(_parts(photos, settings), files, sources)
    parts = {part: rows.filter(stays) for part, rows in parts.items()}
    parts, near = merged_leaks.of_held_out(parts, sources, hashes, first, distance)
    return parts, files, pl.concat([found, near])


def _parts(photos: pl.DataFrame, settings: Settings) -> dict[str, pl.DataFrame]:
    if settings.split_by == "photo":
        return splits.split_rows(photos, LABEL, settings.seed)
    return splits.split_groups(photos, "group", LABEL, settings.seed)


def _need(photos: pl.DataFrame, stage: str) -> None:
    if not len(photos):
        raise UserError(f"no photo is left after {stage}; funnel.json says where they went")


def _input_facts(inputs: Inputs) -> dict[str, Any]:
    paths = (inputs.tweets, inputs.images, inputs.human_labels)
    facts = {path: _stat(path) for path in paths if path}
    return {"files": facts, "columns": dict(inputs.columns or {})}


def _stat(path: str) -> list[list[Any]]:
    """Name, size and time of change of a file, or of the files in a folder."""
    top = pathlib.Path(path)
    found = sorted(top.iterdir()) if top.is_dir() else [top]
    stats = ((file.name, file.stat()) for file in found if file.is_file())
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
