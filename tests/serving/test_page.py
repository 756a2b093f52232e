import base64
import hashlib
import html.parser
import re

from vit_sentiment.serving import guard, page


class Elements(html.parser.HTMLParser):
    """Of a document, with their attributes; and the text of each style sheet and script."""

    def __init__(self, text):
        super().__init__()
        self.found, self.blocks = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.cdata_elem:
            self.blocks.append((self.cdata_elem, data))


def test_the_policy_names_the_one_style_sheet_and_the_one_script():
    elements = Elements(page.document())
    assert [tag for tag, _ in elements.blocks] == ["style", "script"]
    digests = {
        tag: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for tag, text in elements.blocks
    }
    policy = guard.page_policy(page.document())
    assert f"script-src 'sha256-{digests['script']}';" in policy
    assert f"style-src 'sha256-{digests['style']}';" in policy
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none';")


def test_nothing_is_asked_of_another_host():
    text = page.document()
    elements = Elements(text)
    assert not {"src", "action", "srcset"} & {name for _, found in elements.found for name in found}
    (icon,) = [found["href"] for _, found in elements.found if "href" in found]
    assert icon.startswith("data:")
    assert set(re.findall(r"https?://[^/'\"]+", text)) == {"http://www.w3.org"}  # A namespace.
    assert "@import" not in text
    assert "url(" not in text


def test_no_markup_needs_what_the_policy_forbids():
    for tag, attributes in Elements(page.document()).found:
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag
