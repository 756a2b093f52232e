"""Lists of photos into shards: what is in them, restarts, hosts, and what does not fit together."""

import dataclasses
import fcntl
import json
import subprocess

import jax
import listed
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from listed import ROWS

from vit_sentiment.inference.decision import Rule
from vit_sentiment.inference.model import Model
from vit_sentiment.models.classifier import abstract_params
from vit_sentiment.predicting import scoring
from vit_sentiment.predicting.choices import Choice
from vit_sentiment.runtime.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compilation")
LENGTH = 5 * ROWS + 3


@pytest.fixture(scope="module")
def model():
    return listed.make_model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos and a list that names each of them several times, and three that are none."""
    folder = tmp_path_factory.mktemp("list")
    names = listed.draw_photos(folder)
    rows = [names[number % len(names)] for number in range(LENGTH)]
    (folder / "bad.jpg").write_text("no photo")
    rows[5], rows[40], rows[-1] = "gone.jpg", "bad.jpg", "https://example.org/a.jpg"
    (folder / "list.txt").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def whole(model, folder, tmp_path_factory):
    """Results of a run that nothing disturbed, and its summary."""
    out = tmp_path_factory.mktemp("whole") / "out"
    return out, listed.score(model, folder / "list.txt", out, features=True)


def test_rows_are_those_of_the_list_and_what_the_model_says(model, folder, whole):
    out, _ = whole
    paths = (folder / "list.txt").read_text().splitlines()
    table = pl.read_parquet(sorted(out.glob("part-*.parquet")))
    assert table["path"].to_list() == paths
    assert table.columns == [
        "path",
        "NEG",
        "NEU",
        "POS",
        "label",
        "confidence",
        "error",
        "features",
    ]
    expected = model.predict([folder / path for path in paths[:-1]])
    for row, found in zip(table.iter_rows(named=True), expected, strict=False):
        assert (row["label"], row["error"]) == (found.label, found.error)
        if found.error is None:
            probs = [row["NEG"], row["NEU"], row["POS"]]
            np.testing.assert_allclose(probs, list(found.probs.values()), atol=1e-6)
            assert row["confidence"] == pytest.approx(found.confidence, abs=1e-6)
            assert len(row["features"]) == listed.DESCRIPTION.hidden_size
        else:
            assert row["NEG"] is row["confidence"] is row["features"] is None
    assert table["error"][-1] == "a URL, expected a file; fetch the photos first"


def test_features_are_the_forward_paths(model, folder, whole):
    table = pl.read_parquet(whole[0] / "part-00000-of-00006.parquet")
    images = np.stack(
        [scoring._load(path, folder, listed.DESCRIPTION) for path in table["path"][:5]]
    )
    found = np.stack(table["features"][:5].to_list())
    np.testing.assert_allclose(found, model.forward(8)(images)["features"], atol=1e-6)


def test_summary_counts_labels_and_failures(whole):
    out, summary = whole
    table = pl.read_parquet(out / "part-*.parquet")
    assert json.loads((out / "summary.json").read_text()) == summary
    assert (summary["rows"], summary["readable"], summary["failed"]) == (LENGTH, LENGTH - 3, 3)
    assert {found["reason"]: found["example"] for found in summary["failures"]} == {
        "no such file": "gone.jpg",
        "not an image in a known format": "bad.jpg",
        "a URL, expected a file; fetch the photos first": "https://example.org/a.jpg",
    }
    for name, count in summary["labels"].items():
        assert count == (table["label"] == name).sum()
    assert summary["compilations_after_warm_up"] == 0
    assert "no such file" in (out / "report.html").read_text()


def test_checksums_are_those_of_sha256sum(whole):
    done = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=whole[0], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.count(": OK")) == (0, 6)
    assert not [*whole[0].glob("*.sha256")]


def test_metadata_tell_what_a_shard_is_made_from(model, whole):
    facts = json.loads((whole[0] / "run.json").read_text())
    assert facts["model_id"] == model.model_id
    for path in whole[0].glob("part-*"):
        assert json.loads(pq.read_schema(path).metadata[b"vit_sentiment"]) == facts


@pytest.mark.parametrize("hosts", [2, 4, 9])
def test_hosts_make_the_files_of_one(model, folder, whole, tmp_path, hosts, capsys):
    path = folder / "list.txt"
    for host in reversed(range(hosts)):
        found = listed.score(model, path, tmp_path, features=True, part=(host, hosts))
        mine = range(host, 6, hosts)
        assert found["rows"] == sum(3 if number == 5 else ROWS for number in mine)
    assert not (tmp_path / "summary.json").exists()
    assert len([*tmp_path.glob("part-*.parquet")]) == 6
    capsys.readouterr()
    assert listed.score(model, path, tmp_path, features=True) == whole[1]
    assert "6 of 6 shards were done before" in capsys.readouterr().err
    assert listed.parts(tmp_path) == listed.parts(whole[0])


def test_damaged_and_unfinished_shards_are_made_again(model, folder, whole, tmp_path, capsys):
    listed.score(model, folder / "list.txt", tmp_path, features=True)
    shards = sorted(tmp_path.glob("part-*.parquet"))
    data = bytearray(shards[2].read_bytes())
    data[100] ^= 1
    shards[2].write_bytes(data)
    shards[4].unlink()
    (tmp_path / ".part-00004-of-00006.parquet.abc.parquet").write_text("of a killed run")
    kept = {path: path.stat() for path in shards if path not in (shards[2], shards[4])}
    listed.score(model, folder / "list.txt", tmp_path, features=True)
    assert f"{shards[2]}: damaged; it is made again" in capsys.readouterr().err
    assert listed.parts(tmp_path) == listed.parts(whole[0])
    for path, before in kept.items():
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not [*tmp_path.glob(".part-*")]


def test_settings_of_another_run_are_refused(model, folder, whole, tmp_path):
    path = folder / "list.txt"
    shorter = folder / "shorter.txt"
    shorter.write_text("0.jpg\n")
    other = listed.make_model(1)
    for words, args, changes in (
        ("list_rows 83, this run 1; remove", (model, shorter), {"features": True}),
        ("model_id", (other, path), {"features": True}),
        ("features True, this run False; remove", (model, path), {}),
        ("batch_size 8, this run 4", (model, path), {"features": True, "batch_size": 4}),
        ("rows_per_shard 16, this run 8", (model, path), {"features": True, "rows_per_shard": 8}),
        ("threshold 0.0, this run 0.5", (model, path), {"choice": Choice(Rule(threshold=0.5))}),
    ):
        with pytest.raises(UserError, match=rf"run\.json: its shards have {words}"):
            listed.score(*args, whole[0], **changes)
    tmp_path.joinpath("part-00000-of-00006.parquet").write_text("")
    with pytest.raises(UserError, match=r"has shards but no run\.json; choose another --out"):
        listed.score(model, path, tmp_path)


def test_parts_work_side_by_side_and_nothing_else_does(model, folder, tmp_path):
    path = folder / "list.txt"
    for held, part, refused in (
        (fcntl.LOCK_SH, (0, 2), False),
        (fcntl.LOCK_SH, None, True),
        (fcntl.LOCK_EX, (1, 2), True),
    ):
        with open(tmp_path / ".lock", "w") as file:
            fcntl.flock(file, held)
            unfinished = tmp_path / ".part-of-another"
            unfinished.write_text("")
            if refused:
                with pytest.raises(UserError, match="another run is writing there"):
                    listed.score(model, path, tmp_path, part=part)
            else:
                listed.score(model, path, tmp_path, part=part)
            assert unfinished.exists()


def test_strict_stops_at_the_first(model, folder, tmp_path):
    with pytest.raises(UserError, match=r"list\.txt: gone\.jpg: no such file$"):
        listed.score(model, folder / "list.txt", tmp_path, strict=True)
    assert not [*tmp_path.glob("part-*")]


def test_rules_priors_and_batches_that_do_not_fill_shards(model, folder, tmp_path):
    path = folder / "list.txt"
    choice = Choice(Rule(threshold=0.7), (0.5, 0.25, 0.25))
    summary = listed.score(model, path, tmp_path / "a", choice=choice, batch_size=7)
    table = pl.read_parquet(tmp_path / "a" / "part-*.parquet")
    known = table.filter(pl.col("error").is_null())
    assert (known["label"].is_null() == (known["confidence"] < 0.7)).all()
    assert summary["unlabelled"] == known["label"].null_count() > 0
    assert json.loads((tmp_path / "a/run.json").read_text())["prior"] == [0.5, 0.25, 0.25]
    summary = listed.score(model, path, tmp_path / "b", choice=Choice(Rule(binary=True)))
    table = pl.read_parquet(tmp_path / "b" / "part-*.parquet")
    assert table.columns[:4] == ["path", "NEG", "POS", "label"]
    assert summary["shares"].keys() == {"labels", "probability"}
    assert summary["notes"] == [
        "shares are not corrected: neutral photos are neither of the two classes"
    ]


def test_a_list_without_any_photo_that_can_be_read(model, tmp_path):
    (tmp_path / "list.txt").write_bytes(b"gone.jpg\n\xff.jpg\n")
    summary = listed.score(model, tmp_path / "list.txt", tmp_path / "out", features=True)
    assert (summary["failed"], summary["shares"]) == (2, {})
    table = pl.read_parquet(tmp_path / "out" / "part-*.parquet")
    assert table["error"].to_list() == ["no such file", "the list has bytes here that are no text"]
    assert table["path"][1] == "?.jpg"


def test_a_model_that_gives_nan_is_told(folder, tmp_path):
    broken = listed.make_model()
    params = jax.tree.map(lambda leaf: leaf * np.nan, broken.params)
    with pytest.raises(UserError, match="the model gives NaN"):
        listed.score(
            dataclasses.replace(broken, params=params), folder / "list.txt", tmp_path / "out"
        )


def test_what_is_compiled_late_is_a_defect(model, folder, tmp_path, monkeypatch):
    scored = scoring._scored

    def compile_more(*args):
        jax.jit(lambda x: x + len(args)).lower(1.0).compile()
        return scored(*args)

    monkeypatch.setattr(scoring, "_scored", compile_more)
    with pytest.raises(RuntimeError, match="programs were compiled while photos were scored"):
        listed.score(model, folder / "list.txt", tmp_path)


def test_a_class_named_as_a_column_is_refused(tmp_path):
    description = listed.DESCRIPTION.replace(classes=("a", "label", "c"))
    model = Model(description, abstract_params(description), "drawn")
    (tmp_path / "list.txt").write_text("a.jpg\n")
    with pytest.raises(UserError, match="the model has a class 'label'"):
        listed.score(model, tmp_path / "list.txt", tmp_path / "out")
