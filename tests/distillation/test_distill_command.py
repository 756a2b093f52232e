"""The command `distill`, from a dataset and from a crawl."""

import csv
import json
import sys

import numpy as np
import polars as pl
import pytest
import tiny
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from configs import distill
from input_pipeline.sources import open_source
from vit_sentiment.distillation import settings
from vit_sentiment.runtime.errors import UserError

PARTS = ("train", "validation", "test")


def parts(folder):
    return {part: open_source(str(folder), part) for part in PARTS}


def test_every_photo_carries_vaders_label_of_its_text(tweets, distilled):
    texts = {record.id: record for record in open_source(str(tweets)).records()}
    analyzer, seen = SentimentIntensityAnalyzer(), []
    for source in parts(distilled).values():
        for record in source.records():
            original = texts[record.id]
            compound = analyzer.polarity_scores(original.text)["compound"]
            label = 2 if compound >= 0.05 else 0 if compound <= -0.05 else 1
            assert record.teacher_label == label == np.argmax(record.teacher_probs)
            assert record.image == original.image
            assert record.human_label == original.human_label
            assert record.text == ""
            seen.append(record.id)
    assert sorted(seen) == sorted(texts)


def test_no_tweet_is_in_two_parts(distilled):
    groups = [set(source.index["group"]) for source in parts(distilled).values()]
    assert [len(group) for group in groups] == [160, 20, 20]
    assert len(set.union(*groups)) == 200


def test_the_funnel_counts_what_was_written(distilled):
    funnel = json.loads((distilled / "funnel.json").read_text())
    labels = np.concatenate([s.labels("teacher_label") for s in parts(distilled).values()])
    told = {
        f"photos labelled {name}": int((labels == number).sum())
        for number, name in enumerate(("negative", "neutral", "positive"))
    }
    assert told.items() <= funnel["label"].items()
    assert {stage: counts["photos left"] for stage, counts in funnel.items()} == dict.fromkeys(
        ("read", "filter", "look", "teacher", "label", "duplicates", "balance", "split", "write"),
        200,
    )
    sizes = {"train": 160, "validation": 20, "test": 20}
    assert all(sizes.items() <= funnel[stage].items() for stage in ("split", "write"))
    manifest = json.loads((distilled / "manifest.json").read_text())
    assert (manifest["teacher"], manifest["config"]["seed"]) == ("vader", 0)
    page = (distilled / "report.html").read_text()
    assert 'aria-label="Funnel: of' in page
    assert "photos labelled neutral" in page
    card = (distilled / "distilled_tweets" / "1.0.0" / "README.md").read_text()
    assert "| label: photos labelled neutral |" in card
    assert "No tweet is in two of them." in card


@pytest.fixture(scope="module")
def crawled(tweets, tmp_path_factory, run):
    """A crawl with bad rows and two photos a tweet, and two attempts to distil it."""
    folder = tmp_path_factory.mktemp("crawl")
    (folder / "images").mkdir()
    texts, photos = [("id", "text")], [("id_tweet", "path")]
    for number, record in zip(range(60), open_source(str(tweets)).records(), strict=False):
        texts.append((number, record.text))
        for k in range(2):
            (folder / "images" / f"{number}-{k}.jpg").write_bytes(record.image)
            photos.append((number, f"{number}-{k}.jpg"))
    texts.append((0, "listed again"))
    photos += [(999, "0-0.jpg"), (1, "missing.jpg"), (2, "2-0.jpg")]
    write(folder / "raw_tweets_text.csv", texts)
    write(folder / "all_imgs.csv", photos)

    def call(name, *extra):
        return run(
            "vit_sentiment.distill",
            f"--tweets={folder}",
            f"--out={folder / name}",
            *tiny.DRAWN,
            *extra,
        )

    done = tiny.together(
        {
            "skip": lambda: call("skip", "--config.seed=1"),
            "fail": lambda: call("fail", "--on_error=fail"),
        }
    )
    return folder, done


def write(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_unusable_rows_are_counted_and_listed(crawled):
    folder, done = crawled
    assert done["skip"].returncode == 0, done["skip"].stderr
    funnel = json.loads((folder / "skip" / "funnel.json").read_text())
    fell = {"photos listed twice": 1, "photos missing": 1, "photos without a tweet": 1}
    assert funnel["read"] == {
        "tweets read": 60, "photos listed": 123, "tweets listed twice": 1, **fell,
        "photos with a text": 120, "photos left": 120,
    }  # fmt: skip
    assert sum(funnel["write"][part] for part in PARTS) == 120
    (path,) = (folder / "skip").rglob("problems.csv")
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["where", "path", "problem"]
    assert [row[1] for row in rows] == ["0", "0-0.jpg", "2-0.jpg", "missing.jpg"]
    assert [row[0].rsplit("/")[-1] for row in rows] == [
        "raw_tweets_text.csv:62",
        "all_imgs.csv:122",
        "all_imgs.csv:124",
        "all_imgs.csv:123",
    ]


def test_photos_of_a_tweet_stay_together(crawled):
    index = pl.concat([s.index for s in parts(crawled[0] / "skip").values()])
    assert len(index) == 120
    for source in parts(crawled[0] / "skip").values():
        assert set(source.index.group_by("group").len()["len"]) == {2}


def test_the_first_unusable_row_fails_in_one_line_when_asked_to(crawled):
    folder, done = crawled
    assert done["fail"].returncode == 1
    (line,) = done["fail"].stderr.splitlines()
    assert line.startswith("error: ")
    assert "raw_tweets_text.csv:62: 0: tweet listed twice" in line
    assert not (folder / "fail").exists()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("seed", -1, "config.seed: expected 0 to 4294967295, found -1"),
        ("leaks.of", (5,), r"config.leaks.of: expected texts as in \('A', 'B'\), found \(5,\)"),
        ("merge.sources", (5,), "config.merge.sources: expected texts"),
    ],
)
def test_values_without_sense_are_told_before_the_work(field, value, told):
    config = distill.get_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=told):
        settings.stages(config, {})


def test_beam_that_is_missing_is_told_before_the_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    config = distill.get_config()
    config.write.runner = "beam"
    with pytest.raises(UserError, match=r"pip install -r requirements-beam\.txt"):
        settings.write(config)
