"""Photos a second that `predict --list` scores, beside what limits it: computing or decoding."""

import concurrent.futures
import contextlib
import dataclasses
import io
import itertools
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import cv2
import jax
import numpy as np

from input_pipeline.photos import cores
from vit_sentiment.inference import photos
from vit_sentiment.inference.decision import Rule
from vit_sentiment.inference.model import Model
from vit_sentiment.models.classifier import abstract_params
from vit_sentiment.models.description import ModelDescription, sizes
from vit_sentiment.predicting import score_list
from vit_sentiment.predicting.choices import Choice
from vit_sentiment.predicting.scoring import Options
from vit_sentiment.runtime.progress import say

FILES = 32
"""Different photos; a list names them over and over."""
_TOGETHER = 4
"""Photos that a thread of bare decoding takes at a time."""


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
      variant: of the model, with 224x224 pixels and random weights; None for one so small that it
        costs next to nothing.
      height, width: of the photos, JPEG files.
      bare: `forward`, the compiled forward path on one batch in memory; or `decoder`, decoding and
        resizing bytes in memory in a thread for each core.
    """

    variant: str | None
    height: int
    width: int
    bare: str


def forward_bound(variant: str) -> Case:
    """Photos that are small, so that decoding them is not the limit."""
    return Case(variant, 64, 64, "forward")


DECODER_BOUND = Case(None, 1200, 1600, "decoder")


def measure(case: Case, count: int, batch_size: int, rounds: int) -> dict:
    """Measures both in turn on as many photos, after a round of each that does not count.

    Scoring reads, decodes and computes, and writes and verifies shards; the summary and what stands
    beside the shards, whose cost does not grow with the list, are left out, and so is compiling.

    Returns:
      `bare` and `score`: photos a second of each round; `ratio`: median over the rounds of score
      over bare; `core_ratio`: the same by the seconds of a core, which others on the machine
      disturb less; `ideal`: the ratio where score does nothing but to decode and to compute, both
      on all cores of the CPU, and 1 where there are other devices.
    """
    model = _model(case.variant)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        data = _draw(folder, case)
        paths = [str(number % FILES) for number in range(count)]
        (folder / "list.txt").write_text("".join(f"{path}.jpg\n" for path in paths))
        works = {
            "bare": _forward(model, data, count, batch_size)
            if case.bare == "forward"
            else _decode(model, data, count),
            "score": _score(model, folder, count, batch_size),
        }
        rates: dict[str, list[float]] = {"bare": [], "score": [], "bare_core": [], "score_core": []}
        for number in range(rounds + 1):
            last = {}
            for name, work in works.items():
                start, used = time.perf_counter(), time.process_time()
                work()
                last[name] = count / (time.perf_counter() - start)
                last[f"{name}_core"] = count / (time.process_time() - used)
            if number:
                for name, rate in last.items():
                    rates[name].append(rate)
                told = ", ".join(f"{name} {last[name]:.1f}" for name in works)
                say(f"round {number} of {rounds}: {told} photos/s, load {os.getloadavg()[0]:.1f}")
        ideal = 1.0
        if jax.default_backend() == "cpu":
            other = (
                _decode(model, data, count)
                if case.bare == "forward"
                else _forward(model, data, count, batch_size)
            )
            other()
            used = time.process_time()
            other()
            beside = (time.process_time() - used) / count
            ideal = 1 / (1 + beside * statistics.median(rates["bare_core"]))
    return {
        **rates,
        "ratio": _ratio(rates["score"], rates["bare"]),
        "core_ratio": _ratio(rates["score_core"], rates["bare_core"]),
        "ideal": ideal,
    }


def _ratio(ours: list[float], bare: list[float]) -> float:
    return statistics.median(mine / other for mine, other in zip(ours, bare, strict=True))


def _model(variant: str | None) -> Model:
    small = {"patch_size": 16, "hidden_size": 8, "num_layers": 1, "num_heads": 1, "mlp_size": 8}
    fields = small | {"image_size": (32, 32)}
    if variant is not None:
        fields = sizes(variant) | {"image_size": (224, 224)}
    description = ModelDescription(**fields, pixel_mode="uint8")
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: rng.normal(0, 0.02, leaf.shape).astype(np.float32),
        abstract_params(description),
    )
    return Model(description, params, "random")


def _draw(folder: pathlib.Path, case: Case) -> list[bytes]:
    """Photos with noise of a few pixels' width, which cost about what those of cameras do."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(FILES):
        noise = rng.integers(0, 256, (case.height // 4, case.width // 4, 3)).astype(np.uint8)
        image = cv2.resize(noise, (case.width, case.height), interpolation=cv2.INTER_CUBIC)
        found.append(cv2.imencode(".jpg", image)[1].tobytes())
        (folder / f"{number}.jpg").write_bytes(found[-1])
    return found


def _load(model: Model, data: bytes) -> np.ndarray:
    return photos.load(data, model.description)


def _forward(model: Model, data: list[bytes], count: int, batch_size: int) -> Callable[[], None]:
    forward = model.forward(batch_size)
    size = forward.sizes[-1]
    images = np.stack([_load(model, data[number % FILES]) for number in range(size)])

    def work() -> None:
        done = 0
        while done < count:
            forward(images[: count - done])
            done += size

    return work


def _decode(model: Model, data: list[bytes], count: int) -> Callable[[], None]:
    def some(start: int) -> None:
        for number in range(start, min(start + _TOGETHER, count)):
            _load(model, data[number % FILES])

    def work() -> None:
        with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
            for _ in pool.map(some, range(0, count, _TOGETHER)):
                pass

    return work


def _score(model: Model, folder: pathlib.Path, count: int, batch_size: int) -> Callable[[], None]:
    outs = (f"out{number}" for number in itertools.count())

    def work() -> None:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            rows = batch_size * max(1, count // batch_size // 4)  # Whole batches, as by default.
            options = Options(
                str(folder / "list.txt"),
                "path",
                str(folder),
                str(folder / next(outs)),
                batch_size,
                rows,
                part=(0, 1),
            )
            summary = score_list.score(model, Choice(Rule()), options)
        assert summary["readable"] == count

    return work
