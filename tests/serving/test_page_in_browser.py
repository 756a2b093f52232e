"""Photos on the page, in a real browser against a real server."""

import csv
import io

import browser as shared
import pytest
from browser import SHARE, judged, saved, until

if (_missing := shared.missing()) and not shared.required():
    pytest.skip(_missing, allow_module_level=True)

from playwright.sync_api import expect


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
