"""Loading a model by workdir or file, and the jitted forward path that every verb uses."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from checkpoints import google_npz, orbax_store, trees
from input_pipeline.records import Batch
from vit_sentiment.models.classifier import Classifier, Params, abstract_params, normalise
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

DESCRIPTION_FILE = "model.json"
"""Name of the model description in a workdir."""

Outputs = dict[str, jax.Array]
"""`features` [B, D] and, for a model with a head, `logits` and `probs` [B, C]; float32.

Logits are raw; probabilities are calibrated where the description has a calibration."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A description, the parameters that go with it and where they came from.

    Attributes:
      source: the file, or the workdir and the step.
      step: of a workdir's checkpoint; None for a file.
    """

    description: ModelDescription
    params: Params
    source: str
    step: int | None = None

    @functools.cached_property
    def model_id(self) -> str:
        """Hash of the weights."""
        return trees.model_id(self.params)


def load(
    name: str | os.PathLike[str],
    *,
    checkpoint: str = "best",
    gelu: str | None = None,
    num_heads: int | None = None,
    image_size: tuple[int, int] | None = None,
) -> Model:
    """Loads a model from the workdir of a training run or from an `.npz` file.

    Args:
      name: the workdir or file.
      checkpoint: of a workdir: `best`, `latest` or a step.
      gelu: of a file that does not tell it: `tanh` or `exact`.
      num_heads: of a file that does not tell it.
      image_size: height and width that a file's positions are for, if they are not a square grid.

    Raises:
      UserError: nothing usable is there, or a fact is missing that only the user can give.
    """
    path = pathlib.Path(name)
    if path.is_dir():
        if gelu or num_heads or image_size:
            raise UserError(f"{path}: a workdir tells GELU, heads and image size itself")
        return _load_workdir(path, checkpoint)
    described, params = google_npz.restore(
        path, gelu=gelu, num_heads=num_heads, image_size=image_size
    )
    if described.unknown:
        raise UserError(f"{path}: {google_npz.ask_for(described)}")
    return Model(described.description, params, str(path))


def _load_workdir(workdir: pathlib.Path, checkpoint: str) -> Model:
    saved = workdir / DESCRIPTION_FILE
    if not saved.exists():
        raise UserError(f"{workdir}: no {DESCRIPTION_FILE}; expected the workdir of a training run")
    description = ModelDescription.from_json(files.read_json(saved), str(saved))
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    spec = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
        abstract_params(description),
    )
    step, params = orbax_store.restore_params(workdir, checkpoint, spec)
    calibration = description.calibration
    if calibration is not None and calibration.step != step:
        say(
            f"{workdir}: step {step} is used without calibration; the one in {DESCRIPTION_FILE} is "
            f"of step {calibration.step}"
        )
        description = description.replace(calibration=None)
    return Model(description, params, f"{workdir} step {step}", step)


def outputs(description: ModelDescription, params: Params, images: jax.Array) -> Outputs:
    """Images [B, H, W, 3] in the model's input range to `features`, `logits` and `probs`.

    Matrix products are full float32, so that GPUs do not use TF32 unasked.
    """
    with jax.default_matmul_precision("highest"):
        features, logits = Classifier(description).apply({"params": params}, images)
    if logits is None:
        return {"features": features}
    return {"features": features, "logits": logits, "probs": probabilities(description, logits)}


def probabilities(description: ModelDescription, logits: jax.Array) -> jax.Array:
    """Softmax [B, C] at the calibration's temperature, times the output mask, if there are any."""
    if description.calibration is not None:
        logits = logits / description.calibration.temperature
    probs = jax.nn.softmax(logits)
    if description.output_mask is None:
        return probs
    return probs * jnp.asarray(description.output_mask, probs.dtype)


def forward(model: Model) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A function from pixels 0..255 [B, H, W, 3] to host outputs, on all local devices.

    It compiles once for each shape it meets; B must be a multiple of the number of devices.
    """
    mesh = jax.make_mesh(
        (jax.local_device_count(),),
        ("data",),
        axis_types=(jax.sharding.AxisType.Auto,),
        devices=jax.local_devices(),
    )
    rows = NamedSharding(mesh, PartitionSpec("data"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    params = jax.device_put(model.params, everywhere)

    @functools.partial(jax.jit, in_shardings=(everywhere, rows), out_shardings=rows)
    def run(params: Params, pixels: jax.Array) -> Outputs:
        return outputs(model.description, params, normalise(pixels, model.description))

    def call(pixels: np.ndarray) -> dict[str, np.ndarray]:
        return jax.tree.map(np.asarray, run(params, jax.device_put(pixels, rows)))

    return call


def predict(model: Model, batches: Iterable[Batch]) -> Iterator[tuple[Batch, dict[str, Any]]]:
    """Yields each batch with its outputs; rows where the batch's mask is False mean nothing."""
    run = forward(model)
    for batch in batches:
        yield batch, run(batch["image"])
