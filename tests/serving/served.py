"""A server process, and photos for it."""

import contextlib
import dataclasses
import io
import os
import pathlib
import re
import subprocess
import sys
import time

import httpx2
import numpy as np
from jsonschema import Draft202012Validator
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
MODEL = ROOT / "tests/golden/keras_train/initial.npz"


def photo(seed=0, size=(40, 30), kind="PNG"):
    """The bytes of a photo of noise, unlike those of other seeds."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()


@dataclasses.dataclass
class Server:
    """A process that listens.

    Attributes:
      url: where.
      log: file of what it has said.
    """

    process: subprocess.Popen
    url: str
    log: pathlib.Path

    def client(self):
        return httpx2.Client(base_url=self.url, trust_env=False, timeout=60)

    def figures(self):
        """What Prometheus would read, by name and labels."""
        text = httpx2.get(f"{self.url}/metrics", trust_env=False).text
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        return {name: float(value) for name, value in lines}

    def waits_for(self, name, value):
        """Until a figure has a value."""
        until(lambda: self.figures().get(f"vit_sentiment_{name}") == value)


def until(true):
    """Waits, but not for ever."""
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("this never came")


@contextlib.contextmanager
def serving(folder, *flags, env=None):
    """A server with the tiny model of the original system's architecture."""
    log = folder / "log.txt"
    words = [f"--model={MODEL}", "--gelu=exact", "--port=0", *flags]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "vit_sentiment.serve", *words],
            cwd=ROOT,
            stdout=file,
            stderr=file,
            env=os.environ | {"JAX_PLATFORMS": "cpu"} | (env or {}),
        )
    try:
        address = r"serving .* at (http://\S+)"
        until(lambda: re.search(address, log.read_text()) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        server = Server(process, re.search(address, log.read_text())[1], log)
        until(lambda: _answers(server.url))
        yield server
    finally:
        process.kill()
        process.wait()


def _answers(url):
    with contextlib.suppress(httpx2.ConnectError):
        return httpx2.get(f"{url}/healthz", trust_env=False).status_code == 200
    return False


def check(response, document):
    """An answer is one that the OpenAPI document tells of, its body and headers too."""
    request = response.request
    operation = document["paths"][request.url.path][request.method.lower()]
    told = operation["responses"][str(response.status_code)]
    kind = response.headers["content-type"].partition(";")[0]
    schema = told["content"][kind]["schema"]
    if kind == "application/json":
        whole = {**schema, "components": document["components"]}
        Draft202012Validator(whole).validate(response.json())
    for name in told.get("headers", {}):
        assert name in response.headers
    return response
