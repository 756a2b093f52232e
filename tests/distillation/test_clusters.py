"""Clusters with a limit on chaining, what stays of them, and groups."""

import collections

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vit_sentiment.distillation import clusters
from vit_sentiment.distillation.clusters import by_hash, by_pairs, decide, stars
from vit_sentiment.distillation.grouping import joined_groups, normalised


def one_by_one(count, near):
    """In order: to the first centre that it is near to, or a centre itself."""
    centres, centre = [], []
    for number in range(count):
        of = next((c for c in centres if near(number, c)), number)
        if of == number:
            centres.append(number)
        centre.append(of)
    return centre


@settings(deadline=None)
@given(st.integers(1, 30), st.data())
def test_stars_are_what_going_through_the_photos_gives(count, data):
    number = st.integers(0, count - 1)
    drawn = data.draw(st.lists(st.tuples(number, number), max_size=80))
    pairs = [(i, j) for i, j in drawn if i != j]
    linked = set(pairs) | {(j, i) for i, j in pairs}
    ends = np.array(pairs, np.int64).reshape(-1, 2).T
    expected = one_by_one(count, lambda i, j: (i, j) in linked)
    assert stars(count, *ends).tolist() == expected


def test_a_chain_does_not_become_one_cluster():
    chain = np.arange(9)
    assert stars(10, chain, chain + 1).tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 127), st.integers(0, 3), st.booleans()), min_size=1, max_size=60
    ),
    st.integers(0, 3),
)
def test_flat_photos_cluster_only_when_identical(photos, distance):
    values, digests, flat = (np.array(column) for column in zip(*photos, strict=True))
    values, digests = values.astype(np.uint64), digests.astype(np.uint64)

    def near(i, j):
        if flat[i] or flat[j]:
            return flat[i] and flat[j] and digests[i] == digests[j]
        return int(values[i] ^ values[j]).bit_count() <= distance

    found = by_hash(values, digests, flat, distance)
    assert found.tolist() == one_by_one(len(photos), near)


def test_pairs_of_another_measure_cluster_like_hashes():
    digests = np.array([1, 2, 3, 4, 5, 2, 4, 8], np.uint64)
    flat = np.array([0, 0, 0, 1, 0, 0, 1, 0], np.bool_)
    first, second = np.array([0, 2, 3, 4]), np.array([5, 4, 7, 7])
    # 1 and 5 are the same file, so 0 is near to both; 3 is flat, so 7 is not near to it.
    assert by_pairs(first, second, digests, flat).tolist() == [0, 0, 2, 3, 2, 0, 3, 7]


def expected_kept(cluster, labels, rule):
    kept = set()
    for centre in set(cluster):
        members = [i for i, c in enumerate(cluster) if c == centre]
        counts = collections.Counter(labels[i] for i in members).most_common()
        if rule == "first" or len(counts) == 1:
            kept.add(members[0])
        elif rule == "majority" and counts[0][1] > counts[1][1]:
            kept.add(next(i for i in members if labels[i] == counts[0][0]))
    return kept


@pytest.mark.parametrize("rule", clusters.CONTRADICTIONS)
@settings(deadline=None)
@given(photos=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=25))
def test_one_photo_stays_or_none_where_labels_contradict(rule, photos):
    names, labels = (np.array(column) for column in zip(*photos, strict=True))
    cluster = clusters.first_equal(names)
    decision = decide(cluster, labels, names, rule)
    assert set(np.flatnonzero(decision.kept).tolist()) == expected_kept(
        cluster.tolist(), labels.tolist(), rule
    )
    for number, of in enumerate(decision.duplicate_of.tolist()):
        if of >= 0:
            assert cluster[of] == cluster[number]
            assert not decision.kept[number]
            assert decision.kept[of] or decision.reason[of] == clusters.CONTRADICTING


def test_reasons_say_why():
    cluster = np.array([0, 0, 0, 3, 4, 4, 6, 6])
    labels = np.array([0, 1, 1, 2, 0, 0, 1, 2])
    digests = np.array([1, 2, 2, 4, 5, 6, 7, 8], np.uint64)
    decision = decide(cluster, labels, digests, "majority")
    assert decision.reason.tolist() == [
        clusters.NEAR,
        clusters.MAJORITY,
        clusters.IDENTICAL,
        "",
        clusters.FIRST,
        clusters.NEAR,
        clusters.CONTRADICTING,
        clusters.CONTRADICTING,
    ]
    assert decision.duplicate_of.tolist() == [1, -1, 1, -1, -1, 4, -1, 6]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Good  Morning\nall", "good morning all"),
        ("good morning @Friend_1 https://t.co/aB3 all", "GOOD MORNING all"),
        ("fish &amp; chips www.a.b/c", "Fish & chips"),
        ("ﬁne pic.twitter.com/x", "fine"),
    ],
)
def test_texts_that_differ_in_dress_are_equal(text, same):
    assert normalised(text) == normalised(same) != ""


def test_texts_that_say_something_else_differ():
    texts = ["good morning", "good evening", "good morning!", "#good morning"]
    assert len({normalised(text) for text in texts}) == 4


def test_groups_join_by_tweet_by_text_and_by_cluster():
    table = pl.DataFrame(
        {
            "tweet": ["a", "a", "b", "c", "d", "e", "f"],
            "text": ["one", "one", "two", "THREE", "three @x", "@y", "https://t.co/z"],
        }
    )
    # b's photo duplicates a's second; c and d say the same; e and f say nothing.
    cluster = np.array([0, 1, 1, 3, 4, 5, 6])
    assert joined_groups(table, cluster).to_list() == ["a", "a", "a", "c", "c", "e", "f"]
    joined = np.array([0, 1, 1, 0, 4, 5, 6])
    assert joined_groups(table, joined).to_list() == ["a"] * 5 + ["e", "f"]
