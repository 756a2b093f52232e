"""A small model, and what it computes written out in NumPy."""

import math

import jax
import numpy as np

from vit_sentiment.models.classifier import abstract_params
from vit_sentiment.models.description import ModelDescription

TINY = ModelDescription(
    image_size=(16, 24), patch_size=8, hidden_size=12, num_layers=2, num_heads=3, mlp_size=20
)


def numpy_vit(params, images, d, factors=None, touch=lambda value: value):
    """The model written out: features and logits.

    `factors` [L, 2] are those of the two branches of each block, as stochastic depth draws them.
    `touch` may look at and change the weights of each attention and then the tokens whose mean is
    taken, in this order.
    """
    factors = np.ones((d.num_layers, 2)) if factors is None else factors

    def dense(p, x):
        return x @ p["kernel"] + p["bias"]

    def norm(p, x):
        x = x - x.mean(-1, keepdims=True)
        return (
            x / np.sqrt((x**2).mean(-1, keepdims=True) + d.layer_norm_epsilon) * p["scale"]
            + (p["bias"])
        )

    def gelu(form, x):
        if form == "tanh":
            return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
        return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2

    def attention(p, x, y):
        q, k, v = (
            np.einsum("btd,dhe->bhte", z, p[n]["kernel"]) + p[n]["bias"][:, None]
            for n, z in (("query", x), ("key", y), ("value", y))
        )
        weights = np.exp(q @ k.swapaxes(-1, -2) / math.sqrt(d.hidden_size // d.num_heads))
        mixed = touch(weights / weights.sum(-1, keepdims=True)) @ v
        return np.einsum("bhte,hed->btd", mixed, p["out"]["kernel"]) + p["out"]["bias"]

    def mlp(p, x):
        return dense(p["Dense_1"], gelu(d.gelu, dense(p["Dense_0"], x)))

    (rows, columns), s = d.grid, d.patch_size
    x = images.reshape(len(images), rows, s, columns, s, 3)
    x = np.einsum("bysxtc,stcd->byxd", x, params["embedding"]["kernel"])
    x = (x + params["embedding"]["bias"]).reshape(len(images), rows * columns, -1)
    if d.class_token:
        x = np.concatenate([np.repeat(params["cls"], len(images), 0), x], 1)
    encoder = params["Transformer"]
    x = x + encoder["posembed_input"]["pos_embedding"]
    for layer in range(d.num_layers):
        p = encoder[f"encoderblock_{layer}"]
        y = norm(p["LayerNorm_0"], x)
        x = x + factors[layer][0] * attention(p["MultiHeadDotProductAttention_0"], y, y)
        x = x + factors[layer][1] * mlp(p["MlpBlock_0"], norm(p["LayerNorm_1"], x))
    x = norm(encoder["encoder_norm"], x)
    if d.pooling == "map":
        p = params["MAPHead_0"]
        probe = np.repeat(p["probe"], len(images), 0)
        y = attention(p["MultiHeadDotProductAttention_0"], probe, x)
        features = (y + mlp(p["MlpBlock_0"], norm(p["LayerNorm_0"], y)))[:, 0]
    elif d.pooling == "mean":
        features = touch(x[:, int(d.class_token) :]).mean(1)
    else:
        features = x[:, 0]
    if d.head_hidden:
        hidden = gelu("tanh", dense(params["head_hidden"], features))
        return features, dense(params["head_out"], hidden)
    if d.representation_size:
        return features, dense(params["head"], np.tanh(dense(params["pre_logits"], features)))
    return features, dense(params["head"], features) if d.num_classes else None


def random_params(description, scale=0.5):
    """Float64 parameters; the default is large enough that every part of the model tells."""
    rng = np.random.default_rng(0)
    shapes = abstract_params(description)
    return jax.tree.map(lambda leaf: rng.normal(0, scale, leaf.shape), shapes)
