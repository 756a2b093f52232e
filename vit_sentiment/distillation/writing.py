"""Writing the dataset: shards of a fixed number of rows, in parallel, each once.

Until it is complete the dataset lies in `incomplete.VERSION`, and beside it, in `incomplete.notes`,
what it is made from and notes of each finished shard. An interrupted run goes on with the shards
that are missing and ends with the same bytes, as does a run with more or fewer workers.
"""

import hashlib
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from input_pipeline import dataset_files
from input_pipeline.builder import refuse_existing
from input_pipeline.distilled_tweets.distilled_tweets_dataset_builder import DistilledTweets
from input_pipeline.problems import Problems
from vit_sentiment.distillation import written_shard
from vit_sentiment.distillation.completing import complete, count, list_lost, read_notes
from vit_sentiment.distillation.runners import run_beam, run_local
from vit_sentiment.distillation.shards import agree
from vit_sentiment.distillation.tables import Photos
from vit_sentiment.distillation.written_shard import NAME, ROWS, Settings, Shard
from vit_sentiment.runtime.progress import progress, say

FACTS_FILE = "writing.json"


def write(
    parts: Mapping[str, pl.DataFrame],
    files: Photos,
    out: str | pathlib.Path,
    settings: Settings = Settings(),  # noqa: B008 - frozen.
    problems: Problems | None = None,
    *,
    card_facts: Mapping[str, Any] | None = None,
    beam_options: Sequence[str] | None = None,
    report: Callable[[dict[str, int]], None] | None = None,
) -> dict[str, int]:
    """Writes the dataset `distilled_tweets` below `out`, or goes on with it.

    Args:
      parts: split to rows, columns `ROWS`, in the order in which they are written.
      files: the photos; files that are gone meanwhile are left out.
      problems: takes what is left out; what else it lists is in the dataset's problems.csv too.
        Default: the first photo that is gone is an error.
      card_facts: see `card.card`; `splits`, `parted_tweets` and `writing` are added.
      beam_options: where given, Apache Beam runs the work with these options of its pipeline; the
        machines see `out` and the photos under the same paths.
      report: called with what is returned once the dataset is complete; a run that was killed
        before it was done is gone on with.

    Returns:
      Records of each split, and how many photos were lost since they were listed.

    Raises:
      UserError: the dataset exists, or an unfinished one from other rows or settings; a photo was
        lost and the policy is `fail`; a split is without photos.
    """
    problems = problems or Problems()
    folder, unfinished, notes = _folders(out)
    refuse_finished(out)
    columns = [pl.col(name).cast(kind) for name, kind in ROWS.items()]
    parts = {split: rows.select(columns) for split, rows in parts.items()}
    facts = _facts(parts, settings)
    agree(notes / FACTS_FILE, facts, "an unfinished dataset has", folder.parent)
    shards = _plan(parts, files, unfinished, notes, settings)
    if not folder.exists():
        _write_missing(shards, settings, problems, beam_options)
        counts = complete(parts, shards, unfinished, problems, facts, card_facts or {})
        unfinished.rename(folder)
    else:
        found = read_notes(shards)
        counts = count(parts, found)
        for shard, part in zip(shards, found, strict=True):
            list_lost(problems, shard.split, written_shard.lost(part))
    if report:
        report(counts)
    shutil.rmtree(notes)
    return counts


def refuse_finished(out: str | pathlib.Path) -> None:
    """Raises UserError if the dataset is complete, since nothing is ever overwritten."""
    folder, _, notes = _folders(out)
    if not notes.exists():  # Else it may be that only the notes were left to be removed.
        refuse_existing(folder)


def _folders(out: str | pathlib.Path) -> tuple[pathlib.Path, pathlib.Path, pathlib.Path]:
    """The dataset, what is there of it until it is complete, and the notes of its shards."""
    folder = pathlib.Path(out) / NAME / str(DistilledTweets.VERSION)
    return folder, *(folder.with_name(f"incomplete.{n}") for n in (folder.name, "notes"))


def _facts(parts: Mapping[str, pl.DataFrame], settings: Settings) -> dict:
    digest = hashlib.sha256()
    for split, rows in parts.items():
        digest.update(f"{split} {len(rows)}\n".encode())
        for part in rows.iter_slices(65536):
            digest.update(part.write_csv(include_header=False).encode())
    return {
        "short_side": settings.short_side,
        "quality": settings.quality if settings.short_side else None,
        "shard_photos": settings.shard_photos,
        "rows": sum(map(len, parts.values())),
        "sha256": digest.hexdigest(),
    }


def _plan(
    parts: Mapping[str, pl.DataFrame],
    files: Photos,
    folder: pathlib.Path,
    notes: pathlib.Path,
    settings: Settings,
) -> list[Shard]:
    shards = []
    for split, rows in parts.items():
        starts = range(0, len(rows), settings.shard_photos)
        for number, start in enumerate(starts):
            part = rows[start : start + settings.shard_photos]
            name = dataset_files.shard_name(NAME, split, number, len(starts))
            shard = Shard(
                split=split,
                rows=part.drop("number"),
                files=files.take(part["number"].to_list()),
                path=folder / name,
                notes=notes / f"{name}.parquet",
                short_side=settings.short_side,
                quality=settings.quality,
            )
            shards.append(shard)
    return shards


def _write_missing(
    shards: Sequence[Shard],
    settings: Settings,
    problems: Problems,
    beam_options: Sequence[str] | None,
) -> None:
    for folder in {path.parent for shard in shards[:1] for path in (shard.path, shard.notes)}:
        folder.mkdir(parents=True, exist_ok=True)
        for killed in folder.glob(".*"):
            killed.unlink()
    missing = [shard for shard in shards if not _is_finished(shard, problems)]
    done = sum(len(shard.rows) for shard in shards) - sum(len(shard.rows) for shard in missing)
    if done:
        say(f"write: goes on after {len(shards) - len(missing)} of {len(shards)} shards")
    with progress("write", sum(len(shard.rows) for shard in shards), "photos", done) as tick:
        if beam_options is not None:
            run_beam(missing, list(beam_options))
            return
        for shard, lost in run_local(missing, settings.workers):
            tick(len(shard.rows))
            if problems.on_error == "fail":
                list_lost(problems, shard.split, lost)


def _is_finished(shard: Shard, problems: Problems) -> bool:
    if not (shard.notes.exists() and shard.path.exists()):
        return False
    # Under this policy a run that failed at a lost photo is repeated once the photo is back.
    return problems.on_error != "fail" or not written_shard.lost(pl.read_parquet(shard.notes))
