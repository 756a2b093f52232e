"""The page in a real browser, against a real server."""

import contextlib
import csv
import io
import json
import os
import pathlib
import re

import browser as shared
import cv2
import numpy as np
import pytest
import served
import tiny

from input_pipeline.demo_tweets.drawing import draw_face
from vit_sentiment.evaluation import prediction_files
from vit_sentiment.inference.model import load

if (_missing := shared.missing()) and not shared.required():
    pytest.skip(_missing, allow_module_level=True)

from playwright.sync_api import expect

SHARE = 5.1e-4
"""Half of the last digit that is shown, and what float32 sums differ by."""


@pytest.fixture(scope="module")
def model(quick_compilation):
    """What the server has: the original system's architecture with random weights."""
    return load(served.MODEL, gelu="exact")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Address of a server of the model that takes little at a time."""
    flags = ("--name=student", "--batch_size=2", "--max_images=2", f"--max_bytes={2**20}")
    folder = tmp_path_factory.mktemp("server")
    with served.serving(folder, *flags, env=tiny.ENV) as server:
        yield f"{server.url}/"


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Paths of four drawn faces, and of a file that is no photo."""
    folder = tmp_path_factory.mktemp("faces")
    paths = [folder / f"face {number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        face = draw_face(np.random.default_rng(number), number % 3, 384)
        path.write_bytes(cv2.imencode(".png", face[:, :, ::-1])[1].tobytes())
    broken = folder / "broken.png"
    broken.write_bytes(b"no picture")
    return *paths, broken


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    """Folder for pictures of the page; VIT_SENTIMENT_SCREENSHOTS names one to keep them in."""
    kept = os.environ.get("VIT_SENTIMENT_SCREENSHOTS")
    folder = pathlib.Path(kept) if kept else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def chromium():
    if _missing:
        pytest.fail(f"{shared.REQUIRED}=required, but {_missing}")
    with shared.launched() as running:
        yield running


@pytest.fixture(scope="module")
def visiting(chromium, site):
    """A function that opens the page as a new visitor with options of a browser's context.

    It yields page and watch; at the end nothing may have gone wrong that was not expected.
    """

    @contextlib.contextmanager
    def visit(**options):
        context = chromium.new_context(**options)
        page, watch = context.new_page(), shared.Watch(site)
        watch.follow(page)
        page.set_default_timeout(10_000)
        page.goto(site)
        expect(page.locator("#model")).to_contain_text("student")
        try:
            yield page, watch
        finally:
            context.close()
        assert not watch.problems

    return visit


@pytest.fixture
def visit(visiting):
    """Page and watch of one visit on a desktop computer."""
    with visiting(viewport={"width": 1100, "height": 900}) as (page, watch):
        yield page, watch


def judged(page, number):
    """The cards, when so many are there and none waits."""
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


def test_first_look(visit):
    page, watch = visit
    expect(page.get_by_role("heading", level=1)).to_have_text("Photo sentiment")
    expect(page.locator("header")).to_contain_text("negative, neutral or positive")
    expect(page.get_by_text("neither kept nor logged")).to_be_visible()
    expect(page.get_by_text("not about the persons in it")).to_be_visible()
    for hidden in ("#results", "#history", "#progress"):
        expect(page.locator(hidden)).to_be_hidden()
    assert page.evaluate("document.documentElement.lang") == "en"
    assert watch.paths == ["/", "/v1/model"]
    assert page.context.cookies() == []


def test_a_dropped_photo_shows_what_the_model_says(visit, faces, model):
    page, _ = visit
    shared.drop(page, faces[0])
    (card,) = judged(page, 1).all()
    expected = model.predict(faces[0])
    assert shared.bars(card) == pytest.approx(expected.probs, abs=SHARE)
    expect(card.get_by_role("heading")).to_have_text("face 0.png")
    expect(card.locator(".verdict")).to_have_text(expected.label.capitalize())
    expect(card.locator(".chosen")).to_contain_text(expected.label.capitalize())
    expect(card.get_by_role("img", name="Photo face 0.png")).to_be_visible()
    assert card.locator("img").evaluate("(image) => image.naturalWidth") == 384
    share = f"{100 * expected.confidence:.1f}%"
    expect(page.get_by_role("status").first).to_contain_text(
        f"{expected.label}, confidence {share}"
    )


def test_a_pasted_photo(visit, faces, model):
    page, _ = visit
    shared.paste(page, faces[1].read_bytes())
    (card,) = judged(page, 1).all()
    assert shared.bars(card) == pytest.approx(model.predict(faces[1]).probs, abs=SHARE)


def test_what_holds_no_photo_is_told(visit):
    page, watch = visit
    page.evaluate("dispatchEvent(new DragEvent('drop', { dataTransfer: new DataTransfer() }))")
    expect(page.locator("#said")).to_contain_text("drop image files, not links")
    page.evaluate(
        "dispatchEvent(new ClipboardEvent('paste', { clipboardData: new DataTransfer() }))"
    )
    expect(page.locator("#said")).to_have_text("There is no photo on the clipboard.")
    assert watch.count("/v1/predict") == 0


def test_several_photos_keep_their_order(visit, faces, model):
    page, watch = visit
    watch.expected.add("status of 422")  # The fifth photo is alone in its request.
    page.set_input_files("#files", faces)
    cards = judged(page, 5).all()
    for card, photo in zip(cards[:4], faces[:4], strict=True):
        assert shared.bars(card) == pytest.approx(model.predict(photo).probs, abs=SHARE)
        expect(card.get_by_role("heading")).to_have_text(photo.name)
    expect(cards[4].locator(".verdict")).to_have_text("No result")
    expect(page.locator("#said")).to_contain_text("5 photos done: ")
    expect(page.locator("#said")).to_contain_text("1 without a result.")
    expect(page.locator("#progress")).to_be_hidden()
    assert watch.count("/v1/predict") == 3


def test_only_two_requests_are_under_way(visit, faces):
    page, _ = visit
    held = []
    page.route("**/v1/predict", lambda route: held.append(route))
    page.set_input_files("#files", [*faces[:4], faces[0]])
    expect(page.locator("#said")).to_have_text("0 of 5 photos done.")
    until(page, lambda: len(held) == 2)
    page.wait_for_timeout(100)
    assert [route.request.post_data_buffer.count(b'name="image"') for route in held] == [2, 2]
    held[1].continue_()
    expect(page.locator("#said")).to_have_text("2 of 5 photos done.")
    expect(page.locator(".waiting")).to_have_count(3)
    bar = page.get_by_role("progressbar", name="Photos done")
    assert [bar.get_attribute(name) for name in ("value", "max")] == ["2", "5"]
    until(page, lambda: len(held) == 3)
    held[0].continue_()
    held[2].continue_()
    cards = judged(page, 5)
    expect(cards.nth(4).get_by_role("heading")).to_have_text("face 0 (2).png")
    assert shared.bars(cards.nth(4)) == shared.bars(cards.nth(0))
    names = [f"face {number}.png" for number in range(4)] + ["face 0 (2).png"]
    assert page.locator("#rows th").all_inner_texts() == names[::-1]  # Not as they were answered.


def test_photos_that_cannot_be_judged(visit, faces, tmp_path):
    page, watch = visit
    watch.expected.add("status of 422")
    page.set_input_files("#files", faces[4])
    (card,) = judged(page, 1).all()
    expect(card.locator(".confidence")).to_contain_text("image")
    expect(card.locator(".gone")).to_be_visible()
    assert watch.count("/v1/predict") == 1

    page.set_input_files("#files", shared.payload("big.png", bytes(2**20 + 2**19)))
    card = judged(page, 2).first
    told = "Too big: it has 1.5 MiB, and the server takes 1.0 MiB at most."
    expect(card.locator(".confidence")).to_have_text(told)
    watch.expected.add("ERR_FILE_NOT_FOUND")  # The browser tries to show it.
    shared.drop(page, tmp_path)
    card = judged(page, 3).first
    expect(card.locator(".confidence")).to_have_text(
        "Cannot be read; folders have to be opened first."
    )
    assert watch.count("/v1/predict") == 1
    expect(page.locator("#rows tr")).to_have_count(3)


def test_a_photo_in_doubt_has_no_label(visit, faces):
    page, _ = visit
    probs = {"negative": 0.3, "neutral": 0.3, "positive": 0.4}
    answer = {"name": "a", "label": None, "confidence": 0.4, "probs": probs, "error": None}
    page.route("**/v1/predict", lambda route: route.fulfill(json={"predictions": [answer]}))
    page.set_input_files("#files", faces[0])
    card = judged(page, 1)
    expect(card.locator(".verdict")).to_have_text("Undecided")
    expect(card.locator(".confidence")).to_have_text("Confidence 40.0%, too low for a label")
    expect(card.locator(".chosen")).to_have_count(0)
    rows = list(csv.DictReader(io.StringIO(saved(page)[1].decode("utf-8-sig"))))
    assert [(row["label"], row["POS"], row["error"]) for row in rows] == [("", "0.4", "")]


def test_a_busy_server_is_asked_again(visit, faces):
    page, watch = visit
    watch.expected.add("status of 503")
    busy = {"status": 503, "headers": {"Retry-After": "2"}, "json": {"error": {"message": "busy"}}}
    page.clock.install()
    page.route("**/v1/predict", lambda route: route.fulfill(**busy), times=1)
    page.set_input_files("#files", faces[0])
    note = page.locator("#busy")
    expect(note).to_have_text("The server is busy. Trying again in 2 s (attempt 2 of 6).")
    page.clock.run_for(1900)
    expect(page.locator(".waiting")).to_have_count(1)
    page.clock.run_for(200)
    judged(page, 1)
    expect(page.locator(".bars li")).to_have_count(3)
    expect(note).to_be_empty()

    page.route("**/v1/predict", lambda route: route.fulfill(**busy))
    page.set_input_files("#files", faces[1])
    for attempt in range(2, 7):
        expect(note).to_contain_text(f"attempt {attempt} of 6")
        page.clock.run_for(2000)
    expect(judged(page, 2).first.locator(".confidence")).to_have_text("Busy.")
    expect(note).to_be_empty()


def test_a_server_that_is_gone(visit, faces):
    page, watch = visit
    page.route("**/v1/predict", lambda route: route.abort())
    page.set_input_files("#files", faces[0])
    card = judged(page, 1)
    expect(card.locator(".confidence")).to_have_text("The server cannot be reached.")
    assert "net::ERR_FAILED" in watch.problems.pop()


def test_heat_map_on_demand(visit, faces, model):
    page, watch = visit
    page.set_input_files("#files", faces[0])
    card = judged(page, 1)
    image, select = card.locator("img"), card.get_by_role("combobox")
    photo = image.get_attribute("src")
    expect(select).to_be_hidden()
    assert watch.count("/v1/explain") == 0
    card.get_by_role("button", name="Show heat map of face 0.png").click()
    hide = card.get_by_role("button", name="Hide heat map of face 0.png")
    expect(hide).to_be_visible()
    label = model.predict(faces[0]).label
    expect(image).to_have_attribute(
        "alt", f"Heat map (gradient) for {label} over the photo face 0.png"
    )
    expect(image).to_be_visible()
    first = image.get_attribute("src")
    assert first != photo
    assert image.evaluate("async (image) => (await image.decode(), image.naturalWidth)") == 384
    assert watch.paths[-1] == f"/v1/explain?method=gradient&class={label}"
    select.select_option("Rollout")
    expect(image).to_have_attribute(
        "alt", f"Heat map (rollout) for {label} over the photo face 0.png"
    )
    assert watch.count("/v1/explain") == 2
    hide.click()
    expect(image).to_have_attribute("src", photo)
    expect(select).to_be_hidden()
    card.get_by_role("button").click()
    select.select_option("Gradient")
    expect(image).to_have_attribute("src", first)  # Kept.
    assert watch.count("/v1/explain") == 2


def test_a_heat_map_that_fails(visit, faces):
    page, watch = visit
    watch.expected.add("status of 500")
    page.set_input_files("#files", faces[0])
    card = judged(page, 1)
    failure = {"status": 500, "json": {"error": {"message": "the server failed"}}}
    page.route("**/v1/explain?*", lambda route: route.fulfill(**failure), times=1)
    card.get_by_role("button").click()
    expect(card.get_by_role("alert")).to_have_text("No heat map: the server failed.")
    card.get_by_role("button").click()
    expect(card.locator(".map")).to_be_visible()
    expect(card.get_by_role("alert")).to_be_empty()


def test_the_saved_history_is_what_was_shown(visit, faces, model, tmp_path):
    page, watch = visit
    watch.expected.add("status of 422")
    page.set_input_files("#files", faces[2:])
    cards = judged(page, 3).all()
    name, data = saved(page)
    assert name == f"predictions-{model.model_id[:8]}.csv"
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert [row["path"] for row in rows] == [path.name for path in faces[2:]]
    assert list(rows[0]) == ["path", "NEG", "NEU", "POS", "label", "confidence", "error"]
    columns = ("NEG", "NEU", "POS")
    for row, card, photo in zip(rows[:2], cards[:2], faces[2:4], strict=True):
        expected = model.predict(photo)
        found = [float(row[column]) for column in columns]
        assert found == pytest.approx(list(expected.probs.values()), abs=1e-6)
        shown = [item.inner_text() for item in card.locator(".share").all()]
        assert shown == [f"{100 * share:.1f}%" for share in found]
        assert (row["label"], row["error"]) == (expected.label, "")
        assert float(row["confidence"]) == pytest.approx(max(found), abs=1e-6)
    assert rows[2]["error"]
    assert not any(rows[2][column] for column in columns)
    told = page.locator("#rows tr").all_inner_texts()  # The latest first.
    assert [row.split("\t")[0] for row in told] == [path.name for path in reversed(faces[2:])]
    assert told[1].split("\t")[2:5] == cards[1].locator(".share").all_inner_texts()

    path = tmp_path / name
    path.write_bytes(data)
    read = prediction_files.read(path, [photo.name for photo in faces[2:]])
    assert read.known.tolist() == [True, True, False]
    np.testing.assert_array_equal(
        read.probs[:2], [[float(row[column]) for column in columns] for row in rows[:2]]
    )


def test_names_of_files_are_text(visit, faces):
    page, _ = visit
    names = [
        '=1+1, "so" <img src=x onerror="document.title=1"><script>document.title=2<.png',
        "@SUM(A1).png",
        "-1, café \N{SNOWMAN}\n.png",
    ]
    page.set_input_files("#files", [shared.payload(name, faces[0].read_bytes()) for name in names])
    cards = judged(page, 3)
    assert (
        cards.get_by_role("heading").evaluate_all("(all) => all.map((one) => one.textContent)")
        == names
    )
    assert (
        page.locator("#rows th").evaluate_all("(all) => all.map((one) => one.textContent)")
        == names[::-1]
    )
    expect(page.locator("img")).to_have_count(3)
    expect(page).to_have_title("Photo sentiment")
    rows = list(csv.reader(io.StringIO(saved(page)[1].decode("utf-8-sig"), newline="")))
    assert [row[0] for row in rows[1:]] == [f"'{name}" for name in names]


def test_by_keyboard_alone(visit, faces):
    page, _ = visit

    def focused():
        return page.evaluate(
            "[document.activeElement.id, document.activeElement.ariaLabel,"
            " document.activeElement.textContent].find(Boolean)"
        )

    def tab():
        page.keyboard.press("Tab")
        return focused()

    assert tab() == "files"
    outline = page.locator("#drop").evaluate("(zone) => getComputedStyle(zone).outlineStyle")
    assert outline == "solid"
    choosers = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    focused()  # The browser has heard by now that files are chosen for it.
    page.keyboard.press("Enter")
    until(page, lambda: choosers)
    assert choosers[0].is_multiple()
    choosers[0].set_files(faces[:2])
    judged(page, 2)
    assert focused() == "files"
    assert tab() == "Show heat map of face 0.png"
    page.keyboard.press("Enter")
    expect(page.locator(".map").first).to_be_visible()
    expect(page.locator("#aloud")).to_have_text("Heat map of face 0.png is shown.")
    assert focused() == "Hide heat map of face 0.png"
    assert tab() == "Method of the heat map of face 0.png"
    page.keyboard.press("r")
    expect(page.locator("img").first).to_have_attribute("alt", re.compile(r"\(rollout\)"))
    assert tab() == "Show heat map of face 1.png"
    page.keyboard.press("Space")
    expect(page.locator(".map").nth(1)).to_be_visible()
    tab()
    assert tab() == "save"
    with page.expect_download():
        page.keyboard.press("Enter")
    expect(page.locator("#said")).to_have_text("Saved 2 rows.")
    assert tab() == "clear"
    page.keyboard.press("Enter")
    assert focused() == "files"
    for hidden in ("#results", "#history"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(page.locator("#said")).to_have_text("History cleared.")


def test_what_is_cleared_stays_away(visit, faces):
    page, _ = visit
    held = []
    page.set_input_files("#files", faces[0])
    judged(page, 1)
    page.route("**/v1/predict", lambda route: held.append(route))
    page.set_input_files("#files", faces[1])
    until(page, lambda: held)
    page.get_by_role("button", name="Clear").click()
    page.unroute("**/v1/predict")
    page.set_input_files("#files", faces[0])
    card = judged(page, 1)
    expect(card.get_by_role("heading")).to_have_text("face 0.png")
    expect(page.locator("#rows tr")).to_have_count(1)


def test_everything_has_a_name(visit, faces):
    page, watch = visit
    watch.expected.add("status of 422")
    page.set_input_files("#files", faces[3:])
    judged(page, 2)
    page.get_by_role("button", name="Show heat map").click()
    expect(page.locator(".map").first).to_be_visible()
    found = shared.named(page)
    controls = [each for each in found if each[0] in ("button", "combobox", "image", "region")]
    assert controls == [
        ("region", "Choose photos"),
        ("button", "Choose photos"),
        ("region", "Photos"),
        ("image", page.locator("img").first.get_attribute("alt")),
        ("button", "Hide heat map of face 3.png"),
        ("combobox", "Method of the heat map of face 3.png"),
        ("region", "History"),
        ("button", "Save as CSV"),
        ("button", "Clear"),
        ("region", "History"),
    ]
    roles = [role for role, _ in found]
    for landmark in ("banner", "main", "contentinfo"):
        assert roles.count(landmark) == 1
    assert ("table", "Photos of this visit, the latest first") in found
    heads = ["Photo", "Result", "Negative", "Neutral", "Positive", "Confidence", "Time"]
    assert [name for role, name in found if role == "columnheader"] == heads
    assert [name for role, name in found if role == "rowheader"] == ["broken.png", "face 3.png"]
    assert [name for role, name in found if role == "heading"] == [
        "Photo sentiment", "Photos", "face 3.png", "broken.png", "History",
    ]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_have_contrast(visiting, faces, screenshots, scheme):
    options = {"color_scheme": scheme, "viewport": {"width": 1100, "height": 900}}
    with visiting(**options, reduced_motion="reduce") as (page, watch):
        watch.expected.add("status of 422")
        page.set_input_files("#files", faces)
        judged(page, 5)
        page.get_by_role("button", name="Show heat map").first.click()
        expect(page.locator(".map").first).to_be_visible()
        found = page.evaluate(shared.CONTRASTS)
        page.screenshot(path=screenshots / f"{scheme}.png", full_page=True)
        assert len(found["text"]) > 50
        assert len(found["marks"]) > 15
        assert not [each for each in found["text"] if each[1] < 4.5]
        assert not [each for each in found["marks"] if each[1] < 3]
        lightness = page.evaluate("getComputedStyle(document.body).backgroundColor")
        dark = max(json.loads(lightness.replace("rgb(", "[").replace(")", "]"))) < 128
        assert dark == (scheme == "dark")
        moves = "getComputedStyle(document.querySelector('.bar')).transitionProperty"
        assert page.evaluate(moves) == "none"


def test_on_a_phone(visiting, faces, screenshots):
    options = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
    with visiting(**options) as (page, watch):
        watch.expected.add("status of 422")
        long = shared.payload("a" * 200 + ".png", faces[0].read_bytes())
        page.set_input_files("#files", long)
        judged(page, 1)
        page.set_input_files("#files", faces[2:])
        judged(page, 4)
        page.get_by_role("button", name="Show heat map").first.tap()
        expect(page.locator(".map").first).to_be_visible()
        page.screenshot(path=screenshots / "phone.png", full_page=True)
        for width in (360, 320):  # The latter is what 400 % on a desktop leaves.
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate("document.documentElement.scrollWidth") == width
        controls = [*page.locator("button:visible, select:visible, #choose").all()]
        assert len(controls) == 7
        for control in controls:
            assert control.bounding_box()["height"] >= 44


def test_nothing_else_runs_on_the_page(visit):
    page, watch = visit
    failed = []
    page.on("requestfailed", lambda request: failed.append((request.url, request.failure)))
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'taken'";
          document.body.append(script);
          document.body.insertAdjacentHTML("beforeend", "<b onclick='document.title=1'>x</b>");
          document.querySelector("b").click();
          new Image().src = "http://photos.invalid/a.png";
          return fetch("http://photos.invalid/").catch(() => null);
        }"""
    )
    expect(page).to_have_title("Photo sentiment")
    refused = [problem for problem in watch.problems if "Content Security Policy" in problem]
    assert len(refused) >= 4
    assert failed == [("http://photos.invalid/a.png", "csp")]
    watch.problems.clear()
