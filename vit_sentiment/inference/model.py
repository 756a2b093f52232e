"""Loading a model by workdir or file, and the jitted forward path that every verb uses."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from checkpoints import formats, trees
from input_pipeline.records import Batch
from vit_sentiment.models.classifier import Params, apply, normalise
from vit_sentiment.models.description import ModelDescription

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


def load(name: str | os.PathLike[str], **hints: Unpack[formats.Hints]) -> Model:
    """Loads a model from an `.npz` or Keras file, a run's workdir or a Hugging Face folder.

    Args:
      name: the file or folder, or what else `formats.read` takes.
      hints: what the weights cannot tell, such as `checkpoint="latest"` or `gelu="exact"`.

    Raises:
      UserError: nothing usable is there, or a fact is missing that only the user can give.
    """
    restored = formats.restore(name, **hints)
    formats.require_known(restored.described, str(name))
    description = restored.described.description
    return Model(description, restored.params, restored.source, restored.step)


def outputs(description: ModelDescription, params: Params, images: jax.Array) -> Outputs:
    """Images [B, H, W, 3] in the model's input range to `features`, `logits` and `probs`.

    Matrix products are full float32, so that GPUs do not use TF32 unasked.
    """
    with jax.default_matmul_precision("highest"):
        features, logits = apply(description, params, images)
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
