"""Optimisers from optax by name."""

import re
from typing import Any

import jax
import optax
import optax.contrib
from ml_collections import ConfigDict

from vit_sentiment.runtime.errors import UserError

NAMES = ("radam", "adamw", "lion", "sgd", "muon")
DECAYS = ("all", "kernels")

_BLOCK = re.compile(r"encoderblock_(\d+)")
_MUON_RMS = 0.2
"""Liu et al. 2025 (arXiv 2502.16982): makes Muon's updates as large as AdamW's, so that learning
rates and weight decay carry over."""


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
    elif o.name == "muon":
        scale = _muon(o)
    else:
        raise UserError(
            f"config.optimizer.name: expected one of {', '.join(NAMES)}, found {o.name!r}"
        )
    mask = None if o.decays == "all" else _kernels
    return optax.chain(
        optax.clip_by_global_norm(o.clip_norm) if o.clip_norm else optax.identity(),
        scale,
        optax.add_decayed_weights(o.weight_decay, mask) if o.weight_decay else optax.identity(),
        _scale_by_depth(o.layer_decay) if o.layer_decay != 1 else optax.identity(),
        optax.scale_by_learning_rate(learning_rate),
    )


def _kernels(params: Any) -> Any:
    """True for the matrices and convolutions of a parameter tree."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def _muon(o: ConfigDict) -> optax.GradientTransformation:
    muon = optax.contrib.muon(
        learning_rate=1.0,
        beta=o.b1,
        eps=o.eps,
        adam_b1=o.b1,
        adam_b2=o.b2,
        consistent_rms=_MUON_RMS,
        muon_weight_dimension_numbers=_matrices,
    )
    return optax.chain(muon, optax.scale(-1.0))  # Its updates descend; a later one turns them.


def _matrices(params: Any) -> Any:
    """Reduction and output axes of the blocks' matrices, None for what Adam is to update.

    Muon is made for hidden layers: embeddings, norms and the head are Adam's (Jordan et al. 2024),
    in optax with Nesterov's momentum (Dozat 2016), as Muon's own.
    """

    def dimensions(path: Any, leaf: Any) -> optax.contrib.MuonDimensionNumbers | None:
        names = [key.key for key in path]
        if names[-1] != "kernel" or not any(map(_BLOCK.fullmatch, names)):
            return None
        if leaf.ndim == 2:
            return optax.contrib.MuonDimensionNumbers(0, 1)
        if names[-2] == "out":  # Attention: heads and their width are one axis of the matrix.
            return optax.contrib.MuonDimensionNumbers((0, 1), 2)
        return optax.contrib.MuonDimensionNumbers(0, (1, 2))

    return jax.tree_util.tree_map_with_path(dimensions, params)


def _scale_by_depth(decay: float) -> optax.GradientTransformation:
    """Layer-wise learning rates as in BEiT (Bao et al. 2022, arXiv 2106.08254).

    The head, pooling and final norm have the whole rate, the last block `decay` of it, each block
    below once more, and embedding, positions and class token once more than the first block.
    """

    def update(updates: Any, params: Any = None) -> Any:
        del params
        names = {str(k.key) for path, _ in jax.tree.leaves_with_path(updates) for k in path}
        blocks = sum(bool(_BLOCK.fullmatch(name)) for name in names)

        def scaled(path: Any, leaf: jax.Array) -> jax.Array:
            return leaf * decay ** (blocks + 1 - _depth([key.key for key in path], blocks))

        return jax.tree_util.tree_map_with_path(scaled, updates)

    return optax.stateless(update)


def _depth(names: list[str], blocks: int) -> int:
    """0 for the embeddings, 1 for the first block, `blocks` + 1 for what comes after the last."""
    for name in names:
        if match := _BLOCK.fullmatch(name):
            return int(match[1]) + 1
    return 0 if names[0] in ("embedding", "cls") or "posembed_input" in names else blocks + 1
