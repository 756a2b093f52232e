"""The Vision Transformer backbone in Flax Linen.

Parameter names are those that google-research/vision_transformer has in memory today, so that a
released checkpoint becomes a parameter tree by a rename (see `checkpoints.google_npz`).
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from vit_sentiment.models.description import ModelDescription


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
    """A pre-LayerNorm Transformer block: [B, T, D] to [B, T, D]."""

    description: ModelDescription

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        d = self.description
        norm = functools.partial(nn.LayerNorm, epsilon=d.layer_norm_epsilon, dtype=d.dtype)
        y = norm(name="LayerNorm_0")(x)
        y = nn.MultiHeadDotProductAttention(
            num_heads=d.num_heads,
            dtype=d.dtype,
            kernel_init=nn.initializers.xavier_uniform(),
            deterministic=True,  # No dropout on attention weights, as in vit-keras.
            name="MultiHeadDotProductAttention_0",
        )(y, y)
        x = x + nn.Dropout(d.dropout, deterministic=not train)(y)
        y = norm(name="LayerNorm_1")(x)
        return x + MlpBlock(d, name="MlpBlock_0")(y, train=train)


class Encoder(nn.Module):
    """Position embedding, blocks and the final LayerNorm: [B, T, D] to [B, T, D]."""

    description: ModelDescription

    @nn.compact
    def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
        d = self.description
        x = PositionEmbedding(name="posembed_input")(tokens)
        for layer in range(d.num_layers):
            x = EncoderBlock(d, name=f"encoderblock_{layer}")(x, train=train)
        return nn.LayerNorm(epsilon=d.layer_norm_epsilon, dtype=d.dtype, name="encoder_norm")(x)


class VisionTransformer(nn.Module):
    """The backbone: images [B, H, W, 3] in the model's input range to features [B, D].

    Features are the class token after the final LayerNorm, or the mean of the patch tokens.
    The class token exists in both cases, as it does in every checkpoint read here.
    """

    description: ModelDescription

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        d = self.description
        patch = (d.patch_size, d.patch_size)
        x = nn.Conv(d.hidden_size, patch, patch, "VALID", dtype=d.dtype, name="embedding")(images)
        x = x.reshape(x.shape[0], -1, d.hidden_size)
        cls = self.param("cls", nn.initializers.zeros, (1, 1, d.hidden_size)).astype(x.dtype)
        x = jnp.concatenate([jnp.tile(cls, (x.shape[0], 1, 1)), x], axis=1)
        x = Encoder(d, name="Transformer")(x, train=train)
        return x[:, 0] if d.pooling == "cls" else x[:, 1:].mean(axis=1)
