"""Pages, tables and what stands in them."""

import base64
import re

import numpy as np
import pytest
from report_checks import Page, check, read

from vit_sentiment.reporting import figures, html

MADE = {
    "command": ["a/vit_sentiment/train.py", "--seed=1"],
    "commit": "abc",
    "date": "today",
    "platform": "Linux",
    "devices": ["d0", "d1"],
    "device_kind": "cpu",
    "python": "3.11",
}
EVIL = '<script>alert("x")</script> & Co'


def test_text_is_shown_as_it_is_and_never_run():
    parts = [
        html.paragraph(EVIL),
        html.table([EVIL], [[EVIL]]),
        html.figure(figures.confusion_matrix([[1]], ["a"]), EVIL),
        html.photos([(b"jpeg", EVIL)]),
    ]
    page = html.page(EVIL, EVIL, [(EVIL, parts)], {EVIL: EVIL}, warnings=[EVIL])
    assert "<script" not in page
    assert read(page).count(EVIL) == 12


def test_a_page_has_one_order():
    sections = [("First", [html.table(["", "n"], [["a", 1]])]), ("Second", [])]
    page = html.page("T", "It is 0.5.", sections, {"x": 1e-5}, warnings=["Mind."], made=MADE)
    check(page)
    text = read(page)
    order = ["T", "It is 0.5.", "Mind.", "First", "Second", "How this was made", "1e-05"]
    order += ["python -m vit_sentiment.train --seed=1", "abc", "Python 3.11", "2 cpu, Linux"]
    order += ["today"]
    places = [text.rindex(words) for words in order[1:]]
    assert places == sorted(places)


def test_nested_facts_are_told_by_their_dotted_names():
    facts = {"config": {"stages": [{"epochs": 1}, {"epochs": 5}], "seed": None}}
    text = read(html.page("T", "S", [("H", [])], facts, made=MADE))
    assert "config.stages[1].epochs5" in text.replace("\n", "")
    assert "config.seed" not in text


def test_headers_have_a_scope_and_an_empty_corner_is_none():
    table = html.table(["", "a"], [["x", 1], ["", 2]])
    scopes = [attrs["scope"] for attrs in Page(table).all("th")]
    assert scopes == ["col", "row"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "\u2013"),
        (0.123456, "0.1235"),
        (1.0, "1.0000"),
        (1234567, "1,234,567"),
        (True, "True"),
        ("a", "a"),
    ],
)
def test_cells(value, shown):
    assert html.cell(value) == shown
    assert html.cell(np.float64(0.123456)) == "0.1235"


def test_photos_are_embedded_byte_for_byte():
    data = bytes(range(256))
    (found,) = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', html.photos([(data, "x")]))
    assert base64.b64decode(found) == data
