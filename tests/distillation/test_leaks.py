"""Leaks, and the command that removes them and duplicates."""

import io
import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from input_pipeline.sources import open_source
from vit_sentiment.distillation.hashing import Hashes, hash_photos
from vit_sentiment.distillation.leaks import find_leaks, open_all
from vit_sentiment.runtime.errors import UserError


def picture(seed):
    """A smooth random picture, encoded."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC)


def encoded(image, quality=90):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """A table of five photos: three pictures, a grey one, and one that is damaged."""
    folder = tmp_path_factory.mktemp("benchmark")
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(encoded(picture(number)))
    (folder / "3.jpg").write_bytes(encoded(Image.new("RGB", (96, 96), (90, 90, 90))))
    (folder / "4.jpg").write_bytes(b"not a photo")
    lines = [f"{number}.jpg,positive" for number in range(5)]
    (folder / "photos.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return folder / "photos.csv"


def test_photos_of_a_benchmark_are_found_and_named(benchmark, capsys):
    files = [
        encoded(picture(50)),
        encoded(picture(1), quality=40),
        encoded(Image.new("RGB", (96, 96), (90, 90, 90))),  # The same file.
        encoded(Image.new("RGB", (96, 96), (91, 91, 91))),  # As flat, but another.
        encoded(picture(0)),
    ]
    hashes = hash_photos(files, len(files))
    leaks = find_leaks(hashes, open_all([str(benchmark)], "dataset"), 3)
    assert leaks.select("row", "photo").rows() == [(1, "1.jpg"), (2, "3.jpg"), (4, "0.jpg")]
    assert set(leaks["benchmark"]) == {str(benchmark)}
    assert leaks["distance"][2] == 0
    assert "1 photos are missing or damaged" in capsys.readouterr().err


def test_the_nearest_photo_is_named_and_none_is_missed(benchmark, monkeypatch):
    rng = np.random.default_rng(0)

    def drawn(count):
        values = rng.integers(0, 2**9, count, dtype=np.uint64) * np.uint64(2**20 + 1)
        variance = np.where(rng.random(count) < 0.8, 1000, 1).astype(np.float32)
        return Hashes(values, rng.integers(0, 40, count, dtype=np.uint64), variance)

    (source,) = open_all([str(benchmark)], "dataset")
    ours, theirs = drawn(60), drawn(5)
    monkeypatch.setattr("vit_sentiment.distillation.leaks.hash_photos", lambda *_: theirs)
    expected = []
    for row in range(60):
        near = []
        for number in range(5):
            if ours.flat[row] or theirs.flat[number]:
                if ours.flat[row] and ours.digests[row] == theirs.digests[number]:
                    near.append((0, number))
            else:
                apart = int(ours.values[row] ^ theirs.values[number]).bit_count()
                near += [(apart, number)] * (apart <= 4)
        if near:
            apart, number = min(near)
            expected.append((row, f"{number}.jpg", apart))
    assert len(expected) > 5
    found = find_leaks(ours, [source], 4)
    assert found.select("row", "photo", "distance").rows() == expected


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(UserError, match="nowhere: no such dataset"):
        open_all(["nowhere"], "dataset")


@pytest.fixture(scope="module")
def done(benchmark, tmp_path_factory, run):
    """A crawl of 60 tweets: 20 copies of a photo, 2 leaks, a text said twice; and what became."""
    folder = tmp_path_factory.mktemp("crawl")
    (folder / "images").mkdir()
    words = {0: "good", 1: "awful", 2: "a table"}
    texts, photos = ["id,text"], ["id_tweet,path"]
    for number in range(60):
        text = f"{words[number % 3]} {number}" if number < 58 else "good and said twice @you"
        seed = 100 if number < 20 else number - 20 if number in (20, 21) else 100 + number
        (folder / "images" / f"{number}-0.jpg").write_bytes(encoded(picture(seed), 95 - number))
        texts.append(f"{number},{text}")
        photos.append(f"{number},{number}-0.jpg")
    (folder / "raw_tweets_text.csv").write_text("\n".join(texts) + "\n")
    (folder / "all_imgs.csv").write_text("\n".join(photos) + "\n")
    out = folder / "out"
    finished = run(
        "vit_sentiment.distill",
        f"--tweets={folder}",
        f"--out={out}",
        f"--config.leaks.of=('{benchmark}',)",
        "--config.filter.min_words=0",
    )
    assert finished.returncode == 0, finished.stderr
    return out


def test_the_command_removes_and_lists_them(done, benchmark):
    leaks = pl.read_parquet(done / "leaks.parquet")
    assert leaks.select("id", "group", "photo").rows() == [
        ("20-0.jpg", "20", "0.jpg"),
        ("21-0.jpg", "21", "1.jpg"),
    ]
    listed = pl.read_parquet(done / "duplicates.parquet")
    assert listed.columns == [
        "id", "group", "cluster", "kept", "reason", "duplicate_of", "distance",
    ]  # fmt: skip
    # Good and awful seven times each, a table six times: a tie, so nothing stays.
    assert listed["id"].to_list() == [f"{number}-0.jpg" for number in range(20)]
    assert set(listed["reason"]) == {"contradicting labels"}
    funnel = json.loads((done / "funnel.json").read_text())
    assert funnel["duplicates"] == {
        "leaks removed": 2, "duplicates removed": 20, "photos left": 38,
    }  # fmt: skip
    parts = {p: open_source(str(done), p) for p in ("train", "validation", "test")}
    index = pl.concat([source.index for source in parts.values()])
    assert sorted(index["id"]) == sorted(f"{number}-0.jpg" for number in range(22, 60))
    said_twice = index.filter(pl.col("id").is_in(["58-0.jpg", "59-0.jpg"]))
    assert said_twice["group"].to_list() == ["58", "58"]
    for name, first in parts.items():
        for other, second in parts.items():
            assert name == other or not set(first.index["group"]) & set(second.index["group"])
