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
    input_facts,
    leaks,
    merged_leaks,
    merging,
    photo_check,
    settle,
    shards,
    stages,
    teachers,
    thresholds,
    tweets,
)
from vit_sentiment.distillation.tables import Photos
from vit_sentiment.distillation.thresholds import LABEL
from vit_sentiment.distillation.written_shard import ROWS
from vit_sentiment.runtime import files as file_tools
from vit_sentiment.runtime.errors import UserError

FUNNEL_FILE = "funnel.json"
STAGES_FOLDER = "stages"
PHOTOS_FOLDER = "photos"
TEACHER_FOLDER = "teacher"

LEFT = "photos left"
"""The last count of each stage."""
FELL = "photos of tweets left out"
"""Of a stage that leaves out tweets, so that its counts of photos add up."""

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
      UserError: an input cannot be read; nothing is left after a stage. The counts of the stages
        before are then in `FUNNEL_FILE`.
    """
    funnel: Funnel = {}
    try:
        return _run(inputs, settings, out, problems, funnel)
    except UserError:
        if funnel:
            file_tools.write_json(out / FUNNEL_FILE, funnel)
        raise


def _run(
    inputs: Inputs, settings: Settings, out: pathlib.Path, problems: Problems, funnel: Funnel
) -> Result:
    listed: dict[str, pl.DataFrame] = {}
    key = ""

    def stage(
        name: str,
        facts: Mapping[str, Any],
        compute: Callable[[], tuple[stages.Tables, stages.Counts]],
        passing: str = "",
    ) -> stages.Tables:
        nonlocal key
        folder = out / STAGES_FOLDER / f"{len(funnel) + 1}-{name}"
        done = stages.run(folder, facts, key, problems, compute, passing)
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

    named = inputs.tweets, inputs.images, inputs.human_labels
    facts = {"files": input_facts.of_tweets(*named), "columns": dict(inputs.columns or {})}
    tables = stage("read", facts, read, settle.MISSING)
    texts, photos = tables["texts"], tables["photos"]
    look = out / STAGES_FOLDER / "look"
    if settings.fetch:
        get = settings.fetch
        found = stage(
            "fetch",
            dataclasses.asdict(get),
            lambda: _fetch(photos, out / PHOTOS_FOLDER, get),
            # One photo more would undo all looks and labels: then those that came are enough.
            "" if look.exists() else fetch.FOR_NOW,
        )
        photos, listed["fetch_failures"] = found["photos"], found["failures"]
    elif photos["path"].is_null().all() and photos["url"].is_not_null().all():
        raise UserError(
            f"{inputs.tweets}: all its photos are known by URL alone; --config.fetch.enabled "
            "fetches them"
        )
    files = tweets.open_photos(inputs.tweets, photos)

    def filter_crawl() -> tuple[stages.Tables, stages.Counts]:
        on_disk, missing = _on_disk(photos)
        kept_texts, kept, counts = crawl_filter.apply(texts, on_disk, settings.rules)
        fell = {FELL: len(on_disk) - len(kept)}
        return {"texts": kept_texts, "photos": kept}, missing | counts | fell

    facts = {"rules": dataclasses.asdict(settings.rules), "photos": _places(photos)}
    tables = stage("filter", facts, filter_crawl)
    texts, photos = tables["texts"], tables["photos"]
    _need(photos, "the crawl filter")
    state = input_facts.of_photos(photos)
    looked = photo_check.check(look, photos, files, state)
    before = len(photos)
    photos = _usable(photos, looked, problems)
    funnel["look"] = {"do not decode": before - len(photos), LEFT: len(photos)}
    _need(photos, "a look at the photos")
    texts = texts.filter(pl.col("tweet").is_in(photos["tweet"].unique().implode()))
    if settings.teacher is None:
        labels = teachers.look_up(settings.teacher_table, texts["tweet"].to_list(), problems)
        facts = {"table": input_facts.of_file(settings.teacher_table)}
    else:
        ids = texts["tweet"].to_list()
        probs = shards.label(
            out / TEACHER_FOLDER,
            ids,
            texts["text"].to_list(),
            settings.teacher,
            settings.shard_rows,
        )
        labels, facts = teachers.to_table(ids, probs), dict(settings.teacher.facts)
    funnel["teacher"] = {"tweets labelled": len(labels), LEFT: len(photos)}

    def label() -> tuple[stages.Tables, stages.Counts]:
        labelled = thresholds.label(labels)
        found, counts = thresholds.label_photos(photos, labelled, settings.thresholds)
        return {"photos": found}, counts | {FELL: len(photos) - len(found)}

    facts |= {"thresholds": settings.thresholds, "photos": state}
    photos = stage("label", facts, label)["photos"]
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


def _places(photos: pl.DataFrame) -> str:
    """sha256 of where the photos are, which a fetch or a look for missing ones may change."""
    return shards.hash_rows(photos.select("id", "path").iter_rows())


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
