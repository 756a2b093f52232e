"""Flags of every command that reads weights: what the weights themselves cannot tell.

A command takes them over with `flags.adopt_module_key_flags(weight_flags)`, and its `--help` shows
them where its `GROUPS` have `GROUP`.
"""

from typing import Any

from absl import flags

from vit_sentiment.runtime import startup

CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    "best",
    "Of a workdir: best, latest or a step; with -ema the moving average, best-ema.",
)
GELU = flags.DEFINE_enum("gelu", None, ["tanh", "exact"], "GELU, where the weights cannot tell.")
NUM_HEADS = flags.DEFINE_integer("num_heads", None, "Heads, where the weights cannot tell.")
IMAGE_SIZE = flags.DEFINE_string(
    "image_size", None, "HEIGHTxWIDTH in pixels, where the weights cannot tell."
)
MASK = flags.DEFINE_string("mask", None, "Of a k-fold .h5 of weights alone, as in 1,1e-7,1.")
INPUT_RANGE = flags.DEFINE_string("input_range", None, "LOW,HIGH of an .h5, if not -1,1.")

GROUP = (CHECKPOINT, GELU, NUM_HEADS, IMAGE_SIZE, MASK, INPUT_RANGE)


def hints() -> dict[str, Any]:
    """The flags as arguments of `checkpoints.formats.restore` and `inference.model.load`."""
    return {
        "checkpoint": CHECKPOINT.value,
        "gelu": GELU.value,
        "num_heads": NUM_HEADS.value,
        "image_size": startup.size(IMAGE_SIZE),
        "mask": startup.numbers(MASK, 3),
        "input_range": startup.numbers(INPUT_RANGE, 2),
    }
