"""The crawler's rules, each on its own and all together."""

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vit_sentiment.distillation.crawl_filter import Rules, apply, words
from vit_sentiment.distillation.tables import PHOTOS, TWEETS

SIX = "one two three four @five https"
ROWS = [
    ("kept", SIX, "en", False),
    ("italian", SIX, "it", False),
    ("reply", SIX, "en", True),
    ("short", "one, two - three four: five!", "en", False),
    ("bare", SIX, "en", False),
    ("unsaid", "one-two three 4 https://five", None, None),
    ("textless", None, "en", False),
]


@pytest.fixture
def tweets():
    return pl.DataFrame(ROWS, schema=TWEETS, orient="row")


@pytest.fixture
def photos():
    tweets = ["unsaid", "kept", "italian", "kept", "reply", "short", "textless"]
    rows = [(f"p{n}", tweet, None, None, -1, "") for n, tweet in enumerate(tweets)]
    return pl.DataFrame(rows, schema=PHOTOS, orient="row")


def test_the_originals_rules(tweets, photos):
    kept, kept_photos, counts = apply(tweets, photos, Rules())
    assert kept.equals(tweets.filter(pl.col("tweet").is_in(["kept", "unsaid"])))
    assert kept_photos["id"].to_list() == ["p0", "p1", "p3"]
    assert list(counts.items()) == [
        ("not in en", 1),
        ("language unknown, kept", 1),
        ("retweets, quotes, replies", 1),
        ("references unknown, kept", 1),
        ("fewer than 6 words", 2),
        ("without a photo", 1),
    ]


@pytest.mark.parametrize(
    ("rules", "dropped"),
    [
        ({"language": "it"}, {"kept", "reply", "short", "bare", "textless"}),
        ({"references": False}, {"reply"}),
        ({"min_words": 1}, {"textless"}),
        ({"min_words": 7}, {name for name, *_ in ROWS}),
        ({"photos": True}, {"bare"}),
        ({}, set()),
    ],
)
def test_each_rule_can_be_alone(tweets, photos, rules, dropped):
    off = {"language": "", "references": True, "min_words": 0, "photos": False}
    kept, kept_photos, counts = apply(tweets, photos, Rules(**off | rules))
    assert set(tweets["tweet"]) - set(kept["tweet"]) == dropped
    assert set(photos["tweet"]) - set(kept_photos["tweet"]) == dropped - {"bare"}
    assert sum(n for name, n in counts.items() if not name.endswith("kept")) == len(dropped)


@settings(deadline=None)
@given(st.lists(st.text() | st.text("aé_٣²½\u093f\u0300\u200d 'Ⅷ漢🙂", max_size=12)))
def test_words_are_those_of_pythons_re(texts):
    """Combining marks, digits beyond ten and joiners are where polars' own `\\w` differs."""
    table = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    found = table.select(words(pl.col("text"))).to_series().to_list()
    assert found == [len(re.findall(r"\w+", text)) for text in texts]
