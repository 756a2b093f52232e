"""What every report must be: self-contained, parsed without complaint, in one order, printable."""

import html
import re
from html.parser import HTMLParser

WIDEST = 482
"""Points between the margins of A4; a wider figure is shrunk, and its letters with it."""
SMALLEST = 9
"""Points of a letter in print."""

_VOID = ("meta", "img", "br")
_LEADING = ("src", "href", "xlink:href", "data", "poster", "srcset", "action")


class Page(HTMLParser):
    """Elements in order, tags that are not closed properly, and the text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.problems, self.text, self.elements = [], [], [], []
        self.feed(page)
        self.close()
        self.problems += self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def read(page):
    """The text of a page or a piece of one; its tags are closed as they were opened."""
    parsed = Page(page)
    assert parsed.problems == []
    return "".join(parsed.text)


def check(page, photos=False):
    """Asserts all of it; `photos`: whether the report was asked to show some."""
    assert page.startswith("<!doctype html>")
    parsed = Page(page)
    assert parsed.problems == []
    _needs_nothing_else(page, parsed)
    _has_landmarks(page, parsed)
    _has_photos(page, parsed, photos)
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.S):
        check_figure(svg)
    assert "@media print" in page
    assert "prefers-color-scheme: dark" in page


def _needs_nothing_else(page, parsed):
    for tag, attrs in parsed.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base"), tag
        for name in _LEADING:
            target = attrs.get(name)
            if target is not None and tag != "a":
                assert target.startswith(("data:", "#")), (tag, name, target)
        assert not [name for name in attrs if name.startswith("on")]
    outside = re.findall(r"url\(\s*['\"]?(?!data:|#)[^)]*", page)
    assert outside == []
    assert "@import" not in page


def _has_landmarks(page, parsed):
    assert parsed.all("html") == [{"lang": "en"}]
    for tag in ("title", "main", "h1"):
        assert len(parsed.all(tag)) >= 1, tag
    assert len(parsed.all("h1")) == len(parsed.all("main")) == 1
    names = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    own = [name for name in names if name.startswith("section-")]
    assert len(set(own)) == len(own)
    assert [attrs["aria-labelledby"] for attrs in parsed.all("section")] == own
    assert all(attrs.get("scope") in ("col", "row") for attrs in parsed.all("th"))
    assert len(parsed.all("thead")) == len(parsed.all("table"))
    assert re.search(r"</h1>\s*<p class=\"summary\">[^<]+</p>", page)
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", page)
    assert headings[-1] == "How this was made"
    assert len(headings) > 1
    made = page[page.rindex("<h2") :]
    for name in ("command", "versions", "hardware", "date"):
        assert f'<th scope="row">{name}</th>' in made, name


def _has_photos(page, parsed, wanted):
    assert bool(parsed.all("img")) == wanted
    assert all(attrs["alt"] for attrs in parsed.all("img"))
    assert wanted or not re.search(r"data:image/(jpeg|png)|<image", page)


def check_figure(svg):
    """Asserts that a figure has words for who cannot see it, and letters that can be read."""
    parsed = Page(svg)
    assert parsed.problems == []
    (head,) = parsed.all("svg")
    assert head["role"] == "img"
    assert head["aria-label"]
    (title,) = re.findall("<title>(.*?)</title>", svg, flags=re.S)
    assert html.unescape(title) == head["aria-label"]
    assert float(head["width"].removesuffix("pt")) <= WIDEST, head["aria-label"]
    texts = re.findall(r"<text.*?</text>", svg, flags=re.S)
    sizes = [float(size) for text in texts for size in re.findall(r"font-size: ([\d.]+)px", text)]
    assert texts
    assert len(sizes) >= len(texts)
    assert min(sizes) >= SMALLEST
    used = set(re.findall(r"(?:href=\"#|url\(#)([^\")]*)", svg))
    assert used <= set(re.findall(r'\bid="([^"]*)"', svg))
