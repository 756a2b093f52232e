"""The forward path on all local devices, compiled once for each of a few batch sizes."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from input_pipeline import pixels
from input_pipeline.records import Batch
from vit_sentiment.models.classifier import Params, apply, normalise
from vit_sentiment.models.description import ModelDescription

Outputs = dict[str, jax.Array]
"""`features` [B, D] and, for a model with a head, `logits` and `probs` [B, C]; float32.

Logits are raw; probabilities are calibrated where the description has a calibration."""

HostOutputs = dict[str, np.ndarray]

Fetch = Callable[[], HostOutputs]
"""Waits for the devices and gives what they computed."""


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


@dataclasses.dataclass(frozen=True)
class Forward:
    """A model's forward path; `compile` makes one.

    Attributes:
      sizes: rows of the batches that there are programs for, rising.
    """

    sizes: tuple[int, ...]
    _programs: Mapping[int, Callable[[Params, jax.Array], Outputs]]
    _params: Params
    _rows: NamedSharding
    _dtype: np.dtype

    def start(self, images: np.ndarray) -> Fetch:
        """Begins to compute; the caller has its hands free until it fetches.

        Args:
          images: pixels 0..255 [n, H, W, 3], uint8 or, unless the model's pixel mode is uint8,
            float32; n is at most the largest size, and padded to the next one.
        """
        count = len(images)
        images = images.astype(self._dtype, casting="safe", copy=False)
        size = next(size for size in self.sizes if size >= count)
        if size > count:
            padded = np.zeros((size, *images.shape[1:]), images.dtype)
            padded[:count] = images
            images = padded
        running = self._programs[size](self._params, jax.device_put(images, self._rows))
        return lambda: {name: np.asarray(value)[:count] for name, value in running.items()}

    def __call__(self, images: np.ndarray) -> HostOutputs:
        """Outputs of pixels 0..255 [n, H, W, 3], see `start`."""
        return self.start(images)()


def compile(description: ModelDescription, params: Params, sizes: Sequence[int]) -> Forward:
    """Compiles the forward path for batches of some sizes, and for no other shape ever.

    Args:
      sizes: rows of a batch; each is rounded up to a multiple of the number of local devices.
    """
    devices = jax.local_devices()
    mesh = jax.make_mesh(
        (len(devices),), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=devices
    )
    rows = NamedSharding(mesh, PartitionSpec("data"))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def run(params: Params, images: jax.Array) -> Outputs:
        return outputs(description, params, normalise(images, description))

    jitted = jax.jit(run, in_shardings=(everywhere, rows), out_shardings=rows)
    dtype = np.dtype(pixels.DTYPE[description.pixel_mode])
    rounded = sorted({-(-size // len(devices)) * len(devices) for size in sizes})
    programs = {
        size: jitted.lower(
            params, jax.ShapeDtypeStruct((size, *description.image_size, 3), dtype)
        ).compile()
        for size in rounded
    }
    return Forward(tuple(rounded), programs, jax.device_put(params, everywhere), rows, dtype)


def batch_outputs(
    description: ModelDescription, params: Params, batches: Iterable[Batch]
) -> Iterator[tuple[Batch, dict[str, Any]]]:
    """Yields each batch with its outputs; rows where the batch's mask is False mean nothing.

    All batches have the size of the first one. The devices compute one while the caller has the
    one before.
    """
    run, waiting = None, []
    for batch in batches:
        run = run or compile(description, params, (len(batch["image"]),))
        waiting.append((batch, run.start(batch["image"])))
        if len(waiting) > 1:
            done, fetch = waiting.pop(0)
            yield done, fetch()
    for done, fetch in waiting:
        yield done, fetch()
