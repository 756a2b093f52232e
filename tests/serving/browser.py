"""What tests in a browser share: photos to give it, and figures that are read off its page."""

import base64
import contextlib
import dataclasses
import os
import pathlib
import re
import shutil

CHROMIUM = shutil.which("chromium")
REQUIRED = "VIT_SENTIMENT_BROWSER"
"""Set to `required` where these tests must run: there a missing browser is a failure."""

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def missing():
    """Why there can be no browser here, or None."""
    try:
        import playwright.sync_api  # noqa: F401
    except ModuleNotFoundError:
        return "playwright is not installed: pip install playwright"
    return None if CHROMIUM else "chromium is not installed: apt-get install chromium"


def required():
    return os.environ.get(REQUIRED) == "required"


@dataclasses.dataclass
class Watch:
    """What went on in a page that must not, and where its requests went.

    Attributes:
      expected: parts of messages of the console that are no problem.
    """

    site: str
    problems: list[str] = dataclasses.field(default_factory=list)
    paths: list[str] = dataclasses.field(default_factory=list)
    expected: set[str] = dataclasses.field(default_factory=set)

    def __post_init__(self):
        self.site = self.site.rstrip("/")

    def follow(self, page):
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("request", self._request)

    def _console(self, message):
        expected = any(text in message.text for text in self.expected)
        if message.type in ("error", "warning") and not expected:
            self.problems.append(f"console: {message.text}")

    def _request(self, request):
        if request.url.startswith(f"{self.site}/"):
            self.paths.append(request.url.removeprefix(self.site))
        elif not request.url.startswith(("blob:", "data:")):
            self.problems.append(f"another host: {request.url}")

    def count(self, path):
        return sum(asked.partition("?")[0] == path for asked in self.paths)


@contextlib.contextmanager
def launched():
    """A browser with a new, empty profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=list(FLAGS)
        )
        yield browser
        browser.close()


def drop(page, *paths):
    """Drops files as a file manager does."""
    box = page.locator("#drop").bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})
    session.detach()


def paste(page, png):
    """Puts a picture on the clipboard and pastes it by the keyboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async (text) => {
          const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt());
          const blob = new Blob([bytes], { type: "image/png" });
          await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        base64.b64encode(png).decode(),
    )
    page.keyboard.press("Control+V")


def payload(name, data):
    """A file with any name, for a file input."""
    return {"name": name, "mimeType": "image/png", "buffer": data}


def bars(card):
    """Class name to the share that a card shows, and to the share of the track that is filled."""
    shown, filled = {}, {}
    for item in card.locator(".bars li").all():
        name, share = re.split(r"\s+", item.inner_text().strip())
        shown[name.lower()] = float(share.removesuffix("%")) / 100
        style = item.locator(".bar").evaluate("(bar) => bar.style.width")
        filled[name.lower()] = float(style.removesuffix("%")) / 100
    assert shown == filled
    return shown


CONTRASTS = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    throw new Error("no background");
  };
  const found = { text: [], marks: [] };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = texts.nextNode()); ) {
    const owner = node.parentElement;
    if (!node.data.trim() || !owner.checkVisibility()) continue;
    found.text.push([node.data.trim(), ratio(getComputedStyle(owner).color, ground(owner))]);
  }
  for (const bar of document.querySelectorAll(".bar")) {
    const colour = getComputedStyle(bar).backgroundColor;
    found.marks.push(["bar", ratio(colour, ground(bar.parentElement))]);
  }
  for (const control of document.querySelectorAll("#drop, button, select")) {
    if (!control.checkVisibility()) continue;
    const line = getComputedStyle(control).borderTopColor;
    found.marks.push([control.id || control.tagName, ratio(line, ground(control.parentElement))]);
  }
  return found;
}"""
"""The contrast of each text with what is behind it, and of bars and outlines with theirs; by
https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""


def named(page):
    """(role, name) of what a screen reader finds, in order."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    by_id = {node["nodeId"]: node for node in nodes}
    found, left = [], [nodes[0]]
    while left:
        node = left.pop()
        if not node["ignored"]:
            found.append((node["role"]["value"], node.get("name", {}).get("value", "")))
        left += [by_id[child] for child in reversed(node["childIds"])]
    return found


SHARE = 5.1e-4
"""Half of the last digit that is shown, and what float32 sums differ by."""


def judged(page, number):
    """The cards, when so many are there and none waits."""
    from playwright.sync_api import expect

    cards = page.locator(".card")
    expect(cards).to_have_count(number)
    expect(page.locator(".waiting")).to_have_count(0)
    return cards


def until(page, holds):
    """Waits for what only this process sees."""
    for _ in range(1000):
        if holds():
            return
        page.wait_for_timeout(10)
    raise AssertionError("waited in vain")


def saved(page):
    """Name and bytes of the file that "Save as CSV" gives."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    return download.value.suggested_filename, pathlib.Path(download.value.path()).read_bytes()
