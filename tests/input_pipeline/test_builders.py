import csv
import hashlib
import os
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import polars as pl
import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from input_pipeline import pixels
from input_pipeline.builder import prepare
from input_pipeline.demo_tweets import demo_tweets_dataset_builder as demo_tweets
from input_pipeline.demo_tweets.drawing import draw_tweets
from input_pipeline.mvsa_single import mvsa_single_dataset_builder as mvsa_single
from input_pipeline.sources import open_source
from vit_sentiment.runtime.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


def build_mvsa(release, data_dir, **config):
    config = mvsa_single.MvsaSingleConfig(name="default", release=str(release), **config)
    return prepare(mvsa_single.MvsaSingle(config=config, data_dir=data_dir))


def files_below(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_records_come_back_byte_for_byte_and_in_order(dataset, make_photo):
    records = list(open_source(str(dataset), "train").records())
    assert [record.image for record in records] == [make_photo(k) for k in range(9)]
    assert [record.human_label for record in records] == [0, 1, 2] * 3
    assert [record.teacher_label for record in records] == [-1] * 9
    names = ("negative", "neutral", "positive")
    ids = [f"{names[k % 3]}/{k:02d}.png" for k in range(9)]
    assert [record.id for record in records] == ids
    assert [record.group for record in records] == ids
    assert not np.stack([record.teacher_probs for record in records]).any()


def test_the_index_beside_the_records_tells_all_but_the_photos(dataset, make_photo):
    index = pl.read_parquet(dataset / "records.parquet")
    assert index["split"].to_list() == ["train"] * 9 + ["test"] * 4
    numbers = [*range(9), *range(5, 9)]
    hashes = [hashlib.sha256(make_photo(k)).hexdigest() for k in numbers]
    assert index["sha256"].to_list() == hashes
    assert index["human_label"].to_list() == [k % 3 for k in numbers]
    assert set(index["teacher_label"]) == {-1}


def test_the_files_are_array_records(dataset):
    assert len(list(dataset.glob("labelled_images-*.array_record-*"))) == 2
    assert not list(dataset.glob("*.tfrecord*"))
    assert not (dataset / "problems.csv").exists()


def test_tensorflow_is_not_imported_for_writing_or_reading(tmp_path):
    """An empty package of that name stands in for it: importing it would succeed."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("")
    code = f"""
import sys
from input_pipeline.builder import prepare
from input_pipeline.demo_tweets import demo_tweets_dataset_builder as module
from input_pipeline.sources import open_source
config = module.DemoTweetsConfig(name="default", count=3)
folder = prepare(module.DemoTweets(config=config, data_dir={str(tmp_path / "data")!r}))
assert len(list(open_source(str(folder)).records())) == 3
print("imported:", sorted(name for name in sys.modules if name.startswith("tensorflow.")
                          or name == "tensorflow"))
"""
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "imported: []\n"
    assert list((tmp_path / "data").rglob("*.array_record-*"))


def test_teacher_labels_are_not_human_labels(table, tmp_path, build):
    folder = build(tmp_path / "data", {"train": str(table)}, teacher=True)
    records = list(open_source(str(folder)).records())
    assert [record.teacher_label for record in records] == [0, 1, 2] * 3
    assert [record.human_label for record in records] == [-1] * 9
    probs = np.stack([record.teacher_probs for record in records])
    np.testing.assert_array_equal(probs, np.tile(np.eye(3, dtype=np.float32), (3, 1)))


def test_other_classes_travel_with_the_dataset(photos, tmp_path, build):
    for name in ("negative", "neutral", "positive"):
        (photos / name).rename(photos / f"{name}!")
    classes = ("positive!", "neutral!", "negative!", "rare")
    folder = build(tmp_path / "data", {"train": str(photos)}, classes=classes)
    source = open_source(str(folder))
    assert source.classes == classes
    assert source.labels("human_label").tolist() == [2] * 3 + [1] * 3 + [0] * 3
    assert next(source.records()).teacher_probs.shape == (4,)


def damage(photos):
    """Photos and a table with a row of each kind that cannot be used; returns it and the lines."""
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (photos / "empty.png").write_bytes(b"")
    lines = [
        "path,label",
        "negative/00.png,negative",
        "neutral/no.png,neutral",  # Line 3: no such file.
        "broken.jpg,neutral",  # Line 4: does not decode.
        "neutral/01.png,cheerful",  # Line 5: no such label.
        "negative/00.png,negative",  # Line 6: duplicate.
        "neutral/04.png",  # Line 7: short.
        "empty.png,positive",  # Line 8: does not decode.
        "positive/02.png,positive",
    ]
    (photos / "bad.csv").write_text("\n".join(lines) + "\n")
    return photos / "bad.csv"


def test_unusable_rows_are_skipped_counted_and_listed(photos, tmp_path, build, capsys):
    bad = damage(photos)
    folder = build(tmp_path / "data", {"train": str(bad)}, on_error="skip")
    assert open_source(str(folder)).index["id"].to_list() == ["negative/00.png", "positive/02.png"]
    assert "skipped 6 unusable rows" in capsys.readouterr().err
    with open(folder / "problems.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["where"] for row in rows) == [f"{bad}:{line}" for line in range(3, 9)]
    by_line = {row["where"].rpartition(":")[2]: row for row in rows}
    assert by_line["4"]["path"] == str(photos / "broken.jpg")
    assert by_line["8"]["problem"] == "empty file"


def test_a_build_that_fails_leaves_nothing_and_can_be_repeated(photos, table, tmp_path, build):
    good = (photos / "neutral/04.png").read_bytes()
    (photos / "neutral/04.png").write_bytes(good[:40])
    with pytest.raises(UserError, match=r"photos\.csv:6: .*04\.png") as error:
        build(tmp_path / "data", {"train": str(table)})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "data/labelled_images/default/1.0.0").exists()
    with pytest.raises(UserError):
        open_source(str(tmp_path / "data"))

    (photos / "neutral/04.png").write_bytes(good)
    folder = build(tmp_path / "data", {"train": str(table)})
    assert folder == tmp_path / "data/labelled_images/default/1.0.0"
    assert len(open_source(str(folder))) == 9


def test_a_split_of_which_nothing_is_left_is_an_error_that_names_it(photos, table, tmp_path, build):
    (photos / "broken.jpg").write_bytes(b"broken")
    (photos / "bad.csv").write_text("path,label\nbroken.jpg,neutral\n")
    splits = {"train": str(table), "validation": str(photos / "bad.csv")}
    with pytest.raises(UserError, match="validation"):
        build(tmp_path / "data", splits, on_error="skip")
    assert not list((tmp_path / "data").rglob("1.0.0"))


def test_a_table_that_cannot_be_read_writes_nothing(tmp_path, build):
    with pytest.raises(UserError, match=r"no\.csv: no such file"):
        build(tmp_path / "data", {"train": str(tmp_path / "no.csv")})
    assert not files_below(tmp_path)


def test_an_existing_dataset_is_refused_and_left_alone(dataset, table, build):
    before = {path: path.read_bytes() for path in files_below(dataset)}
    with pytest.raises(UserError, match="exists already") as error:
        build(dataset.parents[2], {"train": str(table)})
    assert str(dataset) in str(error.value)
    assert {path: path.read_bytes() for path in files_below(dataset)} == before


def test_png_and_gif_files_with_other_names_are_taken(golden, tmp_path, build):
    names = ("rgb.png", "animated.gif", "rgb_420.jpg")
    for name in names:
        data = (golden / "decode" / name).read_bytes()
        (tmp_path / f"{name.replace('.', '_')}.bmp").write_bytes(data)
    lines = [f"{name.replace('.', '_')}.bmp,neutral" for name in names]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]))
    folder = build(tmp_path / "data", {"train": str(tmp_path / "list.csv")})
    expected = np.load(golden / "decode" / "expected_resized_64.npz")
    for name, record in zip(names, open_source(str(folder)).records(), strict=True):
        found = pixels.load(record.image, (64, 64), "exact")
        np.testing.assert_array_equal(found, expected[name])


CHINESE = "今天天气真好"


def write_release(root, labels, name="labelResultAll.txt"):
    """A release with tweets 1 to 5; the text of 2 is GB18030, that of 3 has a byte order mark."""
    (root / "data").mkdir(parents=True)
    photo = np.full((8, 8, 3), 9, np.uint8)
    for id_ in range(1, 6):
        (root / "data" / f"{id_}.jpg").write_bytes(cv2.imencode(".jpg", photo)[1].tobytes())
        (root / "data" / f"{id_}.txt").write_text(f"tweet {id_} \n")
    (root / "data/2.txt").write_bytes(CHINESE.encode("gb18030"))
    (root / "data/3.txt").write_bytes("café\r\n".encode("utf-8-sig"))
    (root / name).write_text(labels)
    return root


ROWS = [("1", "positive", "negative"), ("2", "neutral", "positive"), ("3", "negative", "neutral")]


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("{}\t{},{}", "labelResultAll.txt"),
        ("{},{},{}", "labelResultAll.csv"),
        ("{}\t{}\t{}", "labelResultAll.txt"),
    ],
)
def test_mvsa_single(tmp_path, form, name):
    labels = "\r\n".join([form.format("ID", "text", "image"), *(form.format(*r) for r in ROWS)])
    folder = build_mvsa(write_release(tmp_path / "release", labels, name), tmp_path / "data")
    records = list(open_source(str(folder)).records())
    assert [(record.id, record.group) for record in records] == [(f"{k}-0", str(k)) for k in "123"]
    assert [record.human_label for record in records] == [0, 2, 1]
    assert [record.text_label for record in records] == [2, 1, 0]
    assert [record.text for record in records] == ["tweet 1", CHINESE, "café"]
    assert [record.teacher_label for record in records] == [-1] * 3
    assert records[0].image == (tmp_path / "release/data/1.jpg").read_bytes()


def test_bad_rows_of_mvsa_single(tmp_path):
    labels = (
        "ID\ttext,image\n1\tpositive,negative\n2\tcheerful,neutral\n1\tneutral,neutral\n"
        "9\tneutral,neutral\n4\tneutral\n5\tneutral,neutral\n3\tneutral,neutral\n"
    )
    release = write_release(tmp_path / "release", labels)
    (release / "data/5.jpg").write_bytes(b"no photo")
    (release / "data/3.txt").unlink()
    with pytest.raises(UserError, match=r"labelResultAll\.txt:3: "):
        build_mvsa(release, tmp_path / "data")
    folder = build_mvsa(release, tmp_path / "data", on_error="skip")
    assert open_source(str(folder)).index["group"].to_list() == ["1"]
    with open(folder / "problems.csv", newline="") as file:
        lines = sorted(int(row["where"].rpartition(":")[2]) for row in csv.DictReader(file))
    assert lines == [3, 4, 5, 6, 7, 8]


def test_mvsa_single_without_its_label_file(tmp_path):
    with pytest.raises(UserError, match=r"expected labelResultAll\.csv or labelResultAll\.txt"):
        build_mvsa(tmp_path, tmp_path / "data")


def test_demo_tweets_hold_what_was_drawn(tmp_path):
    config = demo_tweets.DemoTweetsConfig(name="default", count=6, seed=3, size=20)
    folder = prepare(demo_tweets.DemoTweets(config=config, data_dir=tmp_path))
    records = list(open_source(str(folder)).records())
    drawn = list(draw_tweets(6, seed=3, size=20))
    assert [record.text for record in records] == [tweet.text for tweet in drawn]
    assert [record.human_label for record in records] == [tweet.mood for tweet in drawn]
    for record, tweet in zip(records, drawn, strict=True):
        np.testing.assert_array_equal(pixels.decode(record.image), tweet.image)
        assert (record.group, record.id) == (tweet.id, f"{tweet.id}-0")
        assert len(tweet.id) == 19
        assert tweet.id.isdecimal()


def contents(tweets):
    return [(tweet.id, tweet.text, tweet.mood, tweet.image.tobytes()) for tweet in tweets]


def test_demo_tweets_are_a_function_of_seed_and_index():
    ten = contents(draw_tweets(10, seed=1))
    assert contents(draw_tweets(10, seed=1)) == ten
    assert contents(draw_tweets(4, seed=1)) == ten[:4]
    other = contents(draw_tweets(10, seed=2))
    assert not {tweet[0] for tweet in ten} & {tweet[0] for tweet in other}
    assert not {tweet[3] for tweet in ten} & {tweet[3] for tweet in other}
    assert len({tweet[3] for tweet in ten}) == 10


@pytest.fixture(scope="module")
def drawn():
    return list(draw_tweets(600, seed=0, size=16))


@pytest.fixture(scope="module")
def polarity():
    """What VADER makes of a text: 0, 1 or 2."""
    analyzer = SentimentIntensityAnalyzer()

    def label(text):
        compound = analyzer.polarity_scores(text)["compound"]
        return 1 + int(compound >= 0.05) - int(compound <= -0.05)

    return label


def agreement(tweets, polarity):
    return np.mean([polarity(tweet.text) == tweet.mood for tweet in tweets])


def test_moods_are_uniform(drawn):
    counts = np.bincount([tweet.mood for tweet in drawn])
    assert len(counts) == 3
    assert np.abs(counts - 200).max() < 50


def test_text_noise_is_the_share_of_texts_drawn_anew(drawn, polarity):
    pure = list(draw_tweets(600, seed=0, size=16, text_noise=0.0))
    random = list(draw_tweets(600, seed=0, size=16, text_noise=1.0))
    clear, noisy, blind = (agreement(tweets, polarity) for tweets in (pure, drawn, random))
    assert clear > 0.95
    # Three in ten are drawn anew, and a third of those keep their mood.
    assert abs(noisy - clear * (0.7 + 0.1)) < 0.06
    assert abs(blind - 1 / 3) < 0.06
    for one, other in zip(pure, drawn, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_shuffled_texts_are_a_control(drawn, polarity):
    shuffled = list(draw_tweets(600, seed=0, size=16, shuffle_texts=True))
    for one, other in zip(shuffled, drawn, strict=True):
        assert (one.id, one.mood) == (other.id, other.mood)
        np.testing.assert_array_equal(one.image, other.image)
    assert sorted(tweet.text for tweet in shuffled) == sorted(tweet.text for tweet in drawn)
    assert abs(agreement(shuffled, polarity) - 1 / 3) < 0.06
