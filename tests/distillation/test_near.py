"""All near pairs, against comparing all with all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vit_sentiment.distillation import near
from vit_sentiment.distillation.near import MOST_DISTANCE, near_pairs


def all_with_all(values, distance):
    apart = np.bitwise_count(values[:, None] ^ values)
    first, second = np.nonzero(np.triu(apart <= distance, 1))
    return {(int(i), int(j), int(apart[i, j])) for i, j in zip(first, second, strict=True)}


def found(values, distance):
    pairs = near_pairs(values, distance)
    rows = list(
        zip(*(x.tolist() for x in (pairs.first, pairs.second, pairs.distance)), strict=True)
    )
    assert len(rows) == len(set(rows))
    return set(rows)


def planted(rng, values, most):
    """Copies of values in which up to `most` bits are flipped."""
    values = values.copy()
    for _ in range(most):
        values ^= np.uint64(1) << rng.integers(0, 64, len(values), dtype=np.uint64)
    return values


def spread(rng, count):
    values = rng.integers(0, 2**64, count, dtype=np.uint64)
    return np.unique(np.concatenate([values, planted(rng, values[: count // 3], 5)]))


def little_entropy(rng, count):
    """Few bits vary, and those together."""
    places = rng.choice(64, 12, replace=False).astype(np.uint64)
    values = np.bitwise_or.reduce(
        rng.integers(0, 2, (count, 12), dtype=np.uint64) << places, axis=1
    )
    return np.unique(np.concatenate([values, planted(rng, values[: count // 8], 2)]))


def few_centres(rng, count):
    """Crowded around few values."""
    centres = rng.integers(0, 2**64, 3, dtype=np.uint64)
    return np.unique(planted(rng, centres[rng.integers(0, 3, count)], 4))


def search_buckets_from(size, monkeypatch):
    monkeypatch.setattr(near, "_LARGE", size)
    monkeypatch.setattr(near, "_SORT", 0)  # However little it gains.


@pytest.fixture(params=[100, 1024])
def large(request, monkeypatch):
    """How large a bucket must be to be searched like the whole."""
    search_buckets_from(request.param, monkeypatch)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("make", [spread, little_entropy, few_centres])
@pytest.mark.parametrize("distance", [0, 1, 3])
def test_every_near_pair_is_found_once(make, distance):
    rng = np.random.default_rng(distance)
    values = rng.permutation(make(rng, 1500))
    assert len(values) > 1024
    assert found(values, distance) == all_with_all(values, distance)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 4),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 63), min_size=1, max_size=10, unique=True),
    st.integers(8, 30),
)
def test_any_bits_any_distance_any_bucket(distance, seed, bits, large):
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, 2, (80, len(bits)), dtype=np.uint64) << np.array(bits, np.uint64)
    values = np.unique(planted(rng, np.bitwise_or.reduce(chosen, axis=1), 2))
    with pytest.MonkeyPatch.context() as patch:
        search_buckets_from(large, patch)
        assert found(values, distance) == all_with_all(values, distance)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_values(count):
    values = np.array([2**64 - 1, 2**63 - 1], np.uint64)[:count]
    assert found(values, 1) == ({(0, 1, 1)} if count == 2 else set())


@pytest.mark.parametrize("distance", [-1, MOST_DISTANCE + 1])
def test_a_distance_beyond_reason_is_refused(distance):
    with pytest.raises(ValueError, match=f"found {distance}"):
        near_pairs(np.arange(3, dtype=np.uint64), distance)


def test_the_largest_distance():
    values = spread(np.random.default_rng(0), 1500)
    assert found(values, MOST_DISTANCE) == all_with_all(values, MOST_DISTANCE)


def test_a_large_crowd_of_values_costs_few_comparisons(monkeypatch):
    """Values of 16 varying bits: all against all would be 200 million comparisons."""
    compared = []
    within = near._within

    def counting(ordered, starts, sizes, distance):
        compared.append(int(np.sum(sizes * (sizes - 1) // 2)))
        return within(ordered, starts, sizes, distance)

    monkeypatch.setattr(near, "_within", counting)
    values = np.random.default_rng(0).choice(2**16, 20_000, replace=False).astype(np.uint64)
    pairs = near_pairs(values << np.uint64(40), 3)
    assert sum(compared) < 20_000**2 / 2 / 5
    degrees = np.bincount(np.concatenate([pairs.first, pairs.second]), minlength=len(values))
    some = np.arange(0, 20_000, 2000)
    expected = np.bitwise_count(values[some, None] ^ values) <= 3
    np.testing.assert_array_equal(degrees[some], expected.sum(axis=1) - 1)
