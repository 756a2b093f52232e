"""Each change of shape against what the foreign layer computes, written out from its definition.

PyTorch's: `Linear` is x W^T + b; `Conv2d` correlates [out, in, H, W] with its input;
`MultiheadAttention` splits one matrix product [3D, D] into query, key and value, and each of these
into heads of neighbouring columns. Ours: `nn.Dense` contracts x with [in, out], `nn.Conv` has
[H, W, in, out], attention [D, heads, E] and [heads, E, D].
"""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from checkpoints import key_map
from checkpoints.key_map import Rule
from vit_sentiment.models.description import ModelDescription

HEADS, WIDTH, HIDDEN = 3, 4, 12
MODEL = ModelDescription(
    image_size=(8, 8), patch_size=4, hidden_size=HIDDEN, num_layers=2, num_heads=HEADS, mlp_size=20
)
RANDOM = np.random.default_rng(0)


def normal(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def test_a_vector_stays_as_it_is():
    value = normal(HIDDEN)
    np.testing.assert_array_equal(key_map.same(value, MODEL), value)


def test_a_linear_layer():
    x, weight = normal(2, HIDDEN), normal(20, HIDDEN)
    found = nn.Dense(20, use_bias=False).apply(
        {"params": {"kernel": key_map.dense(weight, MODEL)}}, x
    )
    np.testing.assert_allclose(found, np.einsum("bi,oi->bo", x, weight), atol=1e-5)


def test_a_convolution_over_patches():
    x, weight = normal(2, 8, 8, 3), normal(HIDDEN, 3, 4, 4)
    found = nn.Conv(HIDDEN, (4, 4), (4, 4), "VALID", use_bias=False).apply(
        {"params": {"kernel": key_map.conv(weight, MODEL)}}, x
    )
    patches = x.reshape(2, 2, 4, 2, 4, 3)
    expected = np.einsum("byhxwc,ochw->byxo", patches, weight)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_projection_into_heads():
    """Head h has the outputs h E to (h + 1) E."""
    x, weight, bias = normal(2, 5, HIDDEN), normal(HIDDEN, HIDDEN), normal(HIDDEN)
    kernel, vector = key_map.to_heads(weight, MODEL), key_map.to_heads(bias, MODEL)
    assert (kernel.shape, vector.shape) == ((HIDDEN, HEADS, WIDTH), (HEADS, WIDTH))
    found = np.einsum("btd,dhe->bthe", x, kernel) + vector
    whole = np.einsum("bti,oi->bto", x, weight) + bias
    for head in range(HEADS):
        expected = whole[..., head * WIDTH : (head + 1) * WIDTH]
        np.testing.assert_allclose(found[:, :, head], expected, atol=1e-5)


def test_a_projection_out_of_heads():
    """The heads are put side by side, then multiplied."""
    heads, weight = normal(2, 5, HEADS, WIDTH), normal(HIDDEN, HIDDEN)
    kernel = key_map.from_heads(weight, MODEL)
    assert kernel.shape == (HEADS, WIDTH, HIDDEN)
    side_by_side = np.concatenate([heads[:, :, head] for head in range(HEADS)], -1)
    np.testing.assert_allclose(
        np.einsum("bthe,hed->btd", heads, kernel),
        np.einsum("bti,oi->bto", side_by_side, weight),
        atol=1e-5,
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_third_of_a_joint_projection(number):
    x, weight, bias = normal(2, 5, HIDDEN), normal(3 * HIDDEN, HIDDEN), normal(3 * HIDDEN)
    change = key_map.third(number)
    found = np.einsum("btd,dhe->bthe", x, change(weight, MODEL)) + change(bias, MODEL)
    whole = np.einsum("bti,oi->bto", x, weight) + bias
    expected = whole[..., number * HIDDEN : (number + 1) * HIDDEN]
    np.testing.assert_allclose(found.reshape(2, 5, HIDDEN), expected, atol=1e-5)


def test_all_of_an_attention_layer():
    """Flax's layer with the changed arrays is PyTorch's `MultiheadAttention` written out."""
    query, value = normal(2, 1, HIDDEN), normal(2, 5, HIDDEN)
    joint, bias = normal(3 * HIDDEN, HIDDEN), normal(3 * HIDDEN)
    out, out_bias = normal(HIDDEN, HIDDEN), normal(HIDDEN)
    params = {
        name: {part: key_map.third(i)(array, MODEL) for part, array in parts.items()}
        for i, name in enumerate(("query", "key", "value"))
        for parts in ({"kernel": joint, "bias": bias},)
    }
    params["out"] = {"kernel": key_map.from_heads(out, MODEL), "bias": out_bias}
    found = nn.MultiHeadDotProductAttention(HEADS).apply(
        {"params": params}, jnp.asarray(query), jnp.asarray(value)
    )
    q, k, v = (
        x @ joint[i * HIDDEN : (i + 1) * HIDDEN].T + bias[i * HIDDEN : (i + 1) * HIDDEN]
        for i, x in enumerate((query, value, value))
    )
    mixed = np.empty((2, 1, HIDDEN), np.float32)
    for head in range(HEADS):
        part = slice(head * WIDTH, (head + 1) * WIDTH)
        weights = np.exp(q[..., part] @ k[..., part].swapaxes(1, 2) / np.sqrt(WIDTH))
        mixed[..., part] = weights / weights.sum(-1, keepdims=True) @ v[..., part]
    np.testing.assert_allclose(found, mixed @ out.T + out_bias, atol=1e-4)


RULES = [
    Rule(r"layers\.(\d+)\.fc\.weight", r"blocks_\1/kernel", key_map.dense),
    Rule(r"joint", "first", lambda value, d: np.split(value, 2)[0]),
    Rule(r"joint", "second", lambda value, d: np.split(value, 2)[1]),
    Rule(r"norm\.weight", "norm/scale"),
]


def test_rules_rename_change_and_share_arrays():
    flat = {"layers.10.fc.weight": normal(2, 3), "joint": normal(4), "norm.weight": normal(5)}
    found = key_map.translate(flat, RULES, MODEL)
    expected = {
        "blocks_10/kernel": flat["layers.10.fc.weight"].T,
        "first": flat["joint"][:2],
        "second": flat["joint"][2:],
        "norm/scale": flat["norm.weight"],
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_arrays_are_float32_and_in_order():
    flat = {"layers.0.fc.weight": np.arange(6.0).reshape(2, 3), "norm.weight": np.float16([1.5])}
    for value in key_map.translate(flat, RULES, MODEL).values():
        assert value.dtype == np.float32
        assert value.flags.c_contiguous


def test_what_no_rule_takes_keeps_its_name_and_what_none_can_change_its_shape():
    """A pattern is for a whole name; the comparison with the model refuses these."""
    flat = {
        "my.layers.0.fc.weight": normal(2, 3),
        "norm.weight.old": normal(2),
        "joint": normal(3),
    }
    found = key_map.translate(flat, RULES, MODEL)
    assert {name: value.shape for name, value in found.items()} == {
        "my.layers.0.fc.weight": (2, 3), "norm.weight.old": (2,), "first": (3,), "second": (3,)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        (key_map.conv, (12, 48)),
        (key_map.to_heads, (11, 12)),
        (key_map.to_heads, ()),
        (key_map.from_heads, (11, 11)),
        (key_map.from_heads, ()),
        (key_map.third(0), (35, 12)),
        (key_map.third(0), ()),
    ],
)
def test_a_shape_that_cannot_be_changed_stays(change, shape):
    found = key_map.translate({"a": np.zeros(shape)}, [Rule("a", "b", change)], MODEL)
    assert found["b"].shape == shape
