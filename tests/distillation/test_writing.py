"""Shards written in parallel: read back, the same bytes whoever wrote them, and after a kill."""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
import written
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_datasets.proto import tf_example_pb2

from input_pipeline import dataset_files, pixels
from input_pipeline.distilled_tweets.distilled_tweets_dataset_builder import DistilledTweets
from input_pipeline.problems import Problems
from input_pipeline.records import Record
from input_pipeline.sources import open_source
from vit_sentiment.distillation import writing
from vit_sentiment.distillation.completing import LOST
from vit_sentiment.distillation.tables import PhotoFiles
from vit_sentiment.distillation.writing import Settings, write
from vit_sentiment.runtime.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
SMALL = Settings(short_side=32, shard_photos=8, workers=1)
DATASET = pathlib.Path("distilled_tweets") / "1.0.0"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    parts, files = written.make(folder / "photos")
    counts = write(parts, files, folder / "out", SMALL)
    return parts, files, folder / "out", counts


def test_records_read_back_as_they_were_given(tmp_path):
    parts, files = written.make(tmp_path / "photos", 20)
    write(parts, files, tmp_path / "out", Settings(shard_photos=5, workers=1))
    for split, rows in parts.items():
        source = open_source(str(tmp_path / "out"), split)
        assert source.index["id"].to_list() == rows["id"].to_list()
        for row, record in zip(rows.iter_rows(named=True), source.records(), strict=True):
            data = files.read(row["number"])
            assert record.image == data
            expected = {name: row[name] for name in ("id", "group", "teacher_label", "human_label")}
            assert {name: getattr(record, name) for name in expected} == expected
            probs = np.array([row["NEG"], row["NEU"], row["POS"]], np.float32)
            np.testing.assert_array_equal(record.teacher_probs, probs)
            (noted,) = source.index.filter(id=row["id"]).iter_rows(named=True)
            assert noted["sha256"] == hashlib.sha256(data).hexdigest()
            assert noted["teacher_probs_sha256"] == hashlib.sha256(probs.tobytes()).hexdigest()


def test_tfds_counts_what_was_written(made):
    parts, _, out, counts = made
    assert counts == {"train": 32, "validation": 4, "test": 4, LOST: 0}
    info = json.loads((out / DATASET / "dataset_info.json").read_text())
    lengths = {split["name"]: split["shardLengths"] for split in info["splits"]}
    assert lengths == {"train": ["8"] * 4, "validation": ["4"], "test": ["4"]}
    assert (info["name"], info["fileFormat"]) == ("distilled_tweets", "array_record")
    assert sorted(path.name for path in (out / "distilled_tweets").iterdir()) == ["1.0.0"]
    assert len(open_source(str(out), "train[3:21]")) == 18
    origins = pl.read_parquet(out / DATASET / "origins.parquet")
    rows = pl.concat(parts.values())
    assert origins["id"].to_list() == rows["id"].to_list()
    assert origins["tweet"].to_list() == rows["tweet"].to_list()


def test_photos_have_the_short_side_that_was_chosen(made):
    parts, files, out, _ = made
    rows = parts["train"]
    for record, number in zip(
        open_source(str(out), "train").records(), rows["number"], strict=True
    ):
        small, large = pixels.decode(record.image), pixels.decode(files.read(number))
        assert small.shape[0] == 32
        assert abs(small.shape[1] - large.shape[1] * 32 / 48) < 1
        assert abs(float(small.mean()) - float(large.mean())) < 2


def test_photos_that_are_small_enough_stay_as_they_are(tmp_path):
    parts, files = written.make(tmp_path / "photos", 12)
    write(parts, files, tmp_path / "out", Settings(short_side=48, workers=1))
    records = open_source(str(tmp_path / "out"), "train").records()
    assert [record.image for record in records] == [files.read(k) for k in range(4)]


def test_three_workers_write_the_same_bytes(made, tmp_path):
    parts, files, out, counts = made
    settings = Settings(short_side=32, shard_photos=8, workers=3)
    assert write(parts, files, tmp_path, settings) == counts
    assert written.contents(tmp_path) == written.contents(out)


KILLED = """
import pathlib, sys
sys.path.insert(0, {tests!r})
import written
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_datasets.proto import tf_example_pb2
from vit_sentiment.distillation import writing
parts, files = written.make(pathlib.Path({photos!r}))
settings = writing.Settings(short_side=32, shard_photos=8, workers=2)
writing.write(parts, written.Slow(files), {out!r}, settings)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(made, tmp_path):
    parts, files, out, counts = made
    folder = tmp_path / "out" / "distilled_tweets"
    places = {"tests": pathlib.Path(__file__).parent, "photos": tmp_path / "photos"}
    code = KILLED.format(**{k: str(v) for k, v in places.items()}, out=str(tmp_path / "out"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        while not (done := list(folder.glob("incomplete.notes/[!.]*.parquet"))):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not (folder / "1.0.0").exists()
    (folder / "incomplete.1.0.0" / ".half.array_record-0").write_bytes(b"half")
    shards = [folder / "incomplete.1.0.0" / path.stem for path in done]
    written_at = {path.name: path.stat().st_mtime_ns for path in shards}
    assert len(written_at) < 6
    assert write(parts, files, tmp_path / "out", SMALL) == counts
    assert written.contents(tmp_path / "out") == written.contents(out)
    for name, then in written_at.items():
        assert (folder / "1.0.0" / name).stat().st_mtime_ns == then


def test_what_was_killed_when_all_but_the_notes_was_done_is_tidied_up(made, tmp_path, monkeypatch):
    parts, files, out, counts = made

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            write(parts, files, tmp_path, SMALL)
    assert (tmp_path / "distilled_tweets" / "incomplete.notes").exists()
    assert write(parts, files, tmp_path, SMALL) == counts
    assert written.contents(tmp_path) == written.contents(out)


def test_what_was_killed_before_its_report_reports_when_it_goes_on(made, tmp_path):
    parts, files, out, counts = made
    with pytest.raises(ZeroDivisionError):
        write(parts, files, tmp_path, SMALL, report=lambda _: 1 / 0)
    reported = []
    assert write(parts, files, tmp_path, SMALL, report=reported.append) == counts
    assert reported == [counts]
    assert written.contents(tmp_path) == written.contents(out)


def test_an_unfinished_dataset_of_other_settings_is_one_line(made, tmp_path, monkeypatch):
    parts, files, _, _ = made
    monkeypatch.setattr(writing, "complete", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(parts, files, tmp_path, SMALL)
    with pytest.raises(UserError, match="an unfinished dataset has short_side 32, this run 40"):
        write(parts, files, tmp_path, dataclasses.replace(SMALL, short_side=40))
    with pytest.raises(UserError, match="an unfinished dataset has sha256"):
        write({**parts, "test": parts["test"][::-1]}, files, tmp_path, SMALL)


def test_a_complete_dataset_is_never_overwritten(made):
    parts, files, out, _ = made
    with pytest.raises(UserError, match="exists already"):
        write(parts, files, out, SMALL)


def test_photos_that_are_gone_are_left_out_and_listed(made, tmp_path):
    parts, files, _, _ = made
    paths = list(files.paths)
    paths[3], paths[9] = None, str(tmp_path / "gone.jpg")
    gone = PhotoFiles(pl.Series(paths))
    with pytest.raises(UserError, match=r"split train: 810000000001-1\.jpg: not fetched"):
        write(parts, gone, tmp_path, SMALL)
    problems = Problems("skip")
    counts = write(parts, gone, tmp_path, SMALL, problems)
    assert counts == {"train": 30, "validation": 4, "test": 4, LOST: 2}
    assert problems.rows == [
        ("split train", "810000000001-1.jpg", "not fetched"),
        ("split train", "810000000004-1.jpg", "no such file"),
    ]
    assert "no such file" in (tmp_path / DATASET / "problems.csv").read_text()
    found = open_source(str(tmp_path), "train").index["id"].to_list()
    assert found == [name for k, name in enumerate(parts["train"]["id"]) if k not in (3, 9)]


def test_a_shard_of_which_nothing_is_left_is_empty(made, tmp_path):
    parts, files, _, _ = made
    gone = PhotoFiles(pl.Series([None] * 8 + list(files.paths)[8:]))
    write(parts, gone, tmp_path, SMALL, Problems("skip"))
    records = list(open_source(str(tmp_path), "train").records())
    assert [record.id for record in records] == parts["train"]["id"].to_list()[8:]
    gone = PhotoFiles(pl.Series([None] * 32 + list(files.paths)[32:]))
    with pytest.raises(UserError, match="split 'train': no usable photo"):
        write(parts, gone, tmp_path / "none", SMALL, Problems("skip"))
    with pytest.raises(UserError, match="split 'train': no usable photo"):
        write({"train": parts["train"][:0]}, files, tmp_path / "empty")


def test_beam_writes_the_same_bytes(made, tmp_path):
    pytest.importorskip("apache_beam", reason="needs requirements-beam.txt")
    parts, files, out, counts = made
    found = write(parts, files, tmp_path, SMALL, beam_options=["--runner=DirectRunner"])
    assert found == counts
    assert written.contents(tmp_path) == written.contents(out)


def test_options_that_beam_does_not_take_are_told_in_one_line(made, tmp_path):
    pytest.importorskip("apache_beam", reason="needs requirements-beam.txt")
    parts, files = made
    with pytest.raises(UserError, match=r"config\.write\.beam_options=.*Foo"):
        write(parts, files, tmp_path, SMALL, beam_options=["--runner=Foo"])


def test_beam_that_is_missing_is_told_in_one_line(made, tmp_path, monkeypatch):
    parts, files, _, _ = made
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-beam\.txt"):
        write(parts, files, tmp_path, SMALL, beam_options=[])


@given(
    image=st.binary(max_size=300),
    texts=st.tuples(st.text(), st.text()),
    probs=st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3),
    labels=st.tuples(st.integers(-1, 2), st.integers(-1, 2)),
)
def test_records_are_serialised_as_tfds_does_but_for_the_order(image, texts, probs, labels):
    record = Record(image, *texts, np.array(probs, np.float32), *labels)
    features = DistilledTweets().info.features
    example = {**vars(record), "image": io.BytesIO(image)}
    theirs = tf_example_pb2.Example.FromString(
        features.serialize_example({name: example[name] for name in features})
    )
    ours = dataset_files.to_bytes(record)
    assert ours == theirs.SerializeToString(deterministic=True)
    back = dataset_files.from_bytes(ours)
    np.testing.assert_array_equal(back.teacher_probs, record.teacher_probs)
    assert dataclasses.replace(back, teacher_probs=None) == dataclasses.replace(
        record, teacher_probs=None
    )
