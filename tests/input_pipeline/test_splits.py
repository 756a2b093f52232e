"""Splits: shares, strata, and no tweet in two parts; merging what has parts."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from input_pipeline.splits import merge, split_groups, split_rows
from vit_sentiment.runtime.errors import UserError

PARTS = {"train": 0.8, "validation": 0.1, "test": 0.1}


def table(tweets=1000):
    """One to four photos a tweet; half of the tweets are neutral, a fifth negative."""
    rows = [
        (f"t{n}-{k}", f"t{n}", [0, 0, 1, 1, 1, 1, 1, 2, 2, 2][n % 10])
        for n in range(tweets)
        for k in range(1 + n % 4)
    ]
    return pl.DataFrame(rows, schema=["id", "tweet", "label"], orient="row")


def split(rows, seed=0):
    return split_groups(rows, "tweet", "label", seed)


def test_every_photo_is_in_one_part_and_every_tweet_too():
    rows = table()
    parts = split(rows)
    assert list(parts) == list(PARTS)
    assert sorted(pl.concat(parts.values())["id"]) == sorted(rows["id"])
    tweets = [set(part["tweet"]) for part in parts.values()]
    assert sum(map(len, tweets)) == len(set.union(*tweets)) == 1000


def test_shares_of_tweets_are_the_originals_in_each_class():
    for name, part in split(table()).items():
        tweets = part.unique("tweet")
        assert len(tweets) == 1000 * PARTS[name]
        counts = dict(tweets.group_by("label").len().rows())
        assert counts == {c: round(1000 * PARTS[name] * s) for c, s in enumerate((0.2, 0.5, 0.3))}


def test_rows_keep_their_order():
    rows = table()
    place = {id_: number for number, id_ in enumerate(rows["id"])}
    for part in split(rows).values():
        numbers = [place[id_] for id_ in part["id"]]
        assert numbers == sorted(numbers)


def test_the_split_is_a_function_of_the_seed():
    rows = table()
    first, again, other = split(rows, 3), split(rows, 3), split(rows, 4)
    assert all(first[name].equals(again[name]) for name in PARTS)
    assert not first["test"].equals(other["test"])


def test_too_few_tweets_of_a_label_are_told_in_one_line():
    rows = pl.DataFrame({"id": list("abcd"), "tweet": list("abcd"), "label": [0, 1, 1, 1]})
    with pytest.raises(UserError, match="cannot split 4 tweets") as error:
        split(rows)
    assert "\n" not in str(error.value)
    assert "np." not in str(error.value)


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(60, 400),
    st.sampled_from([PARTS, {"train": 5, "validation": 2, "test": 3}, {"train": 0.9, "test": 0.1}]),
)
def test_any_table_any_shares(seed, count, shares):
    """Groups of any size whose rows lie scattered, and whose labels may differ."""
    generator = np.random.default_rng(seed)
    groups = generator.permutation(np.arange(count) % (count // 2))
    labels = generator.integers(0, 3, count)
    labels[np.unique(groups, return_index=True)[1][:30]] = np.repeat(np.arange(3), 10)
    rows = pl.DataFrame({"id": np.arange(count), "tweet": groups, "label": labels})
    parts = split_groups(rows, "tweet", "label", seed, shares)
    assert list(parts) == list(shares)
    assert pl.concat(parts.values()).sort("id").equals(rows)
    for one, other in itertools.combinations(parts.values(), 2):
        assert not set(one["tweet"]) & set(other["tweet"])
    total = sum(shares.values())
    strata = rows.unique("tweet", keep="first", maintain_order=True)
    for name, part in parts.items():
        assert part["id"].is_sorted()
        for label in range(3):
            of_label = strata.filter(pl.col("label") == label)["tweet"]
            found = of_label.is_in(part["tweet"].implode()).sum()
            # Each of the two draws rounds.
            assert abs(found - len(of_label) * shares[name] / total) <= 2


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_drawn_by_the_originals_two_calls(seed):
    """So a seed gives the parts that it always gave."""
    rows = table()
    tweets = rows.unique("tweet", keep="first", maintain_order=True)
    names, labels = tweets["tweet"].to_numpy(), tweets["label"].to_numpy()
    rest = 0.1 + 0.1
    train, held_out, _, strata = train_test_split(
        names, labels, test_size=rest, random_state=seed, stratify=labels
    )
    validation, test = train_test_split(
        held_out, test_size=0.1 / rest, random_state=seed, stratify=strata
    )
    expected = {"train": train, "validation": validation, "test": test}
    for part, found in split(rows, seed).items():
        assert set(found["tweet"]) == set(expected[part])


def test_names_of_groups_do_not_matter():
    rows = table()
    new = dict(zip([f"t{n}" for n in range(1000)], map(str, range(2000, 1000, -1)), strict=True))
    renamed = rows.with_columns(pl.col("tweet").replace(new))
    for part, other in zip(split(rows).values(), split(renamed).values(), strict=True):
        assert part["id"].to_list() == other["id"].to_list()


def test_a_part_without_a_share_is_left_out():
    parts = split_groups(table(), "tweet", "label", 0, {"train": 1, "validation": 0, "test": 0})
    assert list(parts) == ["train"]
    assert parts["train"].equals(table())


@pytest.mark.parametrize("shares", [{"train": 1, "test": -1}, {"train": 0}, {"train": np.nan}])
def test_shares_that_are_none_are_told(shares):
    with pytest.raises(UserError, match="shares of the parts: expected numbers from 0, found"):
        split_rows(table(), "label", 0, shares)


def source(**parts):
    """Parts of rows `id:group:cluster`; `label` is the source's own."""
    return {
        part: pl.DataFrame(
            [row.split(":") for row in rows.split()],
            schema=["id", "group", "cluster"],
            orient="row",
        )
        for part, rows in parts.items()
    }


def ids(parts):
    return {part: " ".join(rows["id"]) for part, rows in parts.items()}


def test_sources_without_anything_in_common_keep_their_parts():
    new = source(train="a:1:x b:1:y", validation="c:2:z", test="d:3:w")
    old = source(train="e:4:v", test="f:5:u")
    assert ids(merge([new, old])) == {"train": "a b e", "validation": "c", "test": "d f"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_a_source_holds_out_is_not_trained_on(order):
    """`a` by its id, `b` by its tweet, `c` by the tweet of what is `a`, too."""
    sources = [
        source(train="a:1:x b:2:y c:1:z d:3:w", validation="e:4:v", test="f:5:u"),
        source(train="g:5:t h:6:w", validation="i:2:r j:5:s", test="a:1:q"),
    ]
    merged = merge([sources[number] for number in order])
    found = {part: set(rows["id"]) for part, rows in merged.items()}
    assert found == {"train": set("dh"), "validation": set("bei"), "test": set("acfgj")}
    # The row of a test part is the one that was there.
    assert merged["test"].filter(id="a")["cluster"].to_list() == ["q"]


def test_clusters_are_kept_together_on_demand():
    """By way of others: `a` and `b` by a tweet, `b` and `c` by a cluster, which is in the test."""
    new = source(train="a:1:x b:1:y d:3:w", test="e:4:v")
    old = source(train="f:5:w", test="c:2:y")
    assert ids(merge([new, old])) == {"train": "a b d f", "validation": "", "test": "e c"}
    assert ids(merge([new, old], ["group", "cluster"])) == {
        "train": "d f", "validation": "", "test": "a b e c"
    }  # fmt: skip


letters = st.sampled_from("abcdefgh")
rows = st.lists(st.tuples(letters, letters, letters), max_size=6).map(
    lambda found: " ".join(map(":".join, found))
)


@settings(deadline=None)
@given(st.lists(st.tuples(rows, rows, rows), min_size=1, max_size=3), st.booleans())
def test_merged_parts_share_nothing_and_lose_nothing(sources, by_cluster):
    keys = ["id", "group", "cluster"] if by_cluster else ["id", "group"]
    tables = [source(**dict(zip(PARTS, parts, strict=True))) for parts in sources]
    tables = [{p: t.cast(pl.String) for p, t in parts.items()} for parts in tables]
    merged = merge(tables, keys[1:])
    for key in keys:
        for one, other in itertools.combinations(merged.values(), 2):
            assert not set(one[key]) & set(other[key])
    found = pl.concat(merged.values())
    given_rows = pl.concat([t for parts in tables for t in parts.values()])
    assert found["id"].is_unique().all()
    assert set(found["id"]) == set(given_rows["id"])
    assert set(found.rows()) <= set(given_rows.rows())
    # A source's test part is in the test.
    for parts in tables:
        assert set(parts["test"]["id"]) <= set(merged["test"]["id"])
        assert not set(parts["validation"]["id"]) & set(merged["train"]["id"])
