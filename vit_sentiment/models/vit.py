"""The Vision Transformer backbone in Flax Linen.

Parameter names are those that google-research/vision_transformer has in memory today, so that a
released checkpoint becomes a parameter tree by a rename (see `checkpoints.google_npz`).
"""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vit_sentiment.models.description import ModelDescription
from vit_sentiment.models.execution import DEFAULT, Execution, attend, record


def gelu(form: str, x: jax.Array) -> jax.Array:
    """GELU in its `tanh` approximation or its `exact` (erf) form."""
    return nn.gelu(x, approximate=form == "tanh")


class PositionEmbedding(nn.Module):
    """Adds a learned embedding to each token: [B, T, D] to [B, T, D]."""

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        shape = (1, *tokens.shape[1:])
        table = self.param("pos_embedding", nn.initializers.normal(0.02), shape)
        return tokens + table.astype(tokens.dtype)


class MlpBlock(nn.Module):
    """Two Dense layers with a GELU between: [B, T, D] to [B, T, D]."""

    description: ModelDescription

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        d = self.description
        dense = functools.partial(
            nn.Dense,
            dtype=d.dtype,
            kernel_init=nn.initializers.xavier_uniform(),
            bias_init=nn.initializers.normal(1e-6),
        )
        x = gelu(d.gelu, dense(d.mlp_size, name="Dense_0")(x))
        x = nn.Dropout(d.dropout, deterministic=not train)(x)
        x = dense(d.hidden_size, name="Dense_1")(x)
        return nn.Dropout(d.dropout, deterministic=not train)(x)


class EncoderBlock(nn.Module):
    """A pre-LayerNorm Transformer block: [B, T, D] to [B, T, D], and None for `nn.scan`.

    With stochastic depth (Huang et al. 2016, arXiv 1603.09382) each photo skips each of the two
    branches with the probability `drop_rate` while training.
    """

    description: ModelDescription
    execution: Execution
    train: bool

    @nn.compact
    def __call__(self, x: jax.Array, drop_rate: jax.Array) -> tuple[jax.Array, None]:
        d = self.description
        norm = functools.partial(nn.LayerNorm, epsilon=d.layer_norm_epsilon, dtype=d.dtype)
        y = norm(name="LayerNorm_0")(x)
        y = attention(d, self.execution, "MultiHeadDotProductAttention_0")(
            y, y, sow_weights=self.execution.record
        )
        y = nn.Dropout(d.dropout, deterministic=not self.train)(y)
        x = x + self._drop(y, drop_rate)
        y = norm(name="LayerNorm_1")(x)
        y = MlpBlock(d, name="MlpBlock_0")(y, train=self.train)
        return x + self._drop(y, drop_rate), None

    def _drop(self, branch: jax.Array, rate: jax.Array) -> jax.Array:
        if not (self.train and self.description.stochastic_depth):
            return branch
        shape = (branch.shape[0], 1, 1)
        keep = jax.random.bernoulli(self.make_rng("dropout"), 1.0 - rate, shape)
        return jnp.where(keep, branch / (1.0 - rate).astype(branch.dtype), 0)


def attention(
    d: ModelDescription, execution: Execution, name: str
) -> nn.MultiHeadDotProductAttention:
    """A layer of attention: (queries [B, T, D], keys and values [B, S, D]) to [B, T, D]."""
    return nn.MultiHeadDotProductAttention(
        num_heads=d.num_heads,
        dtype=d.dtype,
        kernel_init=nn.initializers.xavier_uniform(),
        deterministic=True,  # No dropout on attention weights, as in vit-keras.
        attention_fn=functools.partial(attend, execution.attention),
        name=name,
    )


class Encoder(nn.Module):
    """Position embedding, blocks and the final LayerNorm: [B, T, D] to [B, T, D]."""

    description: ModelDescription
    execution: Execution

    @nn.compact
    def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
        d, execution = self.description, self.execution
        x = PositionEmbedding(name="posembed_input")(tokens)
        # Deeper blocks are skipped more often, the first one never.
        rates = jnp.linspace(0.0, d.stochastic_depth, d.num_layers)
        block = EncoderBlock
        if execution.remat != "none":
            block = nn.remat(
                block,
                # XLA does not merge what a loop computes twice.
                prevent_cse=not execution.scan,
                policy=jax.checkpoint_policies.dots_with_no_batch_dims_saveable
                if execution.remat == "dots"
                else None,
            )
        if execution.scan:
            block = nn.scan(
                block,
                variable_axes={"params": 0},
                split_rngs={"params": True, "dropout": True},
                length=d.num_layers,
            )
            x, _ = block(d, execution, train, name="encoderblock")(x, rates)
        else:
            for layer in range(d.num_layers):
                x, _ = block(d, execution, train, name=f"encoderblock_{layer}")(x, rates[layer])
        return nn.LayerNorm(epsilon=d.layer_norm_epsilon, dtype=d.dtype, name="encoder_norm")(x)


def stack_blocks(params: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of an unscanned encoder to that of a scanned one: blocks along a first axis."""
    blocks = sorted(
        (name for name in params if name.startswith("encoderblock_")),
        key=lambda name: int(name.rpartition("_")[2]),
    )
    stacked = jax.tree.map(lambda *layers: jnp.stack(layers), *(params[name] for name in blocks))
    return {"encoderblock": stacked} | {k: v for k, v in params.items() if k not in blocks}


class AttentionPooling(nn.Module):
    """Tokens [B, T, D] to one vector [B, D]: a learned query attends to them all, then an MLP.

    The MAP head of big_vision (Zhai et al. 2022, arXiv 2106.04560), whose names it has.
    """

    description: ModelDescription
    execution: Execution

    @nn.compact
    def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
        d = self.description
        probe = self.param("probe", nn.initializers.xavier_uniform(), (1, 1, d.hidden_size))
        probe = jnp.tile(probe.astype(tokens.dtype), (tokens.shape[0], 1, 1))
        x = attention(d, self.execution, "MultiHeadDotProductAttention_0")(
            probe, tokens, sow_weights=self.execution.record
        )
        norm = nn.LayerNorm(epsilon=d.layer_norm_epsilon, dtype=d.dtype, name="LayerNorm_0")
        return (x + MlpBlock(d, name="MlpBlock_0")(norm(x), train=train))[:, 0]


class VisionTransformer(nn.Module):
    """The backbone: images [B, H, W, 3] in the model's input range to features [B, D].

    Features are taken after the final LayerNorm: the class token, the mean of the patch tokens, or
    what attention pooling makes of the tokens. A model may have no class token; its positions
    then have no slot for one.
    """

    description: ModelDescription
    execution: Execution = DEFAULT

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        d = self.description
        patch = (d.patch_size, d.patch_size)
        x = nn.Conv(d.hidden_size, patch, patch, "VALID", dtype=d.dtype, name="embedding")(images)
        x = x.reshape(x.shape[0], -1, d.hidden_size)
        if d.class_token:
            cls = self.param("cls", nn.initializers.zeros, (1, 1, d.hidden_size)).astype(x.dtype)
            x = jnp.concatenate([jnp.tile(cls, (x.shape[0], 1, 1)), x], axis=1)
        x = Encoder(d, self.execution, name="Transformer")(x, train=train)
        if d.pooling == "map":
            return AttentionPooling(d, self.execution, name="MAPHead_0")(x, train=train)
        if d.pooling == "cls":
            return x[:, 0]
        x = x[:, 1 if d.class_token else 0 :]
        if self.execution.record:
            x = record(self, "pooled", x)
        return x.mean(axis=1)
