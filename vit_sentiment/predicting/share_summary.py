"""What scored photos say of all of them: how many there are of each class, and what failed.

Shards are read one after the other, and photos counted in cells of the probability simplex, so that
millions need no more memory than thousands. Cells are of equal width in the square roots of the
probabilities, which makes them finest where these are small; each has the mean of its photos, so
means over all photos are exact, and what comes of cells is that of photos but for terms of second
order in their width: shares within 1e-4.

Intervals tell how much shares may differ in the population that the photos were drawn from at
random; mistakes of the model itself are not in them.
"""

import collections
import dataclasses
import math
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vit_sentiment.evaluation.metrics import interval_95
from vit_sentiment.evaluation.priors import class_shares
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.predicting.choices import Choice
from vit_sentiment.predicting.scored_shards import class_columns

CELLS = {2: 4096, 3: 128, 4: 40}
"""Along each axis, by the number of classes; for more than four classes there are none."""
SAMPLES = 400
_Z_95 = 1.959963984540054
"""97.5 % of a normal variable lies below it."""
_MOST_REASONS = 100
_AT_A_TIME = 4_000_000
"""Counts of a bootstrap in memory."""

UNCALIBRATED = (
    "the model is not calibrated, so its probabilities are no basis for shares: python -m "
    "vit_sentiment.calibrate changes that"
)


@dataclasses.dataclass
class Tally:
    """Sums over photos.

    Attributes:
      rows, readable: photos, and those without an error.
      reasons: rows by reason, with numbers in it written N.
      examples: a path for each reason.
      labels: photos of each label [C]; those that the model abstained from have none.
      sums, squares: of the probabilities and their squares [C].
      cells: number of each cell [M], rising; `counts` [M] and `cell_sums` [M, C] of its photos.
    """

    rows: int
    readable: int
    reasons: collections.Counter[str]
    examples: dict[str, str]
    labels: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    cells: np.ndarray
    counts: np.ndarray
    cell_sums: np.ndarray


def tally(paths: Sequence[pathlib.Path], classes: Sequence[str]) -> Tally:
    """Adds up the photos of some shards."""
    width = len(classes)
    found = Tally(
        0, 0, collections.Counter(), {}, np.zeros(width, np.int64), *np.zeros((2, width)),
        np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, width)),
    )  # fmt: skip
    columns = class_columns(classes)
    for path in paths:
        table = pq.read_table(path, columns=["path", *columns, "label", "error"])
        readable = pc.is_null(table["error"])
        _add_failures(found, table.filter(pc.invert(readable)).select(["path", "error"]))
        table = table.filter(readable)
        labels = table["label"].to_pylist()
        found.labels += [labels.count(name) for name in classes]
        probs = np.stack([table[name].to_numpy() for name in columns], axis=1).astype(np.float64)
        # A mask may leave nothing of a photo's probabilities.
        probs = np.maximum(probs, np.finfo(np.float32).tiny)
        found.rows, found.readable = found.rows + len(readable), found.readable + len(probs)
        _add_probabilities(found, probs / probs.sum(axis=1, keepdims=True))
    return found


def _add_failures(found: Tally, failures: Any) -> None:
    for path, error in zip(*(column.to_pylist() for column in failures.columns), strict=True):
        reason = re.sub(r"\d[\d.,]*", "N", error)
        if reason not in found.reasons and len(found.reasons) >= _MOST_REASONS:
            reason = "other reasons"
        found.reasons[reason] += 1
        found.examples.setdefault(reason, path)


def _add_probabilities(found: Tally, probs: np.ndarray) -> None:
    found.sums += probs.sum(axis=0)
    found.squares += np.square(probs).sum(axis=0)
    side = CELLS.get(probs.shape[1])
    if side is None:
        return
    place = np.minimum((np.sqrt(probs) * side).astype(np.int64), side - 1)
    numbers = np.ravel_multi_index(place.T, (side,) * probs.shape[1])
    numbers = np.concatenate([found.cells, numbers])
    counts = np.concatenate([found.counts, np.ones(len(probs), np.int64)])
    sums = np.concatenate([found.cell_sums, probs])
    found.cells, cell = np.unique(numbers, return_inverse=True)
    found.counts = np.zeros(len(found.cells), np.int64)
    found.cell_sums = np.zeros((len(found.cells), probs.shape[1]))
    np.add.at(found.counts, cell, counts)
    np.add.at(found.cell_sums, cell, sums)


def summarise(
    paths: Sequence[pathlib.Path],
    classes: Sequence[str],
    description: ModelDescription,
    choice: Choice,
) -> dict[str, Any]:
    """Summarises shards.

    Returns:
      JSON values: `rows`, `readable`, `failed`, `labelled` and `unlabelled` (the model abstained)
      photos; `failures`, the reasons with `rows` and an `example`, the most frequent first;
      `labels`, photos by class; `shares`, of each kind by class a `share` and the bounds of its
      95 % interval, `low` and `high`; `notes`, why there are not all kinds. Kinds are `labels`,
      `probability` (mean of the calibrated probabilities) and `corrected` (for the shares that the
      photos themselves make likeliest, see `priors.class_shares`).
    """
    found = tally(paths, classes)
    shares, notes = {}, []
    labelled = int(found.labels.sum())
    if labelled:
        shares["labels"] = [(n / labelled, *wilson(int(n), labelled)) for n in found.labels]
    if description.calibration is None:
        notes.append(UNCALIBRATED)
    elif found.readable:
        shares["probability"] = _means(found)
        if choice.rule.binary:
            notes.append("shares are not corrected: neutral photos are neither of the two classes")
        elif len(classes) not in CELLS:
            notes.append(f"shares are not corrected for more than {max(CELLS)} classes")
        else:
            shares["corrected"] = _corrected(found, choice.prior or description.calibration.prior)
    return {
        "rows": found.rows,
        "readable": found.readable,
        "failed": found.rows - found.readable,
        "labelled": labelled,
        "unlabelled": found.readable - labelled,
        "failures": [
            {"reason": reason, "rows": rows, "example": found.examples[reason]}
            for reason, rows in found.reasons.most_common()
        ],
        "labels": dict(zip(classes, found.labels.tolist(), strict=True)),
        "shares": {
            kind: {
                name: dict(zip(("share", "low", "high"), map(float, values), strict=True))
                for name, values in zip(classes, rows, strict=True)
            }
            for kind, rows in shares.items()
        },
        "notes": notes,
    }


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927, JASA 22, 209-212)."""
    share, z2 = count / total, _Z_95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) * _Z_95 / (1 + z2 / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def _means(found: Tally) -> list[tuple[float, float, float]]:
    """Means with normal intervals; of one photo alone nothing is known but its own."""
    n = found.readable
    mean = found.sums / n
    variance = np.maximum(found.squares / n - mean**2, 0) / max(n - 1, 1)
    half = _Z_95 * np.sqrt(variance) if n > 1 else np.ones_like(mean)
    low, high = np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)
    return list(zip(mean, low, high, strict=True))


def _corrected(found: Tally, prior: Sequence[float]) -> list[tuple[float, float, float]]:
    """Shares and percentile intervals of photos drawn again, which is a multinomial over cells."""
    means = found.cell_sums / found.counts[:, None]
    share = class_shares(means, prior, found.counts)
    random = np.random.default_rng(0)
    chunk = max(1, _AT_A_TIME // len(means))
    drawn = []
    for start in range(0, SAMPLES, chunk):
        size = min(chunk, SAMPLES - start)
        counts = random.multinomial(found.readable, found.counts / found.readable, size=size)
        drawn.append(class_shares(means, prior, counts))
    intervals = map(interval_95, np.concatenate(drawn).T)
    return [(value, *interval) for value, interval in zip(share, intervals, strict=True)]
