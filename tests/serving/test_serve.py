"""The command `serve` as a process, asked by real clients."""

import concurrent.futures
import io
import socket
import struct
import zlib

import httpx2
import numpy as np
import pytest
import tiny
from PIL import Image
from served import MODEL, check, photo, serving

import vit_sentiment
from vit_sentiment.inference.explanation import explain
from vit_sentiment.inference.photos import load
from vit_sentiment.reporting.heat_map import overlay

LIMITS = {"max_bytes": 2_000_000, "max_pixels": 100_000, "max_images": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("serve")
    (root / "temporary").mkdir()
    return root


@pytest.fixture(scope="module")
def server(folder):
    flags = ["--batch_size=8", *(f"--{name}={value}" for name, value in LIMITS.items())]
    with serving(folder, *flags, env=tiny.ENV | {"TMPDIR": str(folder / "temporary")}) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with server.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


@pytest.fixture(scope="module")
def model():
    return vit_sentiment.load(MODEL, gelu="exact")


def row(prediction, name=None):
    return {
        "name": name,
        "label": prediction.label,
        "confidence": pytest.approx(prediction.confidence, abs=1e-6),
        "probs": pytest.approx(prediction.probs, abs=1e-6),
        "error": None,
    }


def test_a_raw_photo_gets_what_predict_says(client, document, model):
    data = photo(1, kind="JPEG")
    for kind in ("image/jpeg", "application/octet-stream"):
        response = client.post("/v1/predict", content=data, headers={"Content-Type": kind})
        assert check(response, document).status_code == 200
        assert response.json() == {
            "model": "initial.npz",
            "model_id": model.model_id,
            "predictions": [row(model.predict(data))],
        }


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_every_format_of_a_browser_is_read(client, model, kind):
    data = photo(2, kind=kind)
    found = client.post("/v1/predict", files={"image": data}).json()["predictions"]
    assert found == [row(model.predict(data), name="upload")]


def test_the_query_chooses_the_rule(client, document, model):
    data = photo(3)
    query = {"binary": "true", "threshold": "0.9999"}
    response = check(client.post("/v1/predict", params=query, files={"a": data}), document)
    expected = model.predict(data, binary=True, threshold=0.9999)
    assert expected.label is None
    assert response.json()["predictions"] == [row(expected, name="upload")]


def test_of_several_photos_each_has_its_row_in_order(client, document, model):
    files = {"b.png": photo(4), "ü.txt": b"no image", "a.png": photo(5), "empty": b""}
    sent = [("image", (name, data)) for name, data in files.items()]
    response = check(client.post("/v1/predict", files=sent), document)
    assert response.status_code == 200
    rows = response.json()["predictions"]
    assert [found["name"] for found in rows] == list(files)
    for found, data in zip(rows, files.values(), strict=True):
        if found["error"] is None:
            assert found == row(model.predict(data), found["name"])
    errors = [found["error"] for found in rows]
    assert errors == [None, "not an image in a known format; JPEG, PNG, GIF, BMP or WebP are",
                      None, "empty file"]  # fmt: skip
    assert (rows[1]["label"], rows[1]["confidence"], rows[1]["probs"]) == (None, None, {})


def test_a_single_photo_that_cannot_be_read_is_422(client, document):
    response = check(client.post("/v1/predict", files={"x": photo(6)[:-50]}), document)
    assert response.status_code == 422
    (found,) = response.json()["predictions"]
    assert found["error"].startswith("damaged image: ")


def bomb(width, height):
    """A PNG of a few bytes that claims to be large."""

    def chunk(kind, data):
        check_sum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check_sum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(10_000))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    "data",
    [bomb(50_000, 50_000), bomb(500, 201), photo(7, (500, 201), "JPEG"),
     photo(7, (500, 201), "GIF")],
)  # fmt: skip
def test_a_photo_of_more_pixels_than_allowed_is_not_decoded(client, data):
    response = client.post("/v1/predict", files={"x": data})
    assert response.status_code == 422
    error = response.json()["predictions"][0]["error"]
    assert "more than 100,000" in error or "decompression bomb" in error


def test_a_photo_that_starts_other_programs_is_no_photo(client):
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    response = client.post("/v1/predict", files={"x": script})
    assert response.status_code == 422
    assert "known format" in response.json()["predictions"][0]["error"]


def failure(response, document):
    return response.status_code, check(response, document).json()["error"]["code"]


MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="i"; filename="f"\r\n\r\n'


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"params": {"binary": "yes"}}, 400, "bad_parameter"),
        ({"params": {"threshold": "2"}}, 400, "bad_parameter"),
        ({"params": {"threshold": "nan"}}, 400, "bad_parameter"),
        ({"params": {"threshold": "x"}}, 400, "bad_parameter"),
        ({"params": {"treshold": "0.5"}}, 400, "bad_parameter"),
        ({"params": [("binary", "true"), ("binary", "false")]}, 400, "bad_parameter"),
        ({"headers": {"Content-Type": "text/plain"}, "content": b"x"}, 415, "unsupported_type"),
        ({"data": {"image": "x"}}, 415, "unsupported_type"),
        ({"content": b"x"}, 415, "unsupported_type"),
        ({"headers": {"Content-Encoding": "gzip"}, "files": {"i": b"x"}}, 415,
         "unsupported_encoding"),
        ({"headers": {"Content-Type": "multipart/form-data"}, "content": b"x"}, 400,
         "bad_multipart"),
        ({"headers": MULTIPART, "content": b"nonsense"}, 400, "bad_multipart"),
        ({"headers": MULTIPART, "content": PART + b"half"}, 400, "bad_multipart"),
        ({"headers": MULTIPART, "content": b"--x--\r\n"}, 400, "no_image"),
        ({"headers": MULTIPART, "content": b'--x\r\nContent-Disposition: form-data; name="i"\r\n'
          b"\r\nno file\r\n--x--\r\n"}, 400, "bad_multipart"),
        ({"files": [("i", b"x")] * 5}, 413, "too_large"),
        ({"headers": {"Host": "evil.example"}, "files": {"i": b"x"}}, 400, "unknown_host"),
        ({"headers": {"Origin": "https://evil.example"}, "files": {"i": b"x"}}, 403, "cross_site"),
        ({"headers": {"Origin": "http://["}, "files": {"i": b"x"}}, 403, "cross_site"),
        ({"headers": {"Origin": ""}, "files": {"i": b"x"}}, 403, "cross_site"),
        ({"headers": {"Origin": "null"}, "files": {"i": b"x"}}, 403, "cross_site"),
        ({"headers": {"Sec-Fetch-Site": "cross-site"}, "files": {"i": b"x"}}, 403, "cross_site"),
    ],
)  # fmt: skip
def test_a_request_that_is_refused_says_why(client, document, sent, status, code):
    assert failure(client.post("/v1/predict", **sent), document) == (status, code)


def test_a_page_of_this_server_may_ask(client, server):
    # Also behind a proxy that asks under another name than the browser did.
    for own in (
        {"Origin": server.url},
        {"Origin": server.url, "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://photos.example", "Sec-Fetch-Site": "same-origin"},
    ):
        assert client.post("/v1/predict", files={"i": photo()}, headers=own).status_code == 200


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
@pytest.mark.parametrize("multipart", [True, False], ids=["multipart", "raw"])
def test_too_many_bytes_are_refused_however_they_come(client, document, declared, multipart):
    data = bytes(LIMITS["max_bytes"] + 1)
    headers = {"Content-Type": "image/png"}
    if multipart:
        data, headers = PART + data + b"\r\n--x--\r\n", MULTIPART
    content = data if declared else iter([data[:1000], data[1000:]])
    response = client.post("/v1/predict", content=content, headers=headers)
    assert failure(response, document) == (413, "too_large")


def test_as_many_bytes_as_allowed_are_taken(client):
    data = photo(8) + bytes(LIMITS["max_bytes"] - len(photo(8)))
    headers = {"Content-Type": "image/png"}
    assert client.post("/v1/predict", content=data, headers=headers).status_code == 200
    assert client.post("/v1/predict", files=[("i", data)] * 4).status_code == 200


def test_what_is_declared_too_large_is_refused_before_it_comes(server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_unknown_pages_and_methods_are_told_alike(client):
    for method, path, status, code in (
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/healthz/", 404, "not_found"),
        ("GET", "/v1/predict", 405, "bad_method"),
        ("DELETE", "/", 405, "bad_method"),
    ):
        response = client.request(method, path)
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert "GET" in response.headers["Allow"]


def test_a_heat_map_is_a_png_of_the_photo(client, document, model):
    data = photo(9)
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    found = explain(model)(load(data, model.description)[None])
    for query, method, name in (
        ({}, "gradient-weighted", model.predict(data).label),
        ({"method": "rollout"}, "rollout", model.predict(data).label),
    ):
        response = check(client.post("/v1/explain", params=query, files={"image": data}), document)
        assert response.headers["X-Class"] == name
        drawn = np.asarray(Image.open(io.BytesIO(response.content))).astype(int)
        assert drawn.shape == pixels.shape
        assert np.abs(drawn - overlay(pixels, found.maps[method][0])).max() <= 1
    response = client.post("/v1/explain", params={"class": "negative"}, files={"image": data})
    assert response.headers["X-Class"] == "negative"


def test_a_heat_map_that_cannot_be_says_why(client, document):
    def ask(files, **query):
        return failure(client.post("/v1/explain", params=query, files=files), document)

    assert ask({"i": b"x"}) == (422, "unreadable")
    assert ask({"i": bomb(50_000, 50_000)}) == (422, "unreadable")
    assert ask({"i": photo()}, method="magic") == (400, "bad_parameter")
    assert ask({"i": photo()}, **{"class": "angry"}) == (400, "bad_parameter")
    assert ask([("i", photo()), ("i", photo())]) == (413, "too_large")


def test_the_model_is_described(client, document, model):
    assert check(client.get("/v1/model"), document).json() == {
        "name": "initial.npz",
        "model_id": model.model_id,
        "classes": ["negative", "neutral", "positive"],
        "image_size": [32, 32],
        "calibrated": False,
        "limits": LIMITS,
        "explain": ["gradient", "rollout"],
        "version": vit_sentiment.__version__,
    }


def test_every_get_answers_as_described(client, document):
    for path, operations in document["paths"].items():
        if "get" in operations:
            assert check(client.get(path), document).status_code == 200


def test_answers_carry_what_browsers_need_to_be_careful(client):
    for path in ("/", "/v1/model", "/nothing"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert "Access-Control-Allow-Origin" not in headers
        assert "Server" not in headers


def test_many_clients_at_once_get_each_their_own_answer(server, model):
    photos = [photo(100 + number) for number in range(200)]
    expected = model.predict(photos)
    assert len({tuple(found.probs.values()) for found in expected}) == 200

    def ask(numbers):
        with server.client() as client:
            return [
                client.post("/v1/predict", files={"i": photos[number]}).json()["predictions"][0]
                for number in numbers
            ]

    before = server.figures()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        parts = list(pool.map(ask, [range(first, 200, 16) for first in range(16)]))
    for first, rows in enumerate(parts):
        assert rows == [row(found, "upload") for found in expected[first::16]]
    after = server.figures()

    def grown(name):
        return after[f"vit_sentiment_{name}"] - before[f"vit_sentiment_{name}"]

    assert grown('images_total{outcome="predicted"}') == 200
    assert grown("batch_images_sum") == 200
    assert grown("batch_images_count") < 200
    assert after["vit_sentiment_compilations_after_start"] == 0
    assert after["vit_sentiment_queue_images"] == 0


def test_nothing_of_a_photo_is_kept_or_logged(client, server, folder):
    client.post("/v1/predict", files={"i": ("private-name.png", photo(10))})
    client.post("/v1/predict", files={"i": ("private-name.txt", b"private-text")})
    client.get("/private-path?private-query")
    log = server.log.read_text()
    assert "POST /v1/predict 422 " in log
    assert "GET other 404 " in log
    figures = httpx2.get(f"{server.url}/metrics", trust_env=False).text
    assert "private" not in log + figures
    assert "Traceback" not in log
    assert not list((folder / "temporary").iterdir())


def test_a_port_in_use_is_one_line(server, run):
    port = server.url.rpartition(":")[2]
    done = run("vit_sentiment.serve", f"--model={MODEL}", "--gelu=exact", f"--port={port}")
    assert (done.returncode, done.stdout) == (1, "")
    expected = f"error: --host=127.0.0.1 --port={port}: Address already in use\n"
    assert done.stderr == expected
