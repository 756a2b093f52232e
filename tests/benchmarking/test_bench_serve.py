"""The command `bench serve` with a tiny model, and its clients beside a server that errs."""

import http.server
import json
import re
import threading

import pytest
import tiny

from vit_sentiment.benchmarking import load, serve
from vit_sentiment.inference.predictions import Prediction


def test_prints_answers_rates_and_latencies(run, golden):
    done = run(
        "vit_sentiment.bench", "serve", f"--model={golden / 'keras_train/initial.npz'}",
        "--gelu=exact", "--count=12", "--rounds=1", "--clients=4", "--batch_size=2", env=tiny.ENV,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"^answers +60 of 60 as predict's", done.stdout, re.M)

    def rate(name):
        return float(re.search(rf"^{name} +([\d.]+) photos/s", done.stdout, re.M)[1])

    for unit, other in (("times singles", "singles"), ("of predict's", "predict")):
        ratio = float(re.search(rf"^batches +([\d.]+) {unit}", done.stdout, re.M)[1])
        assert ratio == pytest.approx(rate("batches") / rate(other), abs=0.02, rel=0.02)
    latencies = re.search(r"p50 (\S+) ms, p95 (\S+) ms, p99 (\S+) ms", done.stdout)
    p50, p95, p99 = map(float, latencies.groups())
    assert 0 < p50 <= p95 <= p99
    bound = re.search(r"p99 is (within|beyond) the wait and two batches, (\S+) ms", done.stdout)
    assert (bound[1] == "within") == (p99 <= float(bound[2]))


def test_a_server_that_cannot_start_is_one_line(run, tmp_path):
    done = run("vit_sentiment.bench", "serve", f"--model={tmp_path / 'no.npz'}")
    assert done.returncode == 1
    assert "no such file" in done.stderr.splitlines()[-1]


def answer(label, positive):
    return {"label": label, "probs": {"negative": 1 - positive, "positive": positive}}


def test_answers_that_differ_from_predicts_are_counted():
    right = Prediction("positive", 0.75, {"negative": 0.25, "positive": 0.75})
    answers = [
        answer("positive", 0.75 + 1e-6), None, answer("negative", 0.75), answer("positive", 0.76),
        {"label": None, "probs": {}},
    ]  # fmt: skip
    assert serve._compare(answers[:1], [right]) == (0, pytest.approx(1e-6))
    assert serve._compare(answers, [right] * 5)[0] == 4


class Answers(http.server.BaseHTTPRequestHandler):
    """Echoes the body as a prediction; refuses what is empty."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = json.dumps({"predictions": [body.decode()]}).encode()
        self.send_response(200 if body else 503)
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(("run_load", "word"), [(load.closed, 3), (load.open_loop, 1000.0)])
def test_clients_keep_answers_in_order_and_note_refusals(run_load, word):
    photos = [str(number).encode() if number != 5 else b"" for number in range(20)]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        found = run_load(f"http://127.0.0.1:{server.server_port}", photos, word)
        server.shutdown()
        thread.join()
    assert found.answers == [photo.decode() or None for photo in photos]
    assert len(found.latencies) == 20
    assert 0 < min(found.latencies) <= max(found.latencies) <= found.seconds
