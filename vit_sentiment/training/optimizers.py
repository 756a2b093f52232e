"""Optimisers from optax by name."""

import optax
from ml_collections import ConfigDict

from vit_sentiment.runtime.errors import UserError

NAMES = ("radam", "adamw")


def make_optimizer(
    config: ConfigDict, learning_rate: optax.Schedule
) -> optax.GradientTransformation:
    """Clipping, then the optimiser of `config.optimizer`, with decoupled weight decay."""
    o = config.optimizer
    if o.name == "radam":
        scale = optax.scale_by_radam(b1=o.b1, b2=o.b2, eps=o.eps)
    elif o.name == "adamw":
        scale = optax.scale_by_adam(b1=o.b1, b2=o.b2, eps=o.eps)
    else:
        raise UserError(f"config.optimizer.name: expected {' or '.join(NAMES)}, found {o.name!r}")
    return optax.chain(
        optax.clip_by_global_norm(o.clip_norm) if o.clip_norm else optax.identity(),
        scale,
        optax.add_decayed_weights(o.weight_decay) if o.weight_decay else optax.identity(),
        optax.scale_by_learning_rate(learning_rate),
    )
