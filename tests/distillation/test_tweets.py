"""Reading tweets from a crawl and from datasets."""

import shutil

import polars as pl
import pytest
import tiny

from input_pipeline import pixels
from input_pipeline.problems import Problems
from input_pipeline.sources import open_source
from vit_sentiment.distillation import photo_paths, tables
from vit_sentiment.distillation.tweets import open_photos, read_tweets
from vit_sentiment.runtime.errors import UserError


@pytest.fixture
def crawl(tmp_path, golden):
    """Three tweets with four photos, and human labels of two of them."""
    folder = tmp_path / "crawl"
    (folder / "images").mkdir(parents=True)
    for number, name in enumerate(("11-0.jpg", "11-1.jpg", "12-0.jpg", "13-0.jpg")):
        source = sorted((golden / "decode").glob("rgb*"))[number % 2]
        shutil.copy(source, folder / "images" / name)
    (folder / "raw_tweets_text.csv").write_text('id,text\n11,"love, it"\n12,a table\n13,awful\n')
    listed = "".join(f"{name[:2]},{name}\n" for name in sorted(names(folder)))
    (folder / "all_imgs.csv").write_text("id_tweet,path\n" + listed)
    (folder / "human_labels.csv").write_text(
        "path,text_label,image_label\n11-0.jpg,neutral,positive\n13-0.jpg,neutral,negative\n"
    )
    return folder


def rows(tweets):
    """Photos with the text of their tweet."""
    texts = tweets.texts.select("tweet", "text")
    joined = tweets.photos.join(texts, on="tweet", how="left", maintain_order="left")
    return joined.select("id", "tweet", "text", "human_label").rows()


def names(folder):
    return [path.name for path in (folder / "images").iterdir()]


def add(file, line):
    file.write_text(file.read_text() + line + "\n")


def read(folder, **options):
    problems = Problems("skip")
    return read_tweets(str(folder), problems, **options), [row[2] for row in problems.rows]


def test_photos_come_with_the_text_of_their_tweet(crawl):
    tweets, problems = read(crawl)
    assert problems == []
    assert tweets.photos.schema == tables.PHOTOS | {"number": pl.Int64}
    assert tweets.texts.schema == tables.TWEETS
    assert rows(tweets) == [
        ("11-0.jpg", "11", "love, it", -1),
        ("11-1.jpg", "11", "love, it", -1),
        ("12-0.jpg", "12", "a table", -1),
        ("13-0.jpg", "13", "awful", -1),
    ]
    assert tweets.counts == {"tweets read": 3, "photos listed": 4, "photos with a text": 4}
    assert tweets.photos["where"][2] == f"{crawl / 'all_imgs.csv'}:4"
    assert tweets.texts.select("lang", "referenced").unique().rows() == [(None, None)]
    expected = [(crawl / "images" / id_).read_bytes() for id_ in tweets.photos["id"]]
    files = open_photos(str(crawl), tweets.photos)
    assert tweets.photos["number"].to_list() == [0, 1, 2, 3]
    assert [files.read(number) for number in range(4)] == expected
    assert files.take([3, 1]).read(1) == expected[1]


def test_the_folder_the_file_and_explicit_paths_are_the_same(crawl, tmp_path):
    expected, _ = read(crawl)
    texts = crawl / "raw_tweets_text.csv"
    moved = tmp_path / "elsewhere"
    shutil.copytree(crawl / "images", moved)
    for found, problems in (
        read(texts),
        read(texts, images=str(crawl)),
        read(texts, images=str(crawl / "all_imgs.csv")),
        read(texts, images=str(moved)),
    ):
        assert (rows(found), problems) == (rows(expected), [])
        files = [open_photos("", read.photos) for read in (found, expected)]
        assert all(files[0].read(number) == files[1].read(number) for number in range(4))


def test_human_labels_are_those_of_the_photo(crawl):
    tweets, problems = read(crawl, human_labels=str(crawl / "human_labels.csv"))
    assert problems == []
    assert tweets.photos["human_label"].to_list() == [2, -1, -1, 0]


def test_an_unknown_human_label_is_a_problem(crawl):
    add(crawl / "human_labels.csv", "12-0.jpg,neutral,mixed")
    tweets, problems = read(crawl, human_labels=str(crawl / "human_labels.csv"))
    assert len(problems) == 1
    assert "unknown label 'mixed'" in problems[0]
    assert tweets.photos["human_label"].to_list() == [2, -1, -1, 0]


def test_unusable_rows_are_listed_and_counted_and_the_rest_is_kept(crawl):
    add(crawl / "raw_tweets_text.csv", "12,another text\n14,\n,a text\n1.2e+18,rounded\n15,a,b")
    add(crawl / "all_imgs.csv", "99,99-0.jpg\n13,13-1.jpg\n13,13-0.jpg\n14,14-0.jpg\n13,")
    (crawl / "images" / "11-1.jpg").write_bytes(b"\xff\xd8 not decoded here")
    labels = crawl / "human_labels.csv"
    add(labels, "99-0.jpg,neutral,neutral\n11-0.jpg,neutral,negative\n12-0.jpg,neutral,mixed\n?")
    tweets, problems = read(crawl, human_labels=str(labels))
    assert tweets.photos["id"].to_list() == ["11-0.jpg", "11-1.jpg", "12-0.jpg", "13-0.jpg"]
    assert tweets.texts["text"].to_list() == ["love, it", "a table", "awful"]
    assert tweets.photos["human_label"].to_list() == [2, -1, -1, 0]
    assert tweets.counts == {
        "tweets read": 3,
        "photos listed": 8,
        "photos without a path": 1,
        "lines not readable": 2,
        "tweets without an id": 1,
        "tweets with a rounded id": 1,
        "tweets without a text": 1,
        "tweets listed twice": 1,
        "photos without a tweet": 2,
        "photos listed twice": 1,
        "photos missing": 1,
        "human labels not understood": 1,
        "human labels given twice": 1,
        "human labels of other photos": 1,
        "photos with a text": 4,
    }
    assert problems == [
        "expected 2 fields, found 3: ['15', 'a', 'b']",
        "no path",
        "no id",
        "id is a rounded number: digits are lost; keep ids as text",
        "no text",
        "tweet listed twice; the first is kept",
        "no text of tweet 99",
        "no text of tweet 14",
        "photo listed twice",
        "no such file",
        "unknown label 'mixed'; classes: negative, neutral, positive",
        "expected 3 fields, found 1: ['?']",
        "labelled twice; the first is kept",
    ]


def test_a_listed_url_is_kept_without_a_file(crawl):
    add(crawl / "all_imgs.csv", "12,https://pbs.example/a.jpg")
    tweets, problems = read(crawl)
    assert problems == []
    row = tweets.photos.row(-1, named=True)
    assert (row["id"], row["path"]) == ("12-1.jpg", None)
    assert row["url"] == "https://pbs.example/a.jpg"
    with pytest.raises(pixels.DecodeError, match="not fetched"):
        open_photos(str(crawl), tweets.photos).read(4)


def test_a_name_that_the_folder_lists_otherwise_is_looked_at(crawl, monkeypatch):
    """As on a file system where case makes no difference."""
    monkeypatch.setattr(photo_paths, "_files", lambda folder: ["11-0.JPG"])
    tweets, problems = read(crawl)
    assert (len(tweets.photos), problems) == (4, [])


def test_a_folder_or_a_strange_name_is_no_photo(crawl):
    (crawl / "images" / "14-0.jpg").mkdir()
    add(crawl / "all_imgs.csv", '13,14-0.jpg\n13,"a\0b.jpg"\n13,no/such/folder.jpg\n13,11-0.jpg/x')
    tweets, problems = read(crawl)
    assert (len(tweets.photos), problems) == (4, ["no such file"] * 4)


def test_the_first_problem_fails_when_asked_to(crawl):
    add(crawl / "all_imgs.csv", "99,99-0.jpg")
    with pytest.raises(UserError, match=r"all_imgs\.csv:6: 99-0\.jpg: no text of tweet 99"):
        read_tweets(str(crawl), Problems("fail"))


@pytest.mark.parametrize("name", ["raw_tweets_text.csv", "all_imgs.csv", "human_labels.csv"])
def test_a_missing_file_is_named(crawl, name):
    texts, labels = crawl / "raw_tweets_text.csv", crawl / "human_labels.csv"
    (crawl / name).unlink()
    with pytest.raises(UserError, match=f"{name}: no such file"):
        read(texts, human_labels=str(labels))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("raw_tweets_text.csv", "id"),
        ("raw_tweets_text.csv", "text"),
        ("all_imgs.csv", "id_tweet"),
        ("all_imgs.csv", "path"),
        ("human_labels.csv", "image_label"),
    ],
)
def test_a_missing_column_is_named(crawl, name, column):
    header, rest = (crawl / name).read_text().split("\n", 1)
    renamed = ",".join("x" if word == column else word for word in header.split(","))
    (crawl / name).write_text(f"{renamed}\n{rest}")
    with pytest.raises(UserError, match=rf"{name}: no column '{column}'; found: .*\bx\b"):
        read(crawl, human_labels=str(crawl / "human_labels.csv"))


def test_no_photo_of_any_tweet_is_an_error(crawl):
    (crawl / "all_imgs.csv").write_text("id_tweet,path\n99,11-0.jpg\n")
    with pytest.raises(UserError, match=r"no photo below .* belongs to a tweet"):
        read(crawl)


def test_a_path_that_does_not_exist_is_said_not_to_exist(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.*no such"):
        read(tmp_path / "nowhere")


def test_a_dataset_with_texts_is_read_as_it_is(tweets):
    found, problems = read(tweets)
    records = list(open_source(str(tweets)).records())
    assert problems == []
    assert found.counts == {"tweets read": 200, "photos listed": 200, "photos with a text": 200}
    assert rows(found) == [(r.id, r.group, r.text, r.human_label) for r in records]
    files = open_photos(str(tweets), found.photos)
    assert [files.read(number) for number in (5, 199)] == [records[n].image for n in (5, 199)]
    assert len(files.take([199, 5])) == 2
    assert files.take([199, 5]).read(0) == records[199].image
    with pytest.raises(UserError, match="a dataset; --images and --columns"):
        read(tweets, images=str(tweets))


def test_a_dataset_without_texts_is_refused(distilled, tmp_path):
    only = tiny.only_split(distilled, tmp_path, "test")
    with pytest.raises(UserError, match="its records have no text to label"):
        read(only)


def test_a_folder_of_nothing_known_or_of_several_kinds_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match=r"expected raw_tweets_text\.csv, or \.jsonl, .*dataset"):
        read(tmp_path)
    (tmp_path / "a.csv").write_text("id,text\n")
    (tmp_path / "b.jsonl.gz").write_text("")
    with pytest.raises(UserError, match=r"several kinds \(\.csv, \.jsonl\); name a file"):
        read(tmp_path)
    with pytest.raises(UserError, match=r"notes\.txt: expected a \.csv, \.tsv"):
        read(tmp_path / "notes.txt")
