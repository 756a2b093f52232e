"""Labels by argmax and strict thresholds, and what becomes of photos."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vit_sentiment.distillation.tables import PHOTOS
from vit_sentiment.distillation.thresholds import keep, label, label_photos, parse
from vit_sentiment.runtime.errors import UserError

COLUMNS = ["NEG", "NEU", "POS"]


def table(rows, kind=pl.Float64):
    ids = [f"t{n}" for n in range(len(rows))]
    columns = {
        name: pl.Series([row[i] for row in rows], dtype=kind) for i, name in enumerate(COLUMNS)
    }
    return pl.DataFrame({"id": pl.Series(ids, dtype=pl.String)} | columns)


@pytest.mark.parametrize(
    ("text", "thresholds"),
    [
        ("none", (0, 0, 0)),
        ("0.70", (0.7, 0.7, 0.7)),
        (".5", (0.5, 0.5, 0.5)),
        ("0.70/0.90/0.90", (0.7, 0.9, 0.9)),
        ("0/0/0.5", (0, 0, 0.5)),
    ],
)
def test_thresholds_are_read(text, thresholds):
    assert parse(text) == thresholds


@pytest.mark.parametrize(
    "text", ["", "high", "1", "0.7/0.9", "-0.1", "nan", "0.7/0.9/1.0", "0.7,0.9,0.9", "1/2/3/4"]
)
def test_other_thresholds_are_one_line(text):
    with pytest.raises(UserError, match=r"^config.thresholds: expected none, .* found '") as error:
        parse(text)
    assert "\n" not in str(error.value)


def test_equal_probabilities_go_to_the_first():
    rows = [
        (0.4, 0.4, 0.2),
        (0.2, 0.4, 0.4),
        (0.4, 0.2, 0.4),
        (1 / 3, 1 / 3, 1 / 3),
        (0.3, 0.3, 0.4),
    ]
    assert label(table(rows))["teacher_label"].to_list() == [0, 1, 0, 0, 2]


def test_rows_that_are_no_probabilities_have_no_label():
    nan = float("nan")
    rows = [(-1, -1, -1), (nan, 0.5, 0.5), (None, 0.5, 0.5), (0.5, 0.5, 0.5), (2, -1, 0), (0, 0, 0)]
    labelled = label(table([*rows, (0.702, 0.202, 0.101)]))
    assert labelled["teacher_label"].to_list() == [-1] * 6 + [0]
    assert keep(labelled, (0.0, 0.0, 0.0)).to_list() == [False] * 6 + [True]


probabilities = st.tuples(*[st.floats(0.01, 1)] * 3).map(lambda p: tuple(x / sum(p) for x in p))


@settings(deadline=None)
@given(st.lists(probabilities), st.tuples(*[st.floats(0, 0.99)] * 3), st.sampled_from([32, 64]))
def test_what_is_kept_is_above_the_threshold_of_its_class(rows, thresholds, bits):
    """Against numpy, in the column's precision."""
    kind = np.dtype(f"float{bits}")
    probs = np.array(rows, kind).reshape(-1, 3)
    labelled = label(table(rows, pl.Float32 if bits == 32 else pl.Float64))
    best = probs.argmax(axis=1)
    assert labelled["teacher_label"].to_list() == best.tolist()
    assert labelled.schema["teacher_label"] == pl.Int32
    expected = probs.max(axis=1, initial=0) > np.array(thresholds, kind)[best]
    assert keep(labelled, thresholds).to_list() == expected.tolist()


@pytest.mark.parametrize("kind", [pl.Float32, pl.Float64])
@pytest.mark.parametrize("limit", [0.6, 0.7, 0.9])
def test_a_probability_that_is_the_threshold_is_not_above_it(kind, limit):
    labelled = label(table([(limit, 1 - limit, 0), (limit + 1e-6, 1 - limit, 0)], kind))
    assert keep(labelled, (limit,) * 3).to_list() == [False, True]


def test_a_table_of_whole_numbers_is_compared_too():
    assert keep(label(table([(0, 1, 0)], pl.Int64)), (0.9, 0.9, 0.9)).to_list() == [True]


def test_a_tweets_label_goes_to_all_its_photos():
    rows = [
        (0.8, 0.1, 0.1),
        (0.1, 0.8, 0.1),
        (-1, -1, -1),
        (0.05, 0.05, 0.9),
        (0.1, 0.91 - 0.1, 0.09),
    ]
    tweets = ["t3", "t0", "t9", "t1", "t0", "t2", "t9", "t2"]
    photos = pl.DataFrame(
        [(f"p{n}", tweet, None, None, -1, f"line {n}") for n, tweet in enumerate(tweets)],
        schema=PHOTOS,
        orient="row",
    )
    found, counts = label_photos(photos, label(table(rows)), (0.7, 0.9, 0.5))
    assert found.columns == [*PHOTOS, *COLUMNS, "teacher_label"]
    assert found.select(list(PHOTOS)).equals(photos[[0, 1, 4]])
    assert found["teacher_label"].to_list() == [2, 0, 0]
    assert found.select(COLUMNS).rows() == [rows[3], rows[0], rows[0]]
    assert list(counts.items()) == [
        ("tweets without a teacher row", 1),
        ("tweets the teacher failed on", 1),
        ("negative tweets not above 0.7", 0),
        ("neutral tweets not above 0.9", 1),  # t4 has no photo.
        ("positive tweets not above 0.5", 0),
        ("photos labelled negative", 2),
        ("photos labelled neutral", 0),
        ("photos labelled positive", 1),
    ]
