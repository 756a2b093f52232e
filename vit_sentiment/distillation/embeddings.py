"""Duplicates by the features of a model: pairs above a cosine, and the original system's rule."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import faiss
import numpy as np
import polars as pl

from input_pipeline.builder import INDEX_SCHEMA
from input_pipeline.photos import cores
from input_pipeline.records import CLASSES, UNKNOWN
from input_pipeline.sources import Source
from vit_sentiment.distillation.tables import Photos
from vit_sentiment.runtime.progress import progress

EXACT_UP_TO = 200_000
"""Photos up to which all are compared with all; beyond, an inverted file is probed, which finds
nearly all pairs."""

ORIGINAL_NEIGHBOURS = 100
ORIGINAL_LIMIT = 0.15
"""Of the original system, which had them for ResNet50 features; see `original_rule`."""

_PROBED = 32
_QUERIES = 1024
_SEED_PHOTOS = 64
"""Photos for each centroid of the inverted file that it is trained on."""


def near_pairs(features: np.ndarray, cosine: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of features [N, D] with a cosine of at least `cosine`: numbers [P], first < second.

    Rows of zeros are near to none.
    """
    rows = np.flatnonzero(np.any(features != 0, axis=1))
    unit = unit_length(features[rows])
    if not len(rows):
        return rows, rows
    index = _index(unit)
    # FAISS finds what is above the radius, and not what equals it.
    radius = float(np.nextafter(np.float32(cosine), np.float32(-2)))
    firsts, seconds = [], []
    for start, queries in _queries(unit):
        limits, _, neighbours = index.range_search(queries, radius)
        query = np.repeat(np.arange(start, start + len(queries)), np.diff(limits.astype(np.int64)))
        once = query < neighbours
        firsts.append(rows[query[once]])
        seconds.append(rows[neighbours[once]])
    return np.concatenate(firsts), np.concatenate(seconds)


def unit_length(features: np.ndarray) -> np.ndarray:
    """Features [N, D] over their lengths, float32; rows of zeros stay."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _index(unit: np.ndarray) -> faiss.Index:
    faiss.omp_set_num_threads(cores())
    count, width = unit.shape
    flat = faiss.IndexFlatIP(width)
    if count <= EXACT_UP_TO:
        flat.add(unit)
        return flat
    centroids = int(4 * count**0.5)
    index = faiss.IndexIVFFlat(flat, width, centroids, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = _PROBED
    index.train(unit[np.random.default_rng(0).permutation(count)[: _SEED_PHOTOS * centroids]])
    index.add(unit)
    return index


def _queries(features: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    with progress("near features", len(features), "photos") as tick:
        for start in range(0, len(features), _QUERIES):
            queries = features[start : start + _QUERIES]
            yield start, queries
            tick(len(queries))


def original_rule(
    features: np.ndarray,
    *,
    neighbours: int = ORIGINAL_NEIGHBOURS,
    limit: float = ORIGINAL_LIMIT,
) -> tuple[np.ndarray, np.ndarray]:
    """The original's duplicates: of which photo each is one (-1: of none), and how far from it.

    The squared distances to the nearest `neighbours` photos are scaled to length 1, row by row, and
    those below `limit` make a group. In the order of the photos, one that is in no group yet starts
    one with its nearest neighbour, itself as a rule, as the photo that stays; all others are
    duplicates. So the limit depends on how far the other neighbours are, and a photo for which
    others were removed can be removed later itself.

    Rows of zeros, which are photos that do not decode, take no part. Other than the original, which
    probed 10 of 1,000 cells of an inverted file, this compares all with all.
    """
    rows = np.flatnonzero(np.any(features != 0, axis=1))
    points = np.ascontiguousarray(features[rows], np.float32)
    faiss.omp_set_num_threads(cores())
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    grouped = np.zeros(len(rows), np.bool_)
    of = np.full(len(features), -1)
    apart = np.zeros(len(features), np.float32)
    for start, queries in _queries(points):
        squared, found = index.search(queries, min(neighbours, len(points)))
        scaled = unit_length(squared)
        for row, distances, numbers in zip(
            range(start, start + len(queries)), scaled, found, strict=True
        ):
            if grouped[row]:
                continue
            near = distances < limit
            kept, *others = numbers[near]
            grouped[numbers[near]] = True
            new = [number for number in others if of[rows[number]] == -1]
            of[rows[new]] = rows[kept]
            apart[rows[others]] = distances[near][1:]
    return of, apart


@dataclasses.dataclass(frozen=True)
class _Photos:
    """Photos of tweets as a source's examples."""

    table: pl.DataFrame
    files: Photos

    def __len__(self) -> int:
        return len(self.table)

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        rows = self.table[list(numbers)]
        return [
            {"image": self.files.read(number), "id": id_, "human_label": UNKNOWN}
            for number, id_ in rows.select("number", "id").iter_rows()
        ]

    def place(self, number: int) -> str:
        return self.table["id"][number]


def source_of(table: pl.DataFrame, files: Photos) -> Source:
    """The photos of a table of tweets as a source without labels, to compute features of."""
    known = {"id": pl.col("id"), "group": pl.col("tweet")}
    unknown = dict.fromkeys(("teacher_label", "human_label"), pl.lit(UNKNOWN))
    columns = known | unknown
    index = table.select(
        columns.get(name, pl.lit(None)).cast(kind).alias(name)
        for name, kind in INDEX_SCHEMA.items()
        if name != "split"
    )
    return Source("tweets", "", CLASSES, _Photos(table, files), index)
