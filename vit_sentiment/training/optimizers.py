"""Optimisers from optax by name."""

from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from vit_sentiment.runtime.errors import UserError

NAMES = ("radam", "adamw", "lion", "sgd")
DECAYS = ("all", "kernels")


def make_optimizer(
    config: ConfigDict, learning_rate: optax.Schedule
) -> optax.GradientTransformation:
    """Clipping, then the optimiser of `config.optimizer`, with decoupled weight decay."""
    o = config.optimizer
    if o.name == "radam":
        scale = optax.scale_by_radam(b1=o.b1, b2=o.b2, eps=o.eps)
    elif o.name == "adamw":
        scale = optax.scale_by_adam(b1=o.b1, b2=o.b2, eps=o.eps)
    elif o.name == "lion":
        scale = optax.scale_by_lion(b1=o.b1, b2=o.b2)
    elif o.name == "sgd":
        scale = optax.trace(decay=o.b1)
    else:
        raise UserError(
            f"config.optimizer.name: expected one of {', '.join(NAMES)}, found {o.name!r}"
        )
    mask = None if o.decays == "all" else _kernels
    return optax.chain(
        optax.clip_by_global_norm(o.clip_norm) if o.clip_norm else optax.identity(),
        scale,
        optax.add_decayed_weights(o.weight_decay, mask) if o.weight_decay else optax.identity(),
        optax.scale_by_learning_rate(learning_rate),
    )


def _kernels(params: Any) -> Any:
    """True for the matrices and convolutions of a parameter tree."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
