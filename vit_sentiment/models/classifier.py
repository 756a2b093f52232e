"""Backbone and head as one module with one flat parameter tree, Google's plus the head."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vit_sentiment.models.description import ModelDescription
from vit_sentiment.models.execution import DEFAULT, Execution
from vit_sentiment.models.vit import VisionTransformer, gelu, stack_blocks

Params = Mapping[str, Any]

BACKBONE_NAMES = ("embedding", "cls", "Transformer", "MAPHead_0")
HEAD_NAMES = ("pre_logits", "head", "head_hidden", "head_out")
"""Top-level names of the parameter tree: the backbone's and the head's."""


class Classifier(nn.Module):
    """Images [B, H, W, 3] in the input range to features [B, D] and float32 logits [B, C].

    Logits are None for a description without head (`num_classes` 0).
    """

    description: ModelDescription
    execution: Execution = DEFAULT

    def setup(self) -> None:
        d = self.description
        self.backbone = VisionTransformer(d, self.execution)
        nn.share_scope(self, self.backbone)  # `cls`, not `backbone/cls`.
        if d.representation_size:
            self.pre_logits = nn.Dense(d.representation_size, dtype=d.dtype)
        if d.head_hidden:
            self.head_hidden = nn.Dense(d.head_hidden, dtype=d.dtype)
            self.head_out = nn.Dense(d.num_classes, dtype=d.dtype)
        elif d.num_classes:
            self.head = nn.Dense(d.num_classes, dtype=d.dtype, kernel_init=nn.initializers.zeros)

    def __call__(
        self, images: jax.Array, *, train: bool = False
    ) -> tuple[jax.Array, jax.Array | None]:
        d = self.description
        features = self.backbone(images, train=train)
        x = features
        if d.representation_size:
            x = jnp.tanh(self.pre_logits(x))
        if d.head_hidden:
            # The original head's GELU is tensorflow-addons' default, the tanh form, whatever the
            # backbone uses.
            x = self.head_out(gelu("tanh", self.head_hidden(x)))
        elif d.num_classes:
            x = self.head(x)
        else:
            return features.astype(jnp.float32), None
        return features.astype(jnp.float32), x.astype(jnp.float32)


def apply(
    description: ModelDescription,
    params: Params,
    images: jax.Array,
    *,
    execution: Execution = DEFAULT,
    dropout_key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array | None]:
    """Features [B, D] and logits [B, C] of images [B, H, W, 3], see `Classifier`.

    Args:
      dropout_key: for training; without one nothing is dropped.
    """
    if execution.scan:
        params = {**params, "Transformer": stack_blocks(params["Transformer"])}
    return Classifier(description, execution).apply(
        {"params": params},
        images,
        train=dropout_key is not None,
        rngs={} if dropout_key is None else {"dropout": dropout_key},
    )


def normalise(pixels: jax.Array, description: ModelDescription) -> jax.Array:
    """Pixels 0..255 [B, H, W, 3], uint8 or float32, to float32 in the model's input range."""
    low, high = description.input_range
    return pixels.astype(jnp.float32) / (255.0 / (high - low)) + low


def abstract_params(description: ModelDescription) -> Params:
    """The parameter tree as ShapeDtypeStructs, without computing anything."""
    images = jax.ShapeDtypeStruct((1, *description.image_size, 3), jnp.float32)
    module = Classifier(description)
    return jax.eval_shape(module.init, jax.random.key(0), images)["params"]


def init_params(description: ModelDescription, key: jax.Array) -> Params:
    """Fresh float32 parameters."""
    images = jnp.zeros((1, *description.image_size, 3), jnp.float32)
    return Classifier(description).init(key, images)["params"]


def count_parameters(params: Params) -> int:
    """The number of scalars in a parameter tree or its shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
