"""Pages, tables and figures of the reports."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from vit_sentiment.reporting import figures, html

EVIL = '<script>alert("x")</script> & Co'


class Reader(HTMLParser):
    """Tags that are not closed properly, and the text."""

    VOID = ("meta", "img", "br")

    def __init__(self):
        super().__init__()
        self.open, self.problems, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    assert reader.problems == []
    return "".join(reader.text)


def test_text_is_shown_as_it_is_and_never_run():
    parts = [
        html.heading(EVIL),
        html.paragraph(EVIL),
        html.warning(EVIL),
        html.table([EVIL], [[EVIL]]),
        html.figure("<svg></svg>", EVIL),
        html.photos([(b"jpeg", EVIL)]),
    ]
    page = html.page(EVIL, parts)
    assert "<script" not in page
    assert read(page).count(EVIL) == 9


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "\u2013"), (0.123456, "0.1235"), (1.0, "1.0000"), (1234567, "1,234,567"), ("a", "a")],
)
def test_cells(value, shown):
    assert html.cell(value) == shown
    assert html.cell(np.float64(0.123456)) == "0.1235"


def test_photos_are_embedded_byte_for_byte():
    data = bytes(range(256))
    (found,) = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', html.photos([(data, "x")]))
    assert base64.b64decode(found) == data


def test_the_confusion_matrix_shows_counts_and_shares():
    svg = figures.confusion_matrix([[3, 1], [0, 0]], ["bad", "good"])
    text = read(svg)
    for word in ("3", "75%", "25%", "bad", "good", "gold", "predicted"):
        assert word in text
    assert svg.startswith('<svg role="img" aria-label="Confusion matrix"')


def test_figures_are_the_same_bytes_each_time():
    rows, confidence, accuracy = np.array([0, 4, 6]), np.array([0, 0.5, 0.9]), np.array([0, 0.4, 1])
    first = figures.reliability(rows, confidence, accuracy)
    assert figures.reliability(rows, confidence, accuracy) == first
    assert "calibrated" in read(first)


def test_training_curves_bear_logs_with_missing_parts():
    log = [
        {"step": 1, "train/loss": 1.0, "train/accuracy": 0.4},
        {"step": 1, "validation/log_loss": 1.1},
        {"step": 2, "train/loss": 0.5, "train/accuracy": 0.6},
    ]
    text = read(figures.training_curves(log))
    assert text.count("training") == 2
    assert "validation" in text


def test_figures_refer_to_nothing_outside():
    svg = figures.training_curves([{"step": 1, "train/loss": 1.0, "train/accuracy": 0.5}])
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', svg))
    assert "<image" not in svg
