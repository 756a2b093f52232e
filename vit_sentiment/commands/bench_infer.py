"""Measures photos a second of a model beside onnxruntime, OpenVINO and PyTorch, on the CPU.

  python -m vit_sentiment.bench infer --peer_python=PEER/bin/python
  python -m vit_sentiment.bench infer --model=runs/demo/train --batch_sizes=1,8

All run the same weights on the same random photos, with a thread for each core, in turn. They are
float32 but for those that are named otherwise; onnxruntime runs here (pip install onnx
onnxruntime), OpenVINO and transformers' model on PyTorch in a Python of their own. What is not
installed, or cannot hold the model, is a row with the reason.
"""

import pathlib
import statistics

from absl import flags

from checkpoints import weight_flags
from vit_sentiment.runtime.errors import UserError

MODEL = flags.DEFINE_string(
    "model", None, "Workdir, weight file, folder or public name (default: random weights)."
)
SIZE = flags.DEFINE_string("size", "B/16", "Without --model: the variant, such as S/16.")
PIXELS = flags.DEFINE_integer("pixels", 224, "Without --model: sides of the photos.", lower_bound=8)
BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "8"], "Photos at a time, as in 1,8.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Measurements of each.", lower_bound=1)
SECONDS = flags.DEFINE_float("seconds", 2.0, "Of one measurement, at least.", lower_bound=0)
PEER_PYTHON = flags.DEFINE_string(
    "peer_python", None, "A Python with some of openvino, torch and transformers."
)
flags.adopt_module_key_flags(weight_flags)

GROUPS = {
    "Model": (
        MODEL,
        SIZE,
        PIXELS,
        *weight_flags.GROUP,
    ),
    "Measurement": (BATCH_SIZES, ROUNDS, SECONDS, PEER_PYTHON),
}


def main() -> None:
    sizes = _batch_sizes()
    if MODEL.value and (unused := [flag.name for flag in (SIZE, PIXELS) if flag.present]):
        raise UserError(f"--{unused[0]} does not go with --model")

    import tempfile

    import jax

    jax.config.update("jax_platforms", "cpu")

    from vit_sentiment.benchmarking import infer, machine
    from vit_sentiment.inference.model import load
    from vit_sentiment.reporting.terminal import print_table

    if MODEL.value:
        model = load(MODEL.value, **weight_flags.hints())
    else:
        model = infer.random_model(SIZE.value, PIXELS.value)
    if not model.description.num_classes:
        raise UserError(f"{model.source}: has no head, so there are no probabilities to compare")
    with tempfile.TemporaryDirectory() as scratch:
        options = {"rounds": ROUNDS.value, "seconds": SECONDS.value}
        found = infer.compare(
            model, PEER_PYTHON.value, sizes, **options, scratch=pathlib.Path(scratch)
        )
    print(machine.describe(("jax", "jaxlib", "flax"), found.versions))
    height, width = model.description.image_size
    print(f"model      {model.source}, {height}x{width}")
    for size, rates in found.rates.items():
        print(f"\nbatches of {size}, median of {ROUNDS.value} rounds:")
        header = ("", "photos/s", "times JAX", "largest difference of a probability")
        print_table(header, [_row(name, rates, found) for name in rates])
    print(*(f"\n{name}: not run: {why}" for name, why in found.problems.items()), sep="")


def _row(name: str, rates, found) -> tuple[str, ...]:
    pairs = zip(rates[name], rates["JAX"], strict=True)
    times = statistics.median(one / ours for one, ours in pairs)
    return (
        name,
        f"{statistics.median(rates[name]):.2f}",
        f"{times:.2f}",
        f"{found.differences[name]:.1e}",
    )


def _batch_sizes() -> list[int]:
    texts = BATCH_SIZES.value
    if not texts or not all(text.strip().isdecimal() and int(text) for text in texts):
        raise UserError(f"--batch_sizes: expected numbers such as 1,8, found {','.join(texts)!r}")
    return [int(text) for text in dict.fromkeys(texts)]
