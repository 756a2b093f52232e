"""Reading tweets from a crawl and from datasets."""

import shutil

import pytest
import tiny

from input_pipeline.problems import Problems
from input_pipeline.sources import open_source
from vit_sentiment.distillation.tweets import read_tweets
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
    assert tweets.table.select("id", "tweet", "text", "human_label").rows() == [
        ("11-0.jpg", "11", "love, it", -1),
        ("11-1.jpg", "11", "love, it", -1),
        ("12-0.jpg", "12", "a table", -1),
        ("13-0.jpg", "13", "awful", -1),
    ]
    assert tweets.counts == {"tweets read": 3, "photos listed": 4, "photos with a text": 4}
    numbers = tweets.table["number"].to_list()[::-1]
    expected = [(crawl / "images" / id_).read_bytes() for id_ in tweets.table["id"]][::-1]
    assert list(tweets.photos(numbers)) == expected


def test_the_folder_the_file_and_explicit_paths_are_the_same(crawl, tmp_path):
    expected, _ = read(crawl)
    texts = crawl / "raw_tweets_text.csv"
    moved = tmp_path / "elsewhere"
    shutil.copytree(crawl / "images", moved)
    for found, _ in (
        read(texts),
        read(texts, images=str(crawl)),
        read(texts, images=str(crawl / "all_imgs.csv")),
        read(texts, images=str(moved)),
    ):
        assert found.table.equals(expected.table)


def test_human_labels_are_those_of_the_photo(crawl):
    tweets, problems = read(crawl, human_labels=str(crawl / "human_labels.csv"))
    assert problems == []
    assert tweets.table["human_label"].to_list() == [2, -1, -1, 0]


def test_an_unknown_human_label_is_a_problem(crawl):
    add(crawl / "human_labels.csv", "12-0.jpg,neutral,mixed")
    tweets, problems = read(crawl, human_labels=str(crawl / "human_labels.csv"))
    assert len(problems) == 1
    assert "unknown label 'mixed'" in problems[0]
    assert tweets.table["human_label"].to_list() == [2, -1, -1, 0]


def test_unusable_rows_are_noted_and_the_rest_is_kept(crawl):
    add(crawl / "raw_tweets_text.csv", "12,another text")
    add(crawl / "all_imgs.csv", "99,99-0.jpg")
    add(crawl / "all_imgs.csv", "13,13-1.jpg")
    add(crawl / "all_imgs.csv", "13,13-0.jpg")
    (crawl / "images" / "11-1.jpg").write_bytes(b"\xff\xd8 not a photo")
    tweets, problems = read(crawl)
    assert tweets.table["id"].to_list() == ["11-0.jpg", "12-0.jpg", "13-0.jpg"]
    assert tweets.table["text"].to_list() == ["love, it", "a table", "awful"]
    assert tweets.counts == {"tweets read": 3, "photos listed": 7, "photos with a text": 3}
    expected = ("listed twice; the first", "no text of tweet 99", "twice", "image", "no such file")
    assert len(problems) == len(expected)
    assert all(word in found for word, found in zip(expected, problems, strict=True))


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
    assert found.counts == {"tweets read": 200, "photos with a text": 200}
    assert found.table["text"].to_list() == [record.text for record in records]
    assert found.table["human_label"].to_list() == [record.human_label for record in records]
    assert list(found.photos([5, 199, 0])) == [records[n].image for n in (5, 199, 0)]


def test_a_dataset_without_texts_is_refused(distilled, tmp_path):
    only = tiny.only_split(distilled, tmp_path, "test")
    with pytest.raises(UserError, match="its records have no text to label"):
        read(only)
