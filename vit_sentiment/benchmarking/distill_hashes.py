"""Time and recall of the search for near hashes, on hashes with planted near-duplicates."""

import time

import numpy as np

from vit_sentiment.distillation.clusters import by_hash
from vit_sentiment.distillation.near import near_pairs
from vit_sentiment.runtime.progress import say

COUNTS = (500_000, 1_000_000, 2_000_000, 3_700_000)
DISTANCE = 3

_PLANTED, _CROWDED, _LOW_ENTROPY = 0.2, 0.05, 0.01
_CROWDS, _LOW_BITS = 50, 16


def synthesise(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes, uint64 [count], which of them are copies of another one, and of which.

    A fifth are copies with up to three bits flipped, a twentieth are one of 50 values, one in a
    hundred has 16 bits that vary, and the others are drawn evenly.
    """
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 2**64, count, dtype=np.uint64)
    sizes = [int(share * count) for share in (_PLANTED, _CROWDED, _LOW_ENTROPY)]
    copies, crowded, low, _ = np.split(generator.permutation(count), np.cumsum(sizes))
    crowds = generator.integers(0, 2**64, _CROWDS, dtype=np.uint64)
    values[crowded] = generator.choice(crowds, len(crowded))
    values[low] = generator.integers(0, 2**_LOW_BITS, len(low), dtype=np.uint64)
    others = np.setdiff1d(np.arange(count), copies)
    of = generator.choice(others, len(copies))
    values[copies] = values[of]
    flips = generator.integers(0, DISTANCE + 1, len(copies))
    for number in range(DISTANCE):
        rows = copies[flips > number]
        values[rows] ^= np.uint64(1) << generator.integers(0, 64, len(rows), dtype=np.uint64)
    return values, copies, of


def measure(count: int) -> dict[str, float]:
    """Seconds, CPU seconds and recall of the pairs; seconds of the clusters, search included."""
    hashes, copies, of = synthesise(count)
    say(f"hashes: {count:,}")
    start, used = time.perf_counter(), time.process_time()
    values, number = np.unique(hashes, return_inverse=True)
    pairs = near_pairs(values, DISTANCE)
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    found = np.sort(pairs.first * len(values) + pairs.second)
    one, other = number[copies], number[of]
    planted = (np.minimum(one, other) * len(values) + np.maximum(one, other))[one != other]
    place = np.minimum(np.searchsorted(found, planted), len(found) - 1)
    recall = float(np.mean(found[place] == planted))
    pairs_found, distinct = len(found), len(values)
    del pairs, found, planted, place, values, number
    start, used = time.perf_counter(), time.process_time()
    centres = by_hash(hashes, hashes, np.zeros(count, np.bool_), DISTANCE)
    in_all = time.perf_counter() - start, time.process_time() - used
    return {
        "distinct": distinct,
        "pairs": pairs_found,
        "recall": recall,
        "seconds": seconds,
        "cpu": cpu,
        "clusters": len(np.unique(centres)),
        "cluster_seconds": in_all[0],
        "cluster_cpu": in_all[1],
    }
