"""What an exported model must equal: our outputs, on the same pixels."""

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from vit_sentiment.inference.forward import Outputs, outputs
from vit_sentiment.inference.model import Model
from vit_sentiment.models.classifier import Params, normalise
from vit_sentiment.runtime.errors import UserError

Run = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""Pixels 0..255, float32 [B, H, W, 3], to outputs by name."""


def in_float32(model: Model) -> Model:
    """The model with a description that computes in float32; the weights are that already."""
    description = model.description.replace(dtype="float32")
    return Model(description, model.params, model.source, model.step)


def output_names(model: Model) -> list[str]:
    """`probs`, `logits` and `features`, or `features` alone for a model without head."""
    return ["probs", "logits", "features"] if model.description.num_classes else ["features"]


def ours(model: Model) -> Run:
    """Our own outputs, compiled for one device and any number of photos."""
    params = jax.device_put(model.params)

    @jax.jit
    def run(params: Params, pixels: jax.Array) -> Outputs:
        return outputs(model.description, params, normalise(pixels, model.description))

    return lambda pixels: jax.tree.map(np.asarray, run(params, pixels))


def differences(
    expected: Run, found: Run, pixels: np.ndarray, batches: Sequence[int]
) -> dict[str, float]:
    """Largest absolute difference of each output over all batch sizes; NaN where there is any.

    Args:
      pixels: 0..255 [N, H, W, 3]; a batch is its first rows, from the start again if too few.
    """
    largest: dict[str, float] = {}
    for size in batches:
        photos = np.resize(pixels, (size, *pixels.shape[1:]))
        wanted, got = expected(photos), found(photos)
        for name, value in wanted.items():
            if got[name].shape != value.shape:
                raise UserError(
                    f"the exported model gives {name} {got[name].shape} for {size} photos, "
                    f"expected {value.shape}"
                )
            difference = np.max(np.abs(value - got[name]))
            largest[name] = float(np.maximum(largest.get(name, 0.0), difference))
    return largest


def require(found: Mapping[str, float], scale: Mapping[str, float], most: float, out: str) -> None:
    """Raises UserError where an output differs by more than `most`, or is NaN.

    Args:
      found: largest difference of each output.
      scale: largest magnitude of each of our outputs; probabilities are compared as they are,
        others relative to it where it is above 1.
    """
    for name, value in found.items():
        limit = most if name == "probs" else most * max(1.0, scale[name])
        if not value <= limit:  # NaN is no parity.
            raise UserError(
                f"{out}: not kept, since its {name} differ from ours by {value:.2g}, "
                f"more than {limit:.1g}"
            )


def check(
    model: Model, found: Run, pixels: np.ndarray, batches: Sequence[int], most: float, out: str
) -> dict[str, float]:
    """`differences` from our outputs, which must not exceed `most`, see `require`."""
    expected = ours(model)
    scale = {name: float(np.max(np.abs(v))) for name, v in expected(pixels[:1]).items()}
    largest = differences(expected, found, pixels, batches)
    require(largest, scale, most, out)
    return largest
