"""What a server does with too many requests, with clients that go, and at its end."""

import contextlib
import signal
import socket

import pytest
import tiny
from served import photo, serving, until

PHOTO = photo()
HEAD = (
    "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    f"Content-Length: {len(PHOTO)}\r\n\r\n"
).encode()


@pytest.fixture
def server(tmp_path):
    """Batches of two that wait long to be full, and places for two."""
    flags = ["--queue=2", "--max_images=2", "--batch_size=2", "--max_wait_ms=60000"]
    with serving(tmp_path, *flags, "--noexplain", env=tiny.ENV) as running:
        yield running


@contextlib.contextmanager
def asking(server, sent=None):
    """A connection on which a request, or the first bytes of its photo, is sent."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(HEAD + PHOTO[:sent])
        yield connection


@contextlib.contextmanager
def half_sent(server):
    """Two requests that have places; yields a function that sends the rest and gives answers."""
    with asking(server, 100) as one, asking(server, 100) as other:
        server.waits_for("queue_images", 2)

        def finish():
            for connection in (one, other):
                connection.sendall(PHOTO[100:])
            return [connection.recv(12) for connection in (one, other)]

        yield finish


def refusal(response):
    assert int(response.headers["Retry-After"]) >= 1
    return response.status_code, response.json()["error"]["code"]


def test_queue_clients_and_end(server):
    """One server for all, since each takes seconds to start."""
    gone = 'requests_total{method="POST",route="/v1/predict",status="499"}'
    files = [("image", PHOTO)] * 2
    with server.client() as client:
        with asking(server):
            server.waits_for("queue_images", 1)
        server.waits_for(gone, 1)
        with asking(server, 100):
            server.waits_for("queue_images", 1)
        server.waits_for(gone, 2)
        server.waits_for("queue_images", 0)

        with half_sent(server) as finish:
            for count in (1, 2):
                response = client.post("/v1/predict", files=files[:count])
                assert refusal(response) == (503, "queue_full")
            assert finish() == [b"HTTP/1.1 200"] * 2
        assert client.post("/v1/predict", files=files).status_code == 200
        assert server.figures()["vit_sentiment_batch_images_sum"] == 4

        with half_sent(server) as finish:
            server.process.send_signal(signal.SIGTERM)
            until(lambda: client.get("/healthz").status_code == 503)
            for response in (client.get("/healthz"), client.post("/v1/predict", files=files)):
                assert refusal(response) == (503, "draining")
            assert finish() == [b"HTTP/1.1 200"] * 2
    assert server.process.wait(60) == 0
    assert server.log.read_text().splitlines()[-1] == "ended"
