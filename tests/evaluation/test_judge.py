"""What is scored, beside what, and how predictions are written."""

import csv

import numpy as np
import polars as pl
import pytest

from input_pipeline.sources import Source
from vit_sentiment.evaluation import judge
from vit_sentiment.runtime.errors import UserError

CLASSES = ("negative", "neutral", "positive")
HUMAN = [0, 1, 2, -1, 2, 0]
TEACHER = [0, 2, 2, 1, -1, 1]
PROBS = np.eye(3, dtype=np.float32)[[0, 1, 1, 0, 2, 2]] * 0.5 + np.float32(1 / 6)


def source(human=HUMAN, teacher=TEACHER):
    index = pl.DataFrame(
        {
            "id": [f"t{n}-0" for n in range(6)],
            "group": ["a", "a", "b", "c", "d", "e"],
            "teacher_label": teacher,
            "human_label": human,
        }
    )
    return Source("tweets", "test", CLASSES, [None] * 6, index)


def predicted(*unreadable):
    readable = np.ones(6, bool)
    readable[list(unreadable)] = False
    return judge.Predictions(PROBS, readable)


def test_rows_without_a_label_or_a_readable_photo_are_not_scored():
    result = judge.judge(source(), predicted(5), "human_label")
    assert (result["scored"], result["unlabelled"], result["unreadable"]) == (4, 1, 1)
    assert result["model"]["accuracy"] == 3 / 4
    assert result["model"]["confusion_matrix"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]


def test_the_teacher_is_scored_on_the_rows_that_both_label():
    teacher = judge.judge(source(), predicted(5), "human_label")["teacher"]
    assert teacher["rows"] == 3
    assert teacher["accuracy"] == pytest.approx(2 / 3)
    assert teacher["confusion_matrix"] == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_there_is_no_teacher_beside_teacher_labels_or_where_there_is_none():
    assert judge.judge(source(), predicted(), "teacher_label")["teacher"] is None
    assert judge.judge(source(teacher=[-1] * 6), predicted(), "human_label")["teacher"] is None


def test_nothing_to_score_is_an_error():
    with pytest.raises(UserError, match="tweets, split test: no readable row has a human_label"):
        judge.judge(source(human=[-1] * 6), predicted(), "human_label")


def test_leaked_groups_are_counted_once():
    trained = source().group_hashes()
    assert judge.leaked_groups(trained, source()) == 5
    assert judge.leaked_groups(trained[:2], source()) == 2
    assert judge.leaked_groups(np.empty(0, np.uint64), source()) == 0


def test_the_default_label_is_the_human_one_where_there_are_any():
    assert judge.default_label(source()) == "human_label"
    assert judge.default_label(source(human=[-1] * 6)) == "teacher_label"


def test_leaks_are_warned_of_and_so_is_a_missing_list(tmp_path):
    file = tmp_path / "training_groups.npy"
    (missing,) = judge.leak_warnings(file, source(), "so what")
    assert missing.startswith(f"{file} is missing")
    np.save(file, source().group_hashes()[:2])
    (warning,) = judge.leak_warnings(file, source(), "so what")
    assert warning == "2 of 5 groups (tweets) were in the training data; so what"
    np.save(file, np.empty(0, np.uint64))
    assert judge.leak_warnings(file, source(), "so what") == []


def test_predictions_have_a_row_for_each_photo_in_order(tmp_path):
    judge.write_predictions(tmp_path / "out.csv", source(), predicted(3))
    with open(tmp_path / "out.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "NEG", "NEU", "POS", "label", "error"]
    assert [row[0] for row in rows] == [f"t{n}-0" for n in range(6)]
    assert rows[3] == ["t3-0", "", "", "", "", "unreadable"]
    for number in (0, 1, 2, 4, 5):
        written = np.array([float(text) for text in rows[number][1:4]], np.float32)
        np.testing.assert_array_equal(written, PROBS[number])
        assert rows[number][4:] == [CLASSES[PROBS[number].argmax()], ""]
