"""Clusters of duplicates and what is kept of them.

Pairs of near photos chain: a is near b, b is near c, and so on to photos that have nothing in
common. So a connected component is not taken for a cluster: in the order of the photos, one that is
near to none kept before is a *centre*, and every other belongs to the first centre that it is near
to. Members are near to their centre, and centres are not near to each other.
"""

import dataclasses

import numpy as np
import polars as pl

from vit_sentiment.distillation.near import near_pairs

CONTRADICTIONS = ("majority", "first", "drop")
"""What is kept of a cluster whose photos carry different labels: the first photo with the label
that most of them have, nothing where two labels have equally many; or the first photo, whatever its
label; or nothing."""

FIRST = "first of its cluster"
MAJORITY = "first with the label of most"
IDENTICAL = "identical file"
NEAR = "near duplicate"
CONTRADICTING = "contradicting labels"


@dataclasses.dataclass(frozen=True)
class Decision:
    """What stays.

    Attributes:
      kept: bool [N].
      reason: why, for each photo; empty for photos without a duplicate.
      duplicate_of: int64 [N], number of the photo that stays in its place, of the first where
        nothing of the cluster stays; -1 for those themselves.
    """

    kept: np.ndarray
    reason: np.ndarray
    duplicate_of: np.ndarray


def first_equal(values: np.ndarray) -> np.ndarray:
    """The number of the first equal value, for each of [N]; int64 [N]."""
    _, index, inverse = np.unique(values, return_index=True, return_inverse=True)
    return index[inverse]


def by_hash(hashes: np.ndarray, digests: np.ndarray, flat: np.ndarray, distance: int) -> np.ndarray:
    """Clusters of photos whose hashes are within `distance`; flat ones only of identical files.

    Args:
      hashes, digests: uint64 [N].
      flat: bool [N].

    Returns:
      int64 [N], the number of each photo's centre, which is the first photo of its cluster.
    """
    leader = _identical(digests, flat)
    textured = np.flatnonzero(~flat)
    values, index, inverse = np.unique(hashes[textured], return_index=True, return_inverse=True)
    firsts = textured[index]
    leader[textured] = firsts[inverse]
    pairs = near_pairs(values, distance)
    centre = stars(len(hashes), firsts[pairs.first], firsts[pairs.second])
    return centre[leader]


def by_pairs(
    first: np.ndarray, second: np.ndarray, digests: np.ndarray, flat: np.ndarray
) -> np.ndarray:
    """The same, of pairs of photos that are near by another measure."""
    leader = _identical(digests, np.ones_like(flat))
    use = ~flat[first] & ~flat[second] & (leader[first] != leader[second])
    return stars(len(flat), leader[first[use]], leader[second[use]])[leader]


def _identical(digests: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The number of the first identical file among those `where`; its own for the others."""
    leader = np.arange(len(digests))
    numbers = np.flatnonzero(where)
    leader[numbers] = numbers[first_equal(digests[numbers])]
    return leader


def stars(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The centre of each of `count` numbers, int64 [count], by the rule above.

    Args:
      first, second: the pairs that are near to each other, in any order.
    """
    a, b = np.minimum(first, second), np.maximum(first, second)
    decided = np.zeros(count, np.bool_)
    follows = np.zeros(count, np.bool_)
    left_a, left_b = a, b
    member = np.zeros(count, np.bool_)
    while len(left_a):
        # Whoever follows nobody that is undecided is a centre, and its neighbours are members.
        follows[left_b] = True
        is_centre = ~follows[left_a]
        follows[left_b] = False
        decided[left_a[is_centre]] = True
        decided[left_b[is_centre]] = True
        member[left_b[is_centre]] = True
        open_ = ~decided[left_a] & ~decided[left_b]
        left_a, left_b = left_a[open_], left_b[open_]
    centre = np.arange(count)
    centre[member] = count
    use = ~member[a] & member[b]
    np.minimum.at(centre, b[use], a[use])
    return centre


def decide(
    cluster: np.ndarray, labels: np.ndarray, digests: np.ndarray, contradictions: str
) -> Decision:
    """What stays of each cluster: one photo, the first, or what CONTRADICTIONS says.

    Args:
      cluster: int64 [N], number of the first photo of the cluster.
      labels: int [N].
      digests: uint64 [N], equal for identical files.
    """
    numbers = np.arange(len(cluster))
    photos = pl.DataFrame({"number": numbers, "cluster": cluster, "label": labels})
    counts = photos.group_by("cluster", "label").agg(
        pl.len().alias("photos"), pl.min("number").alias("first")
    )
    most = pl.col("photos") == pl.max("photos").over("cluster")
    # One row a cluster: how many labels it has, and the first photo with the most frequent one.
    counts = (
        counts.with_columns(labels=pl.len().over("cluster"))
        .filter(most)
        .group_by("cluster")
        .agg(pl.first("labels"), pl.len().alias("tied"), pl.min("first"))
        .sort("cluster")
    )
    contradicting = (counts["labels"] > 1).to_numpy()
    chosen, nothing = counts["cluster"].to_numpy(), np.zeros(len(counts), np.bool_)
    if contradictions == "majority":
        chosen = np.where(contradicting, counts["first"].to_numpy(), chosen)
        nothing = (counts["tied"] > 1).to_numpy()
    elif contradictions == "drop":
        nothing = contradicting
    row = np.searchsorted(counts["cluster"].to_numpy(), cluster)
    stands = np.where(nothing, counts["cluster"].to_numpy(), chosen)[row]
    kept = (stands == numbers) & ~nothing[row]
    alone = np.bincount(cluster, minlength=len(cluster))[cluster] == 1
    identical = digests == digests[stands]
    reason = np.select(
        [alone, nothing[row], kept & (numbers == cluster), kept, identical],
        ["", CONTRADICTING, FIRST, MAJORITY, IDENTICAL],
        NEAR,
    )
    return Decision(kept, reason, np.where(stands == numbers, -1, stands))
