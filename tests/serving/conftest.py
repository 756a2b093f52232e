"""What tests of the page share: a server, a browser and visits; see `browser`."""

import contextlib
import os
import pathlib

import browser as shared
import cv2
import numpy as np
import pytest
import served
import tiny

from input_pipeline.demo_tweets.drawing import draw_face
from vit_sentiment.inference.model import load


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
    if missing := shared.missing():
        pytest.fail(f"{shared.REQUIRED}=required, but {missing}")
    with shared.launched() as running:
        yield running


@pytest.fixture(scope="module")
def visiting(chromium, site):
    """A function that opens the page as a new visitor with options of a browser's context.

    It yields page and watch; at the end nothing may have gone wrong that was not expected.
    """

    from playwright.sync_api import expect

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
