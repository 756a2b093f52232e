"""Folders of a StableHLO program, its weights and what calls it; JAX alone runs them.

The weights are an argument, not constants of the program: a program of a megabyte loads at once,
compiles without folding hundreds of megabytes, and has no limit of 2 GiB. Their file is Google's
layout, which every command reads as well.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

import vit_sentiment
from checkpoints import google_npz, trees
from vit_sentiment.exporting.checking import Run, output_names
from vit_sentiment.inference.forward import outputs
from vit_sentiment.inference.model import Model
from vit_sentiment.models.classifier import normalise
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime import files

PROGRAM_FILE = "model.stablehlo"
WEIGHTS_FILE = "weights.npz"
CALL_FILE = "call.json"
PLATFORMS = ("cpu", "cuda", "tpu")

EXAMPLE = f"""\
import jax.export, numpy as np
program = jax.export.deserialize(bytearray(open("{{folder}}/{PROGRAM_FILE}", "rb").read()))
weights = dict(np.load("{{folder}}/{WEIGHTS_FILE}"))
pixels = np.zeros((2, {{height}}, {{width}}, 3), np.float32)  # RGB, 0 to 255
print(program.call(weights, pixels)["{{output}}"])"""


def write(folder: pathlib.Path, model: Model) -> None:
    """Writes a new folder; the model must compute in float32.

    A program in bfloat16 might hold a kernel of the machine that it was made on.
    """
    d = model.description
    folder.mkdir()
    google_npz.write(folder / WEIGHTS_FILE, model.params, d)
    flat = google_npz.to_disk_names(trees.flatten(model.params))
    shapes = {name: jax.ShapeDtypeStruct(value.shape, jnp.float32) for name, value in flat.items()}
    (batch,) = export.symbolic_shape("batch")
    pixels = jax.ShapeDtypeStruct((batch, *d.image_size, 3), jnp.float32)

    def run(weights: dict[str, jax.Array], pixels: jax.Array) -> dict[str, jax.Array]:
        params = trees.unflatten(google_npz.to_memory_names(weights))
        return outputs(d, params, normalise(pixels, d))

    exported = export.export(jax.jit(run), platforms=PLATFORMS)(shapes, pixels)
    with files.replacing(folder / PROGRAM_FILE) as temporary:
        temporary.write_bytes(exported.serialize())
    files.write_json(folder / CALL_FILE, _call(model))


def _call(model: Model) -> dict[str, Any]:
    d = model.description
    widths = {"features": d.hidden_size}
    return {
        "program": PROGRAM_FILE,
        "arguments": [
            {"weights": WEIGHTS_FILE},
            {"pixels": ["batch", *d.image_size, 3], "dtype": "float32", "values": "RGB, 0 to 255"},
        ],
        "results": {
            name: ["batch", widths.get(name, d.num_classes)] for name in output_names(model)
        },
        "classes": list(d.classes),
        "platforms": list(PLATFORMS),
        "model_id": model.model_id,
        "versions": {"vit_sentiment": vit_sentiment.__version__, "jax": jax.__version__},
    }


def load(folder: pathlib.Path) -> Run:
    """The program as its file has it, with the weights as theirs has them."""
    program = export.deserialize(bytearray((folder / PROGRAM_FILE).read_bytes()))
    with np.load(folder / WEIGHTS_FILE) as archive:
        weights = {name: jnp.asarray(archive[name]) for name in archive.files}
    # Compiled once for each batch size; `call` alone would compile anew each time.
    call = jax.jit(program.call)
    return lambda pixels: jax.tree.map(np.asarray, call(weights, jnp.asarray(pixels)))


def example(folder: str, d: ModelDescription) -> str:
    """Python that runs the folder without this project."""
    height, width = d.image_size
    output = "probs" if d.num_classes else "features"
    return EXAMPLE.format(folder=folder, height=height, width=width, output=output)
