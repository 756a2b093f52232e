"""The page's history, its use by keyboard, phone and screen reader, and what it lets run."""

import csv
import io
import json
import re

import browser as shared
import numpy as np
import pytest
from browser import judged, saved, until

from vit_sentiment.evaluation import prediction_files

if (_missing := shared.missing()) and not shared.required():
    pytest.skip(_missing, allow_module_level=True)

from playwright.sync_api import expect


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
