"""The card has the run's figures and none other."""

import json
import re

import polars as pl
import written
import yaml

from input_pipeline.sources import open_source
from vit_sentiment.distillation import purging
from vit_sentiment.distillation.card import card
from vit_sentiment.distillation.writing import Settings, write

COUNTS = {"negative": 1200, "neutral": 3400, "positive": 5678, "human_label": 91}
FACTS = {
    "languages": ["en", "no"],
    "date": "2026-11-20",
    "commit": "0123456789abcdef",
    "teacher": {"teacher": "vader", "thresholds": [0.05, -0.05]},
    "rules": {"duplicate_distance": 3, "cosine": None, "pattern": "a|b"},
    "funnel": {"tweets read": 987654},
    "duplicates": {"leaks removed": 4321},
    "splits": {"train": COUNTS},
}


def test_every_fact_is_on_the_card():
    text = card(FACTS)
    for line in (
        "| date | 2026-11-20 |",
        "| commit | 0123456789abcdef |",
        "| teacher: thresholds | 0.05, -0.05 |",
        "| rules: cosine | none |",
        r"| rules: pattern | a\|b |",
        "| tweets read | 987,654 |",
        "| leaks removed | 4,321 |",
        "| train | 10,278 | 1,200 | 3,400 | 5,678 | 91 |",
    ):
        assert line in text.splitlines()


def test_the_head_is_yaml():
    head = yaml.safe_load(card(FACTS).split("---\n")[1])
    assert head["language"] == ["en", "no"]  # Unquoted, Norwegian is false.
    assert head["license"] == "other"
    assert head["size_categories"] == ["10K<n<100K"]
    assert head["task_categories"] == ["image-classification"]


def test_what_is_not_known_is_left_out():
    empty = dict.fromkeys(COUNTS, 0)
    text = card({"splits": {"train": empty}})
    assert "How it was made" not in text
    assert "language:" not in text
    assert set(re.findall(r"\d+", text)) == {"0", "1"}  # Of "n<1K" and of labels that are -1.


def test_a_written_dataset_has_its_own_counts_on_the_card(tmp_path):
    parts, files = written.make(tmp_path / "photos", 20)
    write(parts, files, tmp_path, Settings(short_side=24), card_facts={"funnel": {"tweets": 11}})
    folder = tmp_path / "distilled_tweets" / "1.0.0"
    text = (folder / "README.md").read_text()
    labels = open_source(str(folder), "train").labels("teacher_label")
    counts = [int((labels == k).sum()) for k in range(3)]
    human = int((open_source(str(folder), "train").labels("human_label") >= 0).sum())
    assert f"| train | 12 | {' | '.join(map(str, counts))} | {human} |" in text
    assert "| tweets | 11 |" in text
    assert "| writing: short_side | 24 |" in text
    assert card(json.loads((folder / "card.json").read_text())) == text


def test_a_tweet_in_three_parts_is_one_and_is_none_after_its_purge(tmp_path):
    parts, files = written.make(tmp_path / "photos", 20)
    parted = {k: rows.with_columns(tweet=pl.lit("810000000099")) for k, rows in parts.items()}
    parts = {k: pl.concat([parted[k][:1], parts[k][2:]]) for k in parts}
    write(parts, files, tmp_path)
    folder = tmp_path / "distilled_tweets" / "1.0.0"
    assert "1 tweets have photos in more than one" in (folder / "README.md").read_text()
    purging.purge(folder, ["810000000099"], "2026-11-24", False)
    assert "No tweet is in two of them." in (folder / "README.md").read_text()
