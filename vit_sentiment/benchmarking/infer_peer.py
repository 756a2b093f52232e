"""The other side of `bench infer`: OpenVINO and PyTorch, as a process of its own.

It is run by a Python that has some of openvino, torch and transformers; nothing of this project is
imported. Lines on stdin are requests, lines on stdout the answers, as JSON:

  load KIND MODEL THREADS LOW HIGH   KIND is openvino (MODEL is an ONNX file), or eager, compiled,
      bf16 or bf16-compiled (MODEL is a Hugging Face folder, LOW and HIGH its input range); answers
      {"versions": {...}}
  probs KIND PIXELS OUT   write the probabilities of the array in PIXELS (.npy) to OUT; answers {}
  rate KIND PIXELS SECONDS   run the batch for so long; answers {"rate": images a second}

An answer {"problem": "..."} says why a KIND cannot run here.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]


def openvino(model: str, threads: int) -> tuple[Run, dict[str, str]]:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    probs = compiled.output("probs")
    versions = {"openvino": openvino.__version__.split("-")[0]}
    return lambda pixels: compiled([pixels])[probs].copy(), versions


def torch(kind: str, model: str, threads: int, low: float, high: float) -> tuple[Run, dict]:
    import torch
    import transformers

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    dtype = torch.bfloat16 if kind.startswith("bf16") else torch.float32
    network = transformers.ViTForImageClassification.from_pretrained(model, dtype=dtype).eval()
    if kind.endswith("compiled"):
        network = torch.compile(network, dynamic=False)  # A program for each batch size.

    @torch.inference_mode()
    def run(pixels: np.ndarray) -> np.ndarray:
        values = torch.from_numpy(pixels).permute(0, 3, 1, 2) * ((high - low) / 255) + low
        return network(values.to(dtype)).logits.float().softmax(-1).numpy()

    return run, {"torch": torch.__version__, "transformers": transformers.__version__}


def rate(run: Run, pixels: np.ndarray, seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not count:
        run(pixels)
        count += len(pixels)
    return count / elapsed


def answer(runs: dict[str, Run], word: str, kind: str, *arguments: str) -> dict[str, Any]:
    if word == "load":
        model, threads, low, high = arguments
        if kind == "openvino":
            runs[kind], versions = openvino(model, int(threads))
        else:
            runs[kind], versions = torch(kind, model, int(threads), float(low), float(high))
        return {"versions": versions}
    pixels = np.load(arguments[0])
    if word == "probs":
        np.save(arguments[1], runs[kind](pixels))
        return {}
    return {"rate": rate(runs[kind], pixels, float(arguments[1]))}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Libraries and compilers print too.
    runs: dict[str, Run] = {}
    for line in sys.stdin:
        try:
            found = answer(runs, *line.rstrip("\n").split("\t"))
        except Exception as error:  # Whatever a library raises is why it cannot run here.
            found = {"problem": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
