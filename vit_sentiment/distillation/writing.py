"""Writing the dataset: shards of a fixed number of rows, in parallel, each once.

Until it is complete the dataset lies in `incomplete.VERSION`, and beside it, in `incomplete.notes`,
what it is made from and notes of each finished shard. An interrupted run goes on with the shards
that are missing and ends with the same bytes, as does a run with more or fewer workers.
"""

import hashlib
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from input_pipeline import dataset_files
from input_pipeline.builder import INDEX_FILE, INDEX_SCHEMA, PROBLEMS_FILE, refuse_existing
from input_pipeline.distilled_tweets.distilled_tweets_dataset_builder import DistilledTweets
from input_pipeline.problems import Problems
from vit_sentiment.distillation import written_shard
from vit_sentiment.distillation.runners import run_beam, run_local
from vit_sentiment.distillation.tables import Photos
from vit_sentiment.distillation.written_shard import NAME, ROWS, Settings, Shard
from vit_sentiment.runtime import files as file_tools
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress, say

ORIGINS_FILE = "origins.parquet"
CARD_FILE = "README.md"
FACTS_FILE = "writing.json"
LOST = "lost while writing"


def write(
    parts: Mapping[str, pl.DataFrame],
    files: Photos,
    out: str | pathlib.Path,
    settings: Settings = Settings(),  # noqa: B008 - frozen.
    problems: Problems | None = None,
    *,
    card: Callable[[dict[str, int]], str] | None = None,
    beam_options: Sequence[str] | None = None,
) -> dict[str, int]:
    """Writes the dataset `distilled_tweets` below `out`, or goes on with it.

    Args:
      parts: split to rows, columns `ROWS`, in the order in which they are written.
      files: the photos; files that are gone meanwhile are left out.
      problems: takes what is left out; what else it lists is in the dataset's problems.csv too.
        Default: the first photo that is gone is an error.
      card: gives the text of README.md from the counts.
      beam_options: where given, Apache Beam runs the work with these options of its pipeline; the
        machines see `out` and the photos under the same paths.

    Returns:
      Records of each split, and how many photos were lost since they were listed.

    Raises:
      UserError: the dataset exists, or an unfinished one from other rows or settings; a photo was
        lost and the policy is `fail`; a split is without photos.
    """
    problems = problems or Problems()
    columns = [pl.col(name).cast(kind) for name, kind in ROWS.items()]
    parts = {split: rows.select(columns) for split, rows in parts.items()}
    folder = pathlib.Path(out) / NAME / str(DistilledTweets.VERSION)
    unfinished, notes = (folder.with_name(f"incomplete.{n}") for n in (folder.name, "notes"))
    facts = _facts(parts, settings)
    if not notes.exists():  # Else it may be that only the notes were left to be removed.
        refuse_existing(folder)
    _claim(notes / FACTS_FILE, facts)
    shards = _plan(parts, files, unfinished, notes, settings)
    if not folder.exists():
        _write_missing(shards, settings, problems, beam_options)
        counts = _complete(parts, shards, unfinished, problems, card)
        unfinished.rename(folder)
    else:
        counts = _counts(parts, _read_notes(shards))
    shutil.rmtree(notes)
    return counts


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


def _claim(path: pathlib.Path, facts: dict) -> None:
    if not path.exists():
        file_tools.write_json(path, facts)
        return
    there = file_tools.read_json(path)
    for name in dict.fromkeys([*facts, *there]):
        if there.get(name) != facts.get(name):
            raise UserError(
                f"{path}: an unfinished dataset has {name} {there.get(name)!r}, this run "
                f"{facts.get(name)!r}; remove {path.parents[1]} or choose another --out"
            )


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
                _list_lost(problems, shard.split, lost)


def _is_finished(shard: Shard, problems: Problems) -> bool:
    if not (shard.notes.exists() and shard.path.exists()):
        return False
    # Under this policy a run that failed at a lost photo is repeated once the photo is back.
    return problems.on_error != "fail" or not written_shard.lost(pl.read_parquet(shard.notes))


def _list_lost(problems: Problems, split: str, lost: Sequence[tuple[str, str]]) -> None:
    for name, problem in lost:
        problems.add(f"split {split}", name, problem)


def _read_notes(shards: Sequence[Shard]) -> list[pl.DataFrame]:
    return [pl.read_parquet(shard.notes) for shard in shards]


def _counts(parts: Mapping[str, pl.DataFrame], notes: Sequence[pl.DataFrame]) -> dict[str, int]:
    table = pl.concat(notes)
    written = pl.col("problem").is_null()
    counts = dict(table.filter(written).group_by("split").len().iter_rows())
    return {split: counts.get(split, 0) for split in parts} | {LOST: len(table.filter(~written))}


def _complete(
    parts: Mapping[str, pl.DataFrame],
    shards: Sequence[Shard],
    folder: pathlib.Path,
    problems: Problems,
    card: Callable[[dict[str, int]], str] | None,
) -> dict[str, int]:
    """Writes what stands beside the shards."""
    notes = _read_notes(shards) or [pl.DataFrame(schema=written_shard.NOTES_SCHEMA)]
    for shard, part in zip(shards, notes, strict=False):
        _list_lost(problems, shard.split, written_shard.lost(part))
    counts = _counts(parts, notes)
    for split in parts:
        if not counts[split]:
            raise UserError(f"split {split!r}: no usable photo, so there is nothing to write")
    written = [part.filter(pl.col("problem").is_null()) for part in notes]
    table = pl.concat(written)
    for name, columns in (
        (INDEX_FILE, [*INDEX_SCHEMA]),
        (ORIGINS_FILE, ["id", *written_shard.ORIGINS_SCHEMA]),
    ):
        with file_tools.replacing(folder / name) as temporary:
            table.select(columns).write_parquet(temporary)
    pairs = list(zip(shards, written, strict=True))
    sizes = {
        split: (
            [len(part) for shard, part in pairs if shard.split == split],
            sum(part["bytes"].sum() for shard, part in pairs if shard.split == split),
        )
        for split in parts
    }
    info = DistilledTweets(splits={}, data_dir=folder.parents[1]).info
    dataset_files.write_info(info, folder, sizes)
    problems.write(folder / PROBLEMS_FILE)
    if card:
        file_tools.write_text(folder / CARD_FILE, card(counts))
    return counts
