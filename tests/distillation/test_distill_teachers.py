"""The command `distill` with teachers other than VADER."""

import json

import numpy as np
import polars as pl
import pytest
import tiny

from input_pipeline.sources import open_source
from vit_sentiment.distillation import roberta, teachers

PARTS = ("train", "validation", "test")


def records(folder):
    return [r for part in PARTS for r in open_source(str(folder), part).records()]


def distil(run, tweets, out, *flags, **options):
    base = (f"--tweets={tweets}", f"--out={out}", *tiny.DRAWN)
    return run("vit_sentiment.distill", *base, *flags, **options)


@pytest.fixture(scope="module")
def by_roberta(tweets, golden, tmp_path_factory, run):
    """What the command wrote with the golden RoBERTa as the teacher, on two devices."""
    out = tmp_path_factory.mktemp("by_roberta") / "data"
    model = f"--config.teacher.model={golden / 'roberta'}"
    flags = ("--config.teacher.name=roberta", model, "--config.teacher.shard_rows=64")
    done = distil(run, tweets, out, *flags, devices=2)
    assert done.returncode == 0, done.stderr
    return out


def test_every_photo_carries_robertas_probabilities(tweets, golden, by_roberta):
    originals = list(open_source(str(tweets)).records())
    teacher = roberta.teacher(str(golden / "roberta"))
    texts = [teachers.clean_up(record.text) for record in originals]
    (probs,) = teacher.label([texts], lambda count: None)
    expected = {record.id: row for record, row in zip(originals, probs, strict=True)}
    found = {record.id: record for record in records(by_roberta)}
    assert found.keys() == expected.keys()
    for id_, record in found.items():
        np.testing.assert_allclose(record.teacher_probs, expected[id_], rtol=0, atol=1e-5)
        assert record.teacher_label == np.argmax(record.teacher_probs)
    manifest = json.loads((by_roberta / "manifest.json").read_text())
    facts = {name: manifest[name] for name in teacher.facts}
    assert facts == teacher.facts


def test_its_labels_are_kept_in_shards(by_roberta, tweets):
    files = sorted((by_roberta / "teacher").glob("*.parquet"))
    table = pl.concat([pl.read_parquet(file) for file in files])
    assert len(files) == 4
    assert table.columns == ["id", "NEG", "NEU", "POS"]
    assert set(table["id"]) == set(open_source(str(tweets)).index["group"])


def test_a_table_stands_in_for_the_teacher(by_roberta, tweets, tmp_path, run):
    """A part of it, of which the missing tweets are listed."""
    shards = sorted((by_roberta / "teacher").glob("*.parquet"))
    table = pl.concat([pl.read_parquet(file) for file in shards])[10:]
    table.write_csv(tmp_path / "table.tsv", separator="\t")
    flags = ("--config.teacher.name=table", f"--config.teacher.table={tmp_path / 'table.tsv'}")
    done = distil(run, tweets, tmp_path / "data", *flags)
    assert done.returncode == 0, done.stderr
    expected = {record.id: record.teacher_probs for record in records(by_roberta)}
    found = records(tmp_path / "data")
    assert len(found) == 190
    for record in found:
        np.testing.assert_array_equal(record.teacher_probs, expected[record.id])
    funnel = json.loads((tmp_path / "data" / "funnel.json").read_text())
    assert funnel["label"]["tweets without a teacher row"] == 10
    (problems,) = (tmp_path / "data").rglob("problems.csv")
    assert problems.read_text().count("no row of tweet") == 10


def test_mistakes_are_one_line(tweets, tmp_path, run):
    done = distil(run, tweets, tmp_path / "data", "--config.teacher.table=table.csv")
    assert done.returncode == 1
    assert done.stderr == (
        "error: config.teacher.name=table and config.teacher.table=FILE go together\n"
    )
