"""Photos a second of a model's forward path: ours, and other programs' of the same weights."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import numpy as np

from checkpoints import huggingface
from input_pipeline.photos import cores
from vit_sentiment.benchmarking.teacher import Ask, peer
from vit_sentiment.exporting import checking, onnx_file
from vit_sentiment.inference.model import Model
from vit_sentiment.models.classifier import init_params
from vit_sentiment.models.description import ModelDescription, sizes
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

PEER = pathlib.Path(__file__).with_name("infer_peer.py")
OURS = "JAX"
TORCH = {
    "PyTorch eager": "eager",
    "PyTorch compiled": "compiled",
    "PyTorch eager, bfloat16": "bf16",
    "PyTorch compiled, bfloat16": "bf16-compiled",
}


@dataclasses.dataclass(frozen=True)
class Runner:
    """One program with the model loaded.

    Attributes:
      probs: of the photos in a file (.npy), [B, C].
      rate: photos a second of the batch in a file, run over and over for some seconds.
    """

    probs: Callable[[pathlib.Path], np.ndarray]
    rate: Callable[[pathlib.Path, float], float]


@dataclasses.dataclass(frozen=True)
class Found:
    """What was measured.

    Attributes:
      rates: batch size to name to photos a second of each round.
      differences: name to the largest difference of a probability from ours.
      problems: name to why it could not run here.
      versions: of what ran beside ours.
    """

    rates: Mapping[int, Mapping[str, Sequence[float]]]
    differences: Mapping[str, float]
    problems: Mapping[str, str]
    versions: Mapping[str, str]


def random_model(variant: str, side: int) -> Model:
    """A named variant, such as `B/16`, with random weights, for square photos and three classes."""
    description = ModelDescription(image_size=(side, side), **sizes(variant))
    params = jax.tree.map(np.asarray, init_params(description, jax.random.key(0)))
    # A fresh head is all zeros, and all programs would agree.
    kernel = np.random.default_rng(0).normal(0, 0.05, params["head"]["kernel"].shape)
    head = {**params["head"], "kernel": kernel.astype(np.float32)}
    return Model(description, {**params, "head": head}, f"{variant} with random weights")


def compare(
    model: Model,
    python: str | None,
    batch_sizes: Sequence[int],
    *,
    rounds: int,
    seconds: float,
    scratch: pathlib.Path,
) -> Found:
    """Measures all programs on the same random photos, in turn, after a pass that does not count.

    Args:
      model: with a head; it is run in float32.
      python: of the peer; None for what this process can run.
      scratch: folder for exported models and for what goes between the processes.
    """
    model = checking.in_float32(model)
    files = {size: scratch / f"pixels_{size}.npy" for size in batch_sizes}
    for size, file in files.items():
        shape = (size, *model.description.image_size, 3)
        np.save(file, np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32))
    problems: dict[str, str] = {}
    versions: dict[str, str] = {}
    with _runners(model, python, scratch, problems, versions) as runners:
        differences = _warm_up(runners, files, problems)
        rates: dict[int, dict[str, list[float]]] = {
            size: {name: [] for name in runners} for size in files
        }
        for number in range(rounds):
            for size, file in files.items():
                for name, runner in runners.items():
                    rates[size][name].append(runner.rate(file, seconds))
            say(f"round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}")
    return Found(rates, differences, problems, versions)


@contextlib.contextmanager
def _runners(
    model: Model,
    python: str | None,
    scratch: pathlib.Path,
    problems: dict[str, str],
    versions: dict[str, str],
) -> Iterator[dict[str, Runner]]:
    say("export and load")
    runners = {OURS: _here(checking.ours(model))}
    file = scratch / "model.onnx"
    openvino = "OpenVINO float32"
    try:
        onnx_file.write(file, model)
        onnx_file.quantise(file, onnx_file.int8_path(file))
        runners["onnxruntime float32"] = _here(onnx_file.load(file, model))
        runners["onnxruntime int8"] = _here(onnx_file.load(onnx_file.int8_path(file), model))
        versions["onnxruntime"] = importlib.metadata.version("onnxruntime")
    except UserError as error:
        names = ("onnxruntime float32", "onnxruntime int8", openvino)
        problems |= dict.fromkeys(names, str(error))
    folder = scratch / "huggingface"
    try:
        huggingface.write(folder, model.params, model.description)
    except UserError as error:
        problems |= dict.fromkeys(TORCH, str(error))
    wanted = {openvino: ("openvino", file)} | {name: (kind, folder) for name, kind in TORCH.items()}
    wanted = {name: value for name, value in wanted.items() if name not in problems}
    if python is None:
        problems |= dict.fromkeys(wanted, "no --peer_python")
        yield runners
        return
    low, high = model.description.input_range
    with peer(python, PEER) as ask:
        for name, (kind, source) in wanted.items():
            found = json.loads(ask("load", kind, source, cores(), low, high))
            if "problem" in found:
                problems[name] = found["problem"]
            else:
                versions |= found["versions"]
                runners[name] = _there(ask, kind, scratch)
        yield runners


def _warm_up(
    runners: dict[str, Runner], files: Mapping[int, pathlib.Path], problems: dict[str, str]
) -> dict[str, float]:
    """Compiles everything; takes out who cannot run, and gives each one's difference from ours."""
    differences = dict.fromkeys(runners, 0.0)
    for file in files.values():
        ours = runners[OURS].probs(file)
        for name, runner in list(runners.items()):
            say(f"warm-up of {name}")
            try:
                difference = np.abs(runner.probs(file) - ours).max()
            except UserError as error:
                problems[name] = str(error)
                del runners[name], differences[name]
                continue
            differences[name] = max(differences[name], float(difference))
    return differences


def _here(run: checking.Run) -> Runner:
    def rate(file: pathlib.Path, seconds: float) -> float:
        pixels, count, start = np.load(file), 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds or not count:
            run(pixels)
            count += len(pixels)
        return count / elapsed

    return Runner(lambda file: run(np.load(file))["probs"], rate)


def _there(ask: Ask, kind: str, scratch: pathlib.Path) -> Runner:
    def answer(*words: str | pathlib.Path) -> dict[str, float]:
        found = json.loads(ask(*words))
        if "problem" in found:
            raise UserError(found["problem"])
        return found

    def probs(file: pathlib.Path) -> np.ndarray:
        answer("probs", kind, file, scratch / "probs.npy")
        return np.load(scratch / "probs.npy")

    return Runner(probs, lambda file, seconds: answer("rate", kind, file, seconds)["rate"])
