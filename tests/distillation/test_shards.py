"""Shards of a teacher's labels: what is in them, and that no kill shows."""

import os
import pathlib
import signal
import subprocess
import sys

import labelling
import numpy as np
import polars as pl
import pytest

from input_pipeline.problems import Problems
from vit_sentiment.distillation import shards, teachers, vader
from vit_sentiment.runtime.errors import UserError

IDS, TEXTS, ROWS = labelling.IDS, labelling.TEXTS, labelling.ROWS


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def label(folder, *, ids=IDS, texts=TEXTS, sharpness=10.0, rows=ROWS):
    return shards.label(folder, ids, texts, teachers.vader_teacher(sharpness), rows)


def expected(texts):
    return vader.probabilities(vader.compound_scores(texts))


@pytest.fixture
def folder(tmp_path):
    label(tmp_path / "teacher")
    return tmp_path / "teacher"


def process(folder, *where):
    return subprocess.run(
        [sys.executable, labelling.__file__, folder, *where],
        env=os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )


def test_what_is_in_them(folder):
    files = sorted(folder.glob("*.parquet"))
    assert [file.name for file in files] == [f"labels-0000{n}-of-00007.parquet" for n in range(7)]
    tables = [pl.read_parquet(file) for file in files]
    assert [len(table) for table in tables] == [6] * 6 + [4]
    together = pl.concat(tables)
    assert together.columns == ["id", "NEG", "NEU", "POS"]
    assert together["id"].to_list() == IDS
    np.testing.assert_array_equal(together.select("NEG", "NEU", "POS").to_numpy(), expected(TEXTS))


@pytest.mark.parametrize(
    "kills", [["before:0"], ["within:0", "after:3"], ["before:5", "within:6"]], ids="-".join
)
def test_bytes_do_not_depend_on_where_a_kill_fell(folder, tmp_path, kills):
    killed = tmp_path / "killed"
    for where in kills:
        done = process(killed, where)
        assert done.returncode == -signal.SIGKILL, done.stderr
        number = int(where.partition(":")[2])
        assert len(list(killed.glob("[!.]*.parquet"))) == number
    np.testing.assert_array_equal(label(killed), expected(TEXTS))
    assert contents(killed) == contents(folder)


def test_finished_shards_are_not_labelled_again(folder):
    def label_nothing(parts, tick):
        assert [*parts] == []
        return iter(())

    teacher = teachers.Teacher(teachers.vader_teacher().facts, label_nothing)
    found = shards.label(folder, IDS, TEXTS, teacher, ROWS)
    np.testing.assert_array_equal(found, expected(TEXTS))


def test_a_damaged_shard_is_labelled_again(folder, capsys):
    before = contents(folder)
    first, second, *_ = sorted(folder.glob("*.parquet"))
    first.write_bytes(first.read_bytes()[:100])
    second.write_bytes(before["labels-00004-of-00007.parquet"])
    label(folder)
    assert contents(folder) == before
    assert capsys.readouterr().err.count("it is made again") == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sharpness": 5.0}, r"its shards have sharpness 10\.0, this run 5\.0"),
        ({"rows": 7}, "its shards have rows 6, this run 7"),
        ({"texts": ["x", *TEXTS[1:]]}, "its shards have sha256"),
        ({"ids": ["x", *IDS[1:]]}, "its shards have sha256"),
        ({"ids": IDS[1:], "texts": TEXTS[1:]}, "its shards have texts 40, this run 39"),
    ],
)
def test_shards_of_something_else_are_refused(folder, change, words):
    before = contents(folder)
    with pytest.raises(UserError, match=rf"teacher\.json: {words}.*remove {folder}"):
        label(folder, **change)
    assert contents(folder) == before


def test_shards_of_another_teacher_are_refused(folder):
    other = teachers.Teacher({"teacher": "roberta", "model_id": "a"}, None)
    with pytest.raises(UserError, match="shards have teacher 'vader', this run 'roberta'"):
        shards.label(folder, IDS, TEXTS, other, ROWS)


def test_shards_without_a_manifest_are_refused(folder):
    (folder / "teacher.json").unlink()
    with pytest.raises(UserError, match=r"has shards but no teacher\.json"):
        label(folder)


def test_a_teacher_that_gives_nan_is_an_error(tmp_path):
    def label_nan(parts, tick):
        for texts in parts:
            yield np.full((len(texts), 3), np.nan, np.float32)

    with pytest.raises(UserError, match="NaN for 6 texts"):
        shards.label(tmp_path, IDS, TEXTS, teachers.Teacher({}, label_nan), ROWS)
    assert not list(tmp_path.glob("*.parquet"))


def test_texts_are_cleaned_up_first(tmp_path):
    texts = ["@happy_great no", "see http://love.example/?! now"]
    found = label(tmp_path, ids=["1", "2"], texts=texts)
    np.testing.assert_array_equal(found, expected(["@user no", "see http now"]))


def test_no_texts_have_no_labels(tmp_path):
    assert label(tmp_path, ids=[], texts=[]).shape == (0, 3)


def test_a_folder_of_shards_is_a_table_of_labels(folder):
    problems = Problems("fail")
    labels = teachers.read_labels(folder, problems)
    assert labels["id"].to_list() == IDS
    found = labels.select("NEG", "NEU", "POS").to_numpy().astype(np.float32)
    np.testing.assert_array_equal(found, expected(TEXTS))
