"""How many photos of each class are left, and which."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from vit_sentiment.distillation.balance import balance
from vit_sentiment.runtime.errors import UserError


def photos(counts, seed=0):
    labels = np.repeat(np.arange(3, dtype=np.int32), counts)
    np.random.default_rng(seed).shuffle(labels)
    return pl.DataFrame({"id": np.arange(len(labels)), "teacher_label": labels})


def counted(table):
    return np.bincount(table["teacher_label"].to_numpy(), minlength=3).tolist()


some = st.lists(st.integers(1, 60), min_size=3, max_size=3)


@settings(deadline=None)
@given(some, st.integers(0, 2**32 - 1))
def test_to_the_smallest(counts, seed):
    table = photos(counts)
    found, dropped, weights = balance(table, "smallest", seed)
    assert counted(found) == [min(counts)] * 3
    assert list(dropped.values()) == [count - min(counts) for count in counts]
    assert list(dropped) == [
        f"{name} photos left out" for name in ("negative", "neutral", "positive")
    ]
    assert weights is None
    assert found["id"].is_sorted()
    assert found.unique("id").height == len(found)
    assert found.join(table, on=["id", "teacher_label"], how="semi").height == len(found)


@settings(deadline=None)
@given(some, st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any))
def test_the_largest_sample_with_given_shares(counts, shares):
    found = counted(balance(photos(counts), "/".join(map(str, shares)), 0)[0])
    assert all(n <= count for n, count in zip(found, counts, strict=True))
    assert any(n == count for n, count, share in zip(found, counts, shares, strict=True) if share)
    scale = min(count / share for count, share in zip(counts, shares, strict=True) if share)
    for n, share in zip(found, shares, strict=True):
        assert scale * share - 1 < n <= scale * share + 1e-9


def test_shares_may_be_fractions():
    assert counted(balance(photos([10, 30, 80]), "0.1/0.2/0.3", 0)[0]) == [10, 20, 30]
    assert counted(balance(photos([10, 0, 80]), "1/0/2", 0)[0]) == [10, 0, 20]


def test_the_sample_is_a_function_of_the_seed():
    table = photos([100, 300, 200])
    first, again, other = (balance(table, "smallest", seed)[0] for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_every_photo_is_as_likely_as_another():
    table = photos([100, 200, 400])
    times = np.zeros(700)
    for seed in range(400):
        times[balance(table, "smallest", seed)[0]["id"].to_numpy()] += 1
    shares = times / 400 / (100 / np.array([100, 200, 400]))[table["teacher_label"]]
    # Five standard deviations of a binomial share, at the smallest probability of 1/4.
    assert np.abs(shares - 1).max() < 5 * np.sqrt(0.75 / 0.25 / 400)


@settings(deadline=None)
@given(some)
def test_weights_are_scikit_learns(counts):
    table = photos(counts)
    found, dropped, weights = balance(table, "weighted", 0)
    expected = compute_class_weight(
        "balanced", classes=np.arange(3), y=table["teacher_label"].to_numpy()
    )
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert found.equals(table)
    assert not dropped


def test_none_leaves_all():
    table = photos([3, 0, 5])
    assert balance(table, "none", 0) == (table, {}, None)


@pytest.mark.parametrize(
    "how", ["", "largest", "1/1", "1/1/1/1", "1/-1/1", "0/0/0", "1/0/1/0", "1/x/1"]
)
def test_other_ways_are_one_line(how):
    with pytest.raises(
        UserError, match=r"^config.balance: expected none, smallest, .* found '"
    ) as error:
        balance(photos([1, 1, 1]), how, 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("how", ["smallest", "weighted", "1/2/1"])
def test_a_class_without_photos_is_told(how):
    with pytest.raises(UserError, match=f"config.balance={how}: no photo is labelled neutral"):
        balance(photos([3, 0, 5]), how, 0)
