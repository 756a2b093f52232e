"""The stage of `distill` between labels and split: leaks out, one of each cluster of duplicates."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from input_pipeline.sources import Source
from vit_sentiment.distillation import clusters, leaks
from vit_sentiment.distillation.grouping import joined_groups
from vit_sentiment.distillation.hashing import Hashes
from vit_sentiment.distillation.photo_check import hashes_of
from vit_sentiment.distillation.tables import Photos

ORIGINAL = "the original's rule"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What counts as a duplicate and what stays.

    Attributes:
      method: `hash`, `embedding`, `original` or `none`.
      distance: of two hashes, in bits, at most.
      cosine: of two embeddings, at least.
      contradictions: one of `clusters.CONTRADICTIONS`.
      leaks: where photos must not be in the result.
      features: float32 [N, D] of the photos of a table of tweets, zero where one does not
        decode; for the methods that need them.
      facts: JSON values that the result depends on.
    """

    method: str = "hash"
    distance: int = 3
    cosine: float = 0.95
    contradictions: str = "majority"
    leaks: Sequence[Source] = ()
    features: Callable[[pl.DataFrame, Photos], np.ndarray] | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Result:
    """What stays and what was found.

    Attributes:
      table: the rows that stay, with the column `group`, which a split must not part.
      tables: `duplicates` and `leaks`, those that were asked for.
      counts: of the photos removed, in order.
    """

    table: pl.DataFrame
    tables: dict[str, pl.DataFrame]
    counts: dict[str, int]


def remove(table: pl.DataFrame, files: Photos, settings: Settings) -> Result:
    """Removes photos that leak, then duplicates, and joins the groups of those.

    Args:
      table: one row a photo: id, tweet, text, number (what `files` takes), teacher_label, and the
        hashes of `photo_check.SCHEMA`.
    """
    tables, counts = {}, {}
    hashes = hashes_of(table)
    if settings.leaks:
        found = leaks.find_leaks(hashes, settings.leaks, settings.distance)
        row = found["row"].to_numpy()
        tables["leaks"] = pl.concat(
            [table[row].select("id", group="tweet"), found.drop("row")], how="horizontal"
        )
        counts["leaks removed"] = len(row)
        stays = np.ones(len(table), np.bool_)
        stays[row] = False
        table, hashes = table.filter(stays), hashes[stays]
    if settings.method == "none":
        return Result(table.with_columns(group="tweet"), tables, counts)
    cluster, decision, distance = _find(table, files, hashes, settings)
    table = table.with_columns(joined_groups(table, cluster))
    tables["duplicates"] = _listed(table, cluster, decision, distance)
    counts["duplicates removed"] = int(np.sum(~decision.kept))
    return Result(table.filter(decision.kept), tables, counts)


def _find(
    table: pl.DataFrame, files: Photos, hashes: Hashes, settings: Settings
) -> tuple[np.ndarray, clusters.Decision, np.ndarray]:
    """Clusters, what stays of them, and how far each photo is from the one that it duplicates."""
    if settings.method == "hash":
        cluster = clusters.by_hash(hashes.values, hashes.digests, hashes.flat, settings.distance)

        def apart(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
            return np.bitwise_count(hashes.values[rows] ^ hashes.values[others])

    else:
        from vit_sentiment.distillation import embeddings

        values = settings.features(table, files)
        if settings.method == "original":
            return _original(*embeddings.original_rule(values))
        pairs = embeddings.near_pairs(values, settings.cosine)
        cluster = clusters.by_pairs(*pairs, hashes.digests, hashes.flat)
        unit = embeddings.unit_length(values)

        def apart(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
            return np.maximum(1 - np.sum(unit[rows] * unit[others], axis=1), 0)

    labels = table["teacher_label"].to_numpy()
    decision = clusters.decide(cluster, labels, hashes.digests, settings.contradictions)
    rows = np.flatnonzero(decision.duplicate_of >= 0)
    distance = np.zeros(len(table), np.float32)
    distance[rows] = apart(rows, decision.duplicate_of[rows])
    return cluster, decision, distance


def _original(
    of: np.ndarray, distance: np.ndarray
) -> tuple[np.ndarray, clusters.Decision, np.ndarray]:
    cluster = np.where(of < 0, np.arange(len(of)), of)
    groups = np.bincount(of[of >= 0], minlength=len(of)) > 0
    reason = np.select([of >= 0, groups], [ORIGINAL, clusters.FIRST], "")
    return cluster, clusters.Decision(of < 0, reason, of), distance


def _listed(
    table: pl.DataFrame, cluster: np.ndarray, decision: clusters.Decision, distance: np.ndarray
) -> pl.DataFrame:
    """What was kept and why: the photos that have duplicates, cluster by cluster."""
    ids, of = table["id"], decision.duplicate_of
    duplicate = pl.Series(of >= 0)
    listed = pl.DataFrame(
        {
            "id": ids,
            "group": table["group"],
            "cluster": ids[cluster],
            "kept": decision.kept,
            "reason": decision.reason,
            "duplicate_of": ids[np.maximum(of, 0)],
            "distance": distance,
            "number": cluster,
        },
        schema_overrides={"reason": pl.String},
    )
    for column in ("duplicate_of", "distance"):
        listed = listed.with_columns(pl.when(duplicate).then(pl.col(column)).alias(column))
    several = listed.filter(pl.col("reason") != "")
    return several.sort("number", maintain_order=True).drop("number")
