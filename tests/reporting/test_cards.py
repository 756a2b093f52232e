"""Markdown of the cards, and the card of a built dataset."""

import yaml

from vit_sentiment.reporting import dataset_card, markdown


def test_the_head_is_yaml_whatever_the_values_are():
    values = {
        "license": "other", "language": ["no", "en"], "empty": [], "none": None,
        "model-index": [{"name": 'a: "b"', "results": [{"value": 0.5}]}],
    }  # fmt: skip
    head = yaml.safe_load(markdown.front_matter(values).strip("-"))
    assert head == {key: value for key, value in values.items() if value}


def test_sections_and_tables_without_content_are_left_out():
    assert markdown.table(("a", "b"), []) == ""
    assert markdown.section("Title", "", markdown.table(("a",), [])) == ""
    assert markdown.document("H", "T", ["", "S"]) == "H\n\n# T\n\nS\n"


def test_a_cell_breaks_no_table():
    assert markdown.cell("a|b\nc") == r"a\|b c"
    assert [markdown.cell(value) for value in (None, [], 12345, True)] == [
        "none", "none", "12,345", "True"
    ]  # fmt: skip


def test_a_built_dataset_has_a_card():
    labels = {"negative": 3, "neutral": 0, "positive": 2}
    none = dict.fromkeys(labels, 0)
    counts = {"records": 5, "groups": 4, "human_label": labels, "teacher_label": none}
    facts = {"title": "t", "about": "What.", "drawn": False, "splits": {"train": counts}}
    text = dataset_card.built({**facts, "made": [["builder", "labelled_images"]]})
    assert "| train | human label | 5 | 4 | 3 | 0 | 2 |" in text
    assert "teacher label" not in text
    assert "--config.data.label=human_label" in text
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "other"
    drawn = dataset_card.built({**facts, "made": [], "drawn": True})
    assert yaml.safe_load(drawn.split("---\n")[1])["license"] == "mit"
    assert "drawn by a program" in drawn
