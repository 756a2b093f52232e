"""All pairs of 64-bit values within a Hamming distance, complete and close to linear in time.

By the pigeonhole: of d + r blocks of the bits, two values at a distance of at most d agree in r, so
sorting by each choice of r blocks brings every pair together in one bucket of some choice (Norouzi,
Punjani and Fleet, 2012, do this for r = 1). What is left to compare is a bucket at a time, and a
bucket that is large, as values of little entropy make it, is searched in the same way by the bits
in which its values differ.
"""

import concurrent.futures
import dataclasses
import functools
import itertools
import math

import numpy as np
import scipy.stats

from input_pipeline.photos import cores
from vit_sentiment.runtime.progress import progress

Block = tuple[int, int]
"""Its lowest bit and how many bits it has."""

MOST_DISTANCE = 8
_BITS = 64
_LARGE = 1024
"""Values in a bucket from which on it is searched like the whole."""
_SORT = 20
"""What sorting a value costs, in comparisons; it decides between few choices and small buckets."""


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of different values, each once.

    Attributes:
      first: int64 [P], numbers of values.
      second: int64 [P], larger than those of `first`.
      distance: uint8 [P].
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray


def near_pairs(values: np.ndarray, distance: int, what: str = "near hashes") -> Pairs:
    """All pairs within `distance` of uint64 values [N] that are all different.

    Memory is a few times that of the values, and 17 bytes a pair found.

    Raises:
      ValueError: `distance` is not in 0..MOST_DISTANCE.
    """
    if not 0 <= distance <= MOST_DISTANCE:
        raise ValueError(f"distance: expected 0 to {MOST_DISTANCE}, found {distance}")
    values = np.ascontiguousarray(values, np.uint64)
    packed, choices = _plan(values, distance)
    if not choices:
        return _all(values, distance)
    search = functools.partial(_search, packed, choices, distance)
    with (
        progress(what, len(choices), "tables") as tick,
        concurrent.futures.ThreadPoolExecutor(min(cores(), len(choices))) as pool,
    ):
        found = []
        for pairs in pool.map(search, range(len(choices))):
            found.append(pairs)
            tick()
    return _joined(found)


def _joined(found: list[Pairs]) -> Pairs:
    if not found:
        nothing = np.empty(0, np.int64)
        return Pairs(nothing, nothing, nothing.astype(np.uint8))
    fields = (field.name for field in dataclasses.fields(Pairs))
    return Pairs(*(np.concatenate([getattr(pairs, name) for pairs in found]) for name in fields))


def _plan(values: np.ndarray, distance: int) -> tuple[np.ndarray, list[tuple[Block, ...]]]:
    """The bits in which values differ, dealt out to blocks, and the choices of blocks.

    Every block gets its share of the bits that tell most, and r is the cheapest for values that are
    spread as evenly as those bits allow. There is no choice where all pairs should be compared.
    """
    if len(values) <= _LARGE:
        return values, []
    ones = [np.mean(values >> np.uint64(bit) & np.uint64(1)) for bit in range(_BITS)]
    entropy = scipy.stats.entropy([ones, np.subtract(1, ones)], base=2)
    # Rounded, so that bits that tell as much stay in order and neighbours part.
    order = np.argsort(-entropy.round(1), kind="stable")
    bits = order[entropy[order] > 0].tolist()

    def cost(r: int) -> float:
        pairs = len(values) ** 2 / 2 ** (1 + entropy.sum() * r / (distance + r))
        return math.comb(distance + r, r) * (len(values) * _SORT + pairs)

    possible = {r: cost(r) for r in (2, 3) if distance + r <= len(bits)}
    r = min(possible, key=possible.get, default=0)
    if not r or possible[r] > len(values) ** 2 / 2:
        return values, []
    packed, blocks, place = np.zeros_like(values), [], 0
    for number in range(distance + r):
        own = bits[number :: distance + r]
        for offset, bit in enumerate(own):
            one = values >> np.uint64(bit) & np.uint64(1)
            packed |= one << np.uint64(place + offset)
        blocks.append((place, len(own)))
        place += len(own)
    return packed, list(itertools.combinations(blocks, r))


def _search(
    values: np.ndarray, choices: list[tuple[Block, ...]], distance: int, number: int
) -> Pairs:
    """The pairs that agree in the blocks of a choice, and of no choice before it."""
    key = np.zeros_like(values)
    for low, width in choices[number]:
        key = key << np.uint64(width) | values >> np.uint64(low) & np.uint64(2**width - 1)
    order = np.argsort(key)
    key = key[order]
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    del key
    sizes = np.diff(np.append(starts, len(values)))
    ordered = values[order]
    before = [_mask(choice) for choice in choices[:number]]

    def keep(pairs: Pairs) -> Pairs:
        differ = ordered[pairs.first] ^ ordered[pairs.second]
        new = np.ones(len(differ), np.bool_)
        for mask in before:
            new &= differ & mask != 0
        first, second = order[pairs.first[new]], order[pairs.second[new]]
        return Pairs(np.minimum(first, second), np.maximum(first, second), pairs.distance[new])

    large = sizes > _LARGE
    found = [keep(pairs) for pairs in _within(ordered, starts[~large], sizes[~large], distance)]
    for start, size in zip(starts[large], sizes[large], strict=True):
        pairs = _bucket(ordered[start : start + size], distance)
        found.append(keep(Pairs(pairs.first + start, pairs.second + start, pairs.distance)))
    return _joined(found)


def _mask(blocks: tuple[Block, ...]) -> np.uint64:
    return np.uint64(sum((2**width - 1) << low for low, width in blocks))


def _within(
    ordered: np.ndarray, starts: np.ndarray, sizes: np.ndarray, distance: int
) -> list[Pairs]:
    """Compares all with all in each bucket: all neighbours, then all next but one, and so on."""
    found = []
    starts, sizes = starts[sizes > 1], sizes[sizes > 1]
    # The values that have a next one, and how many values of their bucket come after them.
    after = np.repeat(np.cumsum(sizes), sizes) - np.arange(sizes.sum()) - 1
    places = np.repeat(starts + sizes, sizes) - after - 1
    step = 1
    while len(places := places[after >= step]):
        after = after[after >= step]
        apart = np.bitwise_count(ordered[places] ^ ordered[places + step])
        hit = apart <= distance
        found.append(Pairs(places[hit], places[hit] + step, apart[hit]))
        step += 1
    return found


def _all(values: np.ndarray, distance: int) -> Pairs:
    return _joined(_within(values, np.array([0]), np.array([len(values)]), distance))


def _bucket(values: np.ndarray, distance: int) -> Pairs:
    """All pairs of a large bucket, whose values differ in some of the bits alone."""
    packed, choices = _plan(values, distance)
    if not choices:
        return _all(values, distance)
    return _joined([_search(packed, choices, distance, n) for n in range(len(choices))])
