"""Documented servers start, answer the documented requests and end."""

import contextlib
import re
import shutil
import time
import urllib.error
import urllib.request

import pytest
from documented import groups, running, shortening

DOCUMENTED = "http://127.0.0.1:8000"
SECONDS = 120


@pytest.fixture(scope="module", params=groups.cases(groups.of_group("serving")))
def served(request, python, documented_world, tmp_path_factory):
    """Folder and address of a server that runs as documented, but for its port."""
    folder = tmp_path_factory.mktemp("served") / "here"
    running.furnish(folder, documented_world)
    with python.running(shortening.shortened(request.param), folder) as told:
        for _ in range(10 * SECONDS):
            address = re.search(r"serving .* at (http://\S+)", told.read_text())
            if address and page(address[1], "/healthz") is not None:
                break
            time.sleep(0.1)
        else:
            pytest.fail(told.read_text())
        yield folder, address[1]


def page(address, path="/"):
    """What is there; None where nobody listens, as just before a server is ready."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with (
        contextlib.suppress(urllib.error.URLError),
        opener.open(address + path, timeout=SECONDS) as answer,
    ):
        return answer.read()
    return None


def test_the_page_is_there(served):
    assert b"<html" in page(served[1])


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("command", groups.cases(groups.curl()))
def test_request(command, served):
    folder, address = served
    words = [word.replace(DOCUMENTED, address) for word in command.words]
    assert words != [*command.words]
    running.request(words, folder)
