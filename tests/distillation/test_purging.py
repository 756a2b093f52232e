"""After a purge nothing of a tweet is left, and the rest is as it was."""

import hashlib
import json
import pathlib
import shutil

import numpy as np
import polars as pl
import pytest
import written

from input_pipeline import dataset_files
from input_pipeline.problems import Problems
from input_pipeline.sources import open_source
from vit_sentiment.distillation import card, purged_tables, purging
from vit_sentiment.distillation.writing import Settings, write
from vit_sentiment.runtime.errors import UserError

FIRST, SECOND, THIRD = "810000000000", "810000000001", "810000000005"
DATASET = pathlib.Path("distilled_tweets") / "1.0.0"


@pytest.fixture
def out(tmp_path):
    """A dataset in which SECOND is in the group of FIRST, and tables beside it."""
    parts, files = written.make(tmp_path / "photos")
    group = pl.when(tweet=SECOND).then(pl.lit(FIRST)).otherwise("group").alias("group")
    parts["train"] = parts["train"].with_columns(group)
    out = tmp_path / "out"
    problems = Problems("skip", [("tweets.csv:7", f"x/{FIRST}-2.jpg", "no such file")])
    problems.note("tweets.csv:9", "x/1.jpg", f"no row of tweet {THIRD}")
    problems.note("tweets.csv:11", "x/2.jpg", "no such file")
    write(parts, files, out, Settings(shard_photos=8), problems)
    rows = pl.concat(parts.values())
    (out / "teacher").mkdir()
    rows.select(id="tweet", NEG="NEG").unique("id", maintain_order=True).write_parquet(
        out / "teacher" / "labels-00000-of-00001.parquet"
    )
    fallen = {"id": "elsewhere.jpg", "tweet": FIRST, "group": FIRST}
    (out / "stages").mkdir()
    stage = pl.concat([rows.select("id", "tweet", "group"), pl.DataFrame(fallen)])
    stage.write_parquet(out / "stages" / "table.parquet")
    unused = [[where, name, "no text"] for where, name in (("t:2", FIRST), ("t:3", SECOND))]
    (out / "stages" / "stage.json").write_text(json.dumps({"key": "0", "problems": unused}))
    names = [f"{FIRST}-0.jpg", f"{SECOND}-1.jpg", f"{THIRD}-0.jpg", "elsewhere.jpg"]
    duplicates = {
        "id": names,
        "group": [FIRST, FIRST, THIRD, FIRST],
        "cluster": [names[0], names[0], names[2], names[2]],
        "duplicate_of": [None, names[0], None, names[2]],
        "distance": [None, 2.0, None, 1.0],
    }
    pl.DataFrame(duplicates).write_parquet(out / "duplicates.parquet")
    (out / "photos").mkdir()
    for name, number in zip(names, (0, 3, 10), strict=False):
        (out / "photos" / name).write_bytes(files.read(number))
    return out


def traces(out, ids, photos):
    """Where anything of tweets or photos is left, in files as they lie and in tables."""
    found = []
    for name, data in written.contents(out).items():
        if name.endswith(".parquet"):
            data = repr(pl.read_parquet(out / name).rows()).encode()
        if ".array_record" in name:
            data = b"".join(dataset_files.read_shard(out / name))
        wanted = [*(i.encode() for i in ids), *photos]
        wanted += [hashlib.sha256(photo).hexdigest().encode() for photo in photos]
        if any(part in data or part in name.encode() for part in wanted):
            found.append(name)
    return found


def test_nothing_of_the_tweets_is_left_and_the_rest_is_as_it_was(out):
    before = written.contents(out)
    records = list(open_source(str(out), "train").records())
    photos = [r.image for r in records if r.id.startswith((FIRST, THIRD))]
    assert len(photos) == 4
    assert len(traces(out, [FIRST, THIRD], photos)) > 6
    counts = purging.purge(purging.find(str(out)), [FIRST, THIRD, "999999999"], "2026-11-24", False)
    assert counts == {
        "ids asked for": 3,
        "ids without a record": 1,
        "photos removed": 4,
        "groups renamed": 1,
        "photo files beside it": 2,
        # Two tweets of the teacher; four photos, the one that fell and two renamed; all of
        # the duplicates, of which one is left with other names; a problem of a stage.
        "rows of tables beside it": 2 + 7 + 4 + 1,
    }
    assert traces(out, [FIRST, THIRD, "elsewhere.jpg"], photos) == []
    after = written.contents(out)
    assert not [name for name in after if "incomplete" in name]
    left = list(open_source(str(out), "train").records())
    expected = [r for r in records if not r.id.startswith((FIRST, THIRD))]
    assert [r.id for r in left] == [r.id for r in expected]
    for one, other in zip(left, expected, strict=True):
        assert (one.image, one.teacher_label, one.human_label) == (
            other.image,
            other.teacher_label,
            other.human_label,
        )
        np.testing.assert_array_equal(one.teacher_probs, other.teacher_probs)
        assert one.group == (SECOND if one.id.startswith(SECOND) else other.group)
    stage = json.loads((out / "stages" / "stage.json").read_text())
    assert stage == {"key": "0", "problems": [["t:3", SECOND, "no text"]]}
    touched = ("train.array_record-00000-of-00004", "train.array_record-00001-of-00004")
    untouched = [n for n in before if ".array_record" in n and not n.endswith(touched)]
    assert len(untouched) == 4
    assert {n: after[n] for n in untouched} == {n: before[n] for n in untouched}


def test_counts_card_and_tables_agree_afterwards(out):
    before = json.loads((out / DATASET / "dataset_info.json").read_text())
    purging.purge(purging.find(str(out)), [FIRST, f"{THIRD}-0.jpg"], "2026-11-24", False)
    info = json.loads((out / DATASET / "dataset_info.json").read_text())
    assert info["splits"][0]["shardLengths"] == ["6", "7", "8", "8"]
    train = sorted((out / DATASET).glob("*-train.*"))
    size = sum(len(example) for path in train for example in dataset_files.read_shard(path))
    assert int(info["splits"][0]["numBytes"]) == size
    assert info["splits"][1:] == before["splits"][1:]
    assert info.keys() == before.keys()
    assert not (out / DATASET / "metadata.json").exists()
    index = pl.read_parquet(out / DATASET / "records.parquet")
    origins = pl.read_parquet(out / DATASET / "origins.parquet")
    assert index["id"].to_list() == origins["id"].to_list()
    assert len(index.filter(split="train")) == 29
    text = (out / DATASET / "README.md").read_text()
    assert "| 2026-11-24 | 2 | 3 |" in text
    labels = open_source(str(out), "train").labels("teacher_label")
    assert f"| train | 29 | {' | '.join(str((labels == k).sum()) for k in range(3))} |" in text
    duplicates = pl.read_parquet(out / "duplicates.parquet")
    assert duplicates.rows() == [(f"{SECOND}-1.jpg", SECOND, f"{SECOND}-1.jpg", None, 2.0)]
    problems = (out / DATASET / "problems.csv").read_text()
    assert "x/2.jpg" in problems
    assert FIRST not in problems


def test_a_dry_run_changes_nothing(out):
    before = written.contents(out)
    told = purging.purge(purging.find(str(out)), [FIRST], "2026-11-24", True)
    assert written.contents(out) == before
    assert purging.purge(purging.find(str(out)), [FIRST], "2026-11-24", False) == told


@pytest.mark.parametrize(
    ("owner", "name", "part"),
    [
        (purged_tables, "clean", "table.parquet"),
        (dataset_files, "write_shard", "00000-of-00004"),
        (dataset_files, "write_info", ""),
        (card, "write", ""),
        (purging, "swap", ""),
        (shutil, "rmtree", "incomplete.old"),
    ],
)
def test_an_interrupted_purge_is_run_again(out, monkeypatch, owner, name, part):
    original = getattr(owner, name)

    def killed(*args, **kwargs):
        if part in str(args[0]):
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    records = list(open_source(str(out), "train").records())
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killed)
        with pytest.raises(KeyboardInterrupt):
            purging.purge(purging.find(str(out)), [FIRST], "2026-11-24", False)
    purging.purge(purging.find(str(out)), [FIRST], "2026-11-24", False)
    photos = [r.image for r in records if r.id.startswith(FIRST)]
    assert traces(out, [FIRST, "incomplete"], photos) == []
    assert len(open_source(str(out), "train")) == 30
    groups = open_source(str(out), "train").index["group"].to_list()
    assert groups[:2] == [SECOND, SECOND]
    table = pl.read_parquet(out / "stages" / "table.parquet")
    assert table.filter(tweet=SECOND)["group"].to_list() == [SECOND, SECOND]


def test_an_interruption_between_two_renames_is_made_up_for(out, monkeypatch):
    rename = pathlib.Path.rename

    def killed(path, target):
        if "incomplete.purged" in str(path):
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(pathlib.Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            purging.purge(purging.find(str(out)), [FIRST], "2026-11-24", False)
    assert not (out / DATASET).exists()
    purging.purge(purging.find(str(out / DATASET)), [FIRST], "2026-11-24", False)
    assert traces(out, [FIRST, "incomplete"], []) == []
    assert (out / DATASET / "README.md").read_text().count("| 2026-11-24 |") == 1


def test_a_page_that_names_a_tweet_is_told(out):
    (out / "report.html").write_text(f"<td>{FIRST}</td>")
    with pytest.raises(UserError, match=r"report\.html: still names a tweet"):
        purging.purge(purging.find(str(out)), [FIRST], "2026-11-24", False)
    (out / "report.html").unlink()
    counts = purging.purge(purging.find(str(out)), [FIRST], "2026-11-24", False)
    assert counts["ids without a record"] == 1


def test_the_command(out, tmp_path, run):
    (tmp_path / "ids.txt").write_text(f"{FIRST}\n{THIRD}\n", encoding="utf-8-sig")
    done = run("vit_sentiment.distill", "purge", out, f"--ids={tmp_path / 'ids.txt'}")
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:3] == ["ids asked for 2", "ids without a record 0", "photos removed 4"]
    assert len(open_source(str(out), "train")) == 28


def test_mistakes_are_one_line(out, tmp_path, run):
    (tmp_path / "ids.csv").write_text("name\n1\n")
    done = run("vit_sentiment.distill", "purge", out, f"--ids={tmp_path / 'ids.csv'}")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("no column 'tweet' or 'id'; found: name")
    (tmp_path / "ids.txt").write_bytes(b"\xff\xfe1\n")
    done = run("vit_sentiment.distill", "purge", out, f"--ids={tmp_path / 'ids.txt'}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "ids.txt: expected a text file in UTF-8" in line
    done = run("vit_sentiment.distill", "purge", tmp_path / "photos", "--ids=x")
    assert (done.returncode, done.stderr) == (1, "error: x: no such file\n")
    with pytest.raises(UserError, match=r"not a dataset that distill wrote"):
        purging.find(str(tmp_path / "photos"))
