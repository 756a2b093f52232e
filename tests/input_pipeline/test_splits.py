"""Splits: shares, strata, and no tweet in two parts."""

import polars as pl
import pytest

from input_pipeline.splits import split_groups
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
