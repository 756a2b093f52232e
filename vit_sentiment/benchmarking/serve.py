"""Photos a second of a server, of one without batches and of `predict`; the server's latencies."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import multiprocessing
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import httpx2
import jax
import numpy as np
import simplejpeg

from checkpoints import google_npz
from input_pipeline.demo_tweets.drawing import draw_face
from vit_sentiment.benchmarking import load
from vit_sentiment.inference import photos as photo_runs
from vit_sentiment.inference.model import BATCH_SIZE, Model
from vit_sentiment.models.classifier import init_params
from vit_sentiment.models.description import ModelDescription, sizes
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

WAIT_MS = 5.0
TOLERANCE = 1e-5
"""Of probabilities: programs of different batch sizes sum in different orders."""


@dataclasses.dataclass(frozen=True)
class Server:
    """A process that serves.

    Attributes:
      url: where.
      pid: its number.
    """

    url: str
    pid: int

    def core_seconds(self) -> float:
        """That it has used so far."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def figure(self, name: str) -> float:
        """One that Prometheus would read."""
        text = httpx2.get(f"{self.url}/metrics", trust_env=False).text
        return float(re.search(rf"^vit_sentiment_{name} (\S+)$", text, re.MULTILINE)[1])


def make_model(path: pathlib.Path, variant: str) -> None:
    """A ViT of a named size with random weights for 64x64 pixels.

    With B/32 or L/32 its five tokens a photo leave a batch of one waiting for the weights to come
    from memory, as larger models do on accelerators; at 224x224 a processor is busy with one photo
    alone.
    """
    description = ModelDescription(image_size=(64, 64), head_hidden=32, **sizes(variant))
    google_npz.write(path, init_params(description, jax.random.key(0)), description)


def make_photos(count: int) -> list[bytes]:
    """JPEG files of drawn faces, 320x320, all different."""
    faces = (draw_face(np.random.default_rng(seed), seed % 3, 320) for seed in range(count))
    return [simplejpeg.encode_jpeg(face, quality=85) for face in faces]


@contextlib.contextmanager
def serving(model: str, batch_size: int, words: Sequence[str]) -> Iterator[Server]:
    """A server for as long as the block lasts; what it logs is not kept.

    Raises:
      UserError: it ends before it serves.
    """
    command = [sys.executable, "-m", "vit_sentiment.serve", f"--model={model}", "--port=0",
               f"--batch_size={batch_size}", f"--max_wait_ms={WAIT_MS}", "--noexplain",
               "--queue=100000", *words]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        told = []
        for line in process.stderr:
            told.append(line)
            if found := re.search(r"serving .* at (http://\S+)", line):
                break
        else:
            raise UserError(f"the server ended: {told[-1].strip() if told else 'without a word'}")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(functools.partial(_read_to_the_end, process.stderr))
            yield Server(found[1], process.pid)
            process.terminate()
    finally:
        process.kill()
        process.wait()


def _read_to_the_end(lines: Iterator[str]) -> None:
    """Or the server would stop where the pipe is full."""
    for _ in lines:
        pass


def predict_rate(model: Model, photos: Sequence[bytes]) -> float:
    """Photos a second of `predict`'s way through the model, files in memory."""
    decode = functools.partial(photo_runs.load, description=model.description)
    forward = model.forward(BATCH_SIZE)
    start = time.perf_counter()
    for _ in photo_runs.run(forward, photos, decode, BATCH_SIZE):
        pass
    return len(photos) / (time.perf_counter() - start)


@dataclasses.dataclass
class Found:
    """What was measured; rates are photos a second of each round.

    Attributes:
      wrong: answers that are none, or not those of `predict`.
      asked: all requests.
      difference: the largest one of a probability.
      core_seconds: for each photo, of `predict`, the servers and the `clients` of `batches`; others
        on the machine disturb them less than the rates.
      batch: median seconds of a full batch with nothing beside it.
      images: photos of a batch at full load, on average.
      latencies: at 80 % of the batching server's median rate, sorted.
      load_rate: photos a second then.
    """

    rates: dict[str, list[float]]
    wrong: int
    asked: int
    difference: float
    core_seconds: dict[str, float]
    batch: float
    images: float
    latencies: list[float]
    load_rate: float


def compare(
    model: Model,
    servers: dict[str, Server],
    photos: Sequence[bytes],
    batch_size: int,
    clients: int,
    rounds: int,
) -> Found:
    """Measures in turn, after a round that does not count, then the latencies.

    Args:
      servers: `batches` and `singles`.
      batch_size: the largest of `batches`.
    """
    expected = model.predict(list(photos))
    rates: dict[str, list[float]] = {"predict": [], "batches": [], "singles": []}
    alone: list[float] = []
    compared, used = [], dict.fromkeys([*rates, "clients"], 0.0)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:

        def ask(run: Callable[..., load.Load], server: Server, *words: float) -> load.Load:
            done = pool.submit(run, server.url, photos, *words).result()
            compared.append(_compare(done.answers, expected))
            return done

        say("warm-up")
        _batch_seconds(model, batch_size)
        for server in servers.values():
            ask(load.closed, server, clients)
        batches = servers["batches"]
        before = _batch_figures(batches)
        for number in range(rounds):
            alone += [_batch_seconds(model, batch_size) for _ in range(3)]
            start = time.process_time()
            rates["predict"].append(predict_rate(model, photos))
            used["predict"] += time.process_time() - start
            for name, server in servers.items():
                start = server.core_seconds()
                done = ask(load.closed, server, clients)
                rates[name].append(len(photos) / done.seconds)
                used[name] += server.core_seconds() - start
                used["clients"] += done.core_seconds * (server is batches)
            last = ", ".join(f"{name} {values[-1]:.1f}" for name, values in rates.items())
            say(f"round {number + 1} of {rounds}: {last} photos/s, load {os.getloadavg()[0]:.1f}")
        count, images = np.subtract(_batch_figures(batches), before)
        rate = 0.8 * float(np.median(rates["batches"]))
        say(f"{rate:.1f} photos/s at random times, load {os.getloadavg()[0]:.1f}")
        loaded = ask(load.open_loop, batches, rate)
    return Found(
        rates,
        wrong=sum(wrong for wrong, _ in compared),
        asked=len(compared) * len(photos),
        difference=max(difference for _, difference in compared),
        core_seconds={name: value / rounds / len(photos) for name, value in used.items()},
        batch=float(np.median(alone)),
        images=float(images / count),
        latencies=sorted(loaded.latencies),
        load_rate=rate,
    )


def _batch_figures(server: Server) -> tuple[float, float]:
    """Batches and photos in them so far."""
    return server.figure("batch_images_count"), server.figure("batch_images_sum")


def _batch_seconds(model: Model, batch_size: int) -> float:
    forward = model.forward(batch_size)
    pixels = np.zeros((batch_size, *model.description.image_size, 3), np.uint8)
    start = time.perf_counter()
    forward(pixels)
    return time.perf_counter() - start


def _compare(answers: Sequence[load.Answer], expected: Sequence) -> tuple[int, float]:
    """Wrong answers, and the largest difference of a probability in the others."""
    wrong, largest = 0, 0.0
    for answer, right in zip(answers, expected, strict=True):
        if answer is None or answer["probs"].keys() != right.probs.keys():
            wrong += 1
            continue
        difference = max(abs(answer["probs"][name] - share) for name, share in right.probs.items())
        wrong += difference > TOLERANCE or answer["label"] != right.label
        largest = max(largest, difference)
    return wrong, largest
