"""Cleaning texts up as the original does, and tables that stand in for a teacher."""

import json

import polars as pl
import pytest

from input_pipeline.problems import Problems
from vit_sentiment.distillation import hub, teachers
from vit_sentiment.runtime.errors import UserError


def test_clean_up_is_the_originals(golden):
    lines = (golden / "roberta/expected.jsonl").read_text().splitlines()
    for tweet in map(json.loads, lines):
        assert teachers.clean_up(tweet["text"]) == tweet["preprocessed"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@a  b @ @@", "@user  b @ @user"),
        ("https://t.co/x\nmore httpfoo", "http http"),
        ("a\n@b .@c (http://d", "a\n@b .@c (http://d"),
        ("HTTP://X &amp; ", "HTTP://X &amp; "),
        ("", ""),
    ],
)
def test_tokens_lie_between_single_blanks(text, expected):
    assert teachers.clean_up(text) == expected


ROWS = {"id": ["7", "8"], "NEG": [0.25, 0.0], "NEU": [0.25, 0.1], "POS": [0.5, 0.9]}


def write(path, table):
    if path.suffix == ".parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path, separator="," if path.suffix == ".csv" else "\t")
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("id_", ["id", "TWID"])
def test_a_table_stands_in_for_a_teacher(tmp_path, suffix, id_):
    path = write(tmp_path / f"t.{suffix}", pl.DataFrame(ROWS).rename({"id": id_}))
    labels = teachers.read_labels(path, Problems("fail"))
    assert labels.rows() == [("7", 0.25, 0.25, 0.5), ("8", 0.0, 0.1, 0.9)]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("9,-1,-1,-1", "expected probabilities, found -1, -1, -1"),
        ("9,0.5,0.5,0.5", "expected probabilities"),
        ("9,nan,0.5,0.5", "expected probabilities"),
        ("9,0.5,,0.5", "expected probabilities"),
        ("8,1,0,0", "listed twice"),
    ],
)
def test_rows_that_are_no_probabilities_are_problems(tmp_path, row, problem):
    path = write(tmp_path / "t.csv", pl.DataFrame(ROWS))
    path.write_text(path.read_text() + row + "\n")
    problems = Problems("skip")
    assert teachers.read_labels(path, problems)["id"].to_list() == ["7", "8"]
    ((where, id_, text),) = problems.rows
    assert (where, id_) == (f"{path}:4", row[0])
    assert text.startswith(problem)


@pytest.mark.parametrize("column", ["id", "NEG", "NEU", "POS"])
def test_a_missing_column_is_named(tmp_path, column):
    path = write(tmp_path / "t.csv", pl.DataFrame(ROWS).rename({column: "x"}))
    with pytest.raises(UserError, match=rf"t\.csv: no column '{column}'; found: .*\bx\b"):
        teachers.read_labels(path, Problems("skip"))


def test_a_folder_without_shards_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no \.parquet file"):
        teachers.read_labels(tmp_path, Problems("skip"))


def test_a_name_that_is_none_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no such folder, nor the name of a model"):
        hub.locate(str(tmp_path / "nowhere"))


def snapshot(monkeypatch, answer):
    asked = {}

    def download(repository, **options):
        asked.update(options, repository=repository)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return asked


def test_a_name_of_the_hub_is_fetched(monkeypatch, golden):
    asked = snapshot(monkeypatch, golden / "roberta")
    assert hub.locate("some/model@refs/pr/4") == golden / "roberta"
    assert (asked["repository"], asked["revision"]) == ("some/model", "refs/pr/4")
    assert not [pattern for pattern in asked["allow_patterns"] if pattern.endswith((".bin", "*"))]


def test_a_failed_fetch_is_one_line(monkeypatch):
    snapshot(monkeypatch, ConnectionError("no route\nto the host"))
    with pytest.raises(UserError, match=r"some/model: cannot be fetched \(no route\)") as caught:
        hub.locate("some/model")
    assert "\n" not in str(caught.value)


def test_a_name_with_pickled_weights_alone_is_told_how_to_convert(monkeypatch, tmp_path):
    snapshot(monkeypatch, tmp_path)
    with pytest.raises(UserError, match=r"pickled weights are never loaded; .*from_pretrained"):
        hub.locate("some/model")
