"""A dataset goes out as ids and comes back from the tweets."""

import pathlib

import polars as pl
import pytest
import written

from input_pipeline.sources import open_source
from vit_sentiment.distillation import purging, rehydrating
from vit_sentiment.distillation.completing import LOST
from vit_sentiment.distillation.tables import PHOTOS, PhotoFiles
from vit_sentiment.distillation.writing import Settings, write
from vit_sentiment.runtime.errors import UserError


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Rows, files, the dataset of a smaller size that was made of them, and its ids."""
    folder = tmp_path_factory.mktemp("exported")
    parts, files = written.make(folder / "photos")
    facts = {"date": "2026-11-24", "funnel": {"tweets read": 20}}
    write(parts, files, folder / "out", Settings(32, shard_photos=8), card_facts=facts)
    rehydrating.export(purging.find(str(folder / "out")), folder / "ids.parquet")
    return parts, files, folder / "out", folder / "ids.parquet"


def own_copy(parts, files, order):
    """Photos as somebody else's tweets have them, in another order."""
    rows = pl.concat(parts.values())[order]
    nothing = {name: pl.lit(None, kind) for name, kind in PHOTOS.items() if name not in rows}
    table = rows.with_columns(**nothing, human_label=pl.lit(-1, pl.Int32))
    table = table.select(*PHOTOS, number=pl.int_range(pl.len()))
    return table, files.take(rows["number"].to_list())


def test_the_round_trip_gives_the_same_bytes(exported, tmp_path):
    parts, files, out, path = exported
    table, facts = rehydrating.read(path)
    order = [*range(39, -1, -1)]
    counts = rehydrating.rehydrate(table, facts, *own_copy(parts, files, order), tmp_path / "again")
    assert counts[LOST] == counts[rehydrating.MISSING] == counts[rehydrating.CHANGED] == 0
    assert written.contents(tmp_path / "again") == written.contents(out)


def test_ids_have_labels_and_hashes_but_no_photo(exported):
    parts, _, out, path = exported
    table, _ = rehydrating.read(path)
    rows = pl.concat(parts.values())
    shared = [name for name in table.columns if name in rows.columns]
    assert {"NEG", "POS", "teacher_label", "human_label", "group", "tweet"} <= set(shared)
    assert table.select(shared).equals(rows.select(shared))
    assert table["split"].to_list() == ["train"] * 32 + ["validation"] * 4 + ["test"] * 4
    assert set(table.schema.dtypes()) == {pl.String, pl.Float32, pl.Int32}
    index = open_source(str(out), "train").index
    assert table.filter(split="train")["sha256"].to_list() == index["sha256"].to_list()


def test_missing_and_changed_photos_are_told_and_the_rest_keeps_its_place(exported, tmp_path):
    parts, files, out, path = exported
    table, facts = rehydrating.read(path)
    order = [k for k in range(40) if k not in (2, 35)]
    photos, own = own_copy(parts, files, order)
    paths = list(own.paths)
    (tmp_path / "other.jpg").write_bytes(files.read(0))
    paths[3], paths[10] = str(tmp_path / "other.jpg"), None
    counts = rehydrating.rehydrate(
        table, facts, photos, PhotoFiles(pl.Series(paths)), tmp_path / "again"
    )
    assert (counts[LOST], counts[rehydrating.MISSING], counts[rehydrating.CHANGED]) == (4, 2, 1)
    folder = tmp_path / "again" / "distilled_tweets" / "1.0.0"
    listed = pl.read_csv(folder / "problems.csv")
    ids = table["id"]
    assert listed["path"].to_list() == [ids[2], ids[4], ids[11], ids[35]]
    assert listed["problem"].to_list() == [
        "not among the tweets",
        "another file than in the original",
        "not fetched",
        "not among the tweets",
    ]
    for split in parts:
        before = open_source(str(out), split).index
        after = open_source(str(folder), split).index
        assert after.equals(before.filter(~pl.col("id").is_in(listed["path"].to_list())))


def test_the_command_writes_ids(exported, tmp_path, run):
    _, _, out, path = exported
    done = run("vit_sentiment.distill", "ids", out, f"--out={tmp_path / 'ids.parquet'}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'ids.parquet'}: 40 records of 20 tweets\n"
    assert (tmp_path / "ids.parquet").read_bytes() == pathlib.Path(path).read_bytes()


def test_mistakes_are_one_line(exported, tmp_path, run):
    _, _, _, path = exported
    pl.read_parquet(path).write_parquet(tmp_path / "bare.parquet")
    with pytest.raises(UserError, match=r"bare\.parquet: not a table that `distill ids` wrote"):
        rehydrating.read(tmp_path / "bare.parquet")
    with pytest.raises(UserError, match="no such file"):
        rehydrating.read(tmp_path / "nothing.parquet")
    pl.read_parquet(path).drop("tweet").write_parquet(
        tmp_path / "short.parquet", metadata={"card": "{}"}
    )
    done = run(
        "vit_sentiment.distill",
        "rehydrate",
        tmp_path / "short.parquet",
        f"--tweets={tmp_path}",
        f"--out={tmp_path / 'out'}",
    )
    assert done.returncode == 1
    assert "short.parquet: no column 'tweet'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
