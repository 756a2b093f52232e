import jax
import jax.numpy as jnp
import numpy as np
import pytest
from written_out import TINY, numpy_vit, random_params

from vit_sentiment.models.classifier import (
    Classifier,
    abstract_params,
    count_parameters,
    init_params,
    normalise,
)
from vit_sentiment.models.description import VARIANTS, ModelDescription, sizes

HEADS = {
    "linear": {},
    "original": {"head_hidden": 5},
    "ImageNet-21k": {"representation_size": 7, "num_classes": 9, "classes": ()},
}


def apply(description, params, images, **options):
    params = jax.tree.map(jnp.float32, params)
    with jax.default_matmul_precision("highest"):
        return Classifier(description).apply({"params": params}, jnp.float32(images), **options)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(-1, 1, (2, 16, 24, 3))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("Ti/16", 5_717_416),
        ("S/16", 22_050_664),
        ("S/32", 22_878_952),
        ("B/32", 88_224_232),
        ("B/16", 86_567_656),
        ("L/32", 306_535_400),
        ("L/16", 304_326_632),
        ("H/14", 632_045_800),
    ],
)
def test_parameter_counts(name, count):
    description = ModelDescription(
        image_size=(224, 224), num_classes=1000, classes=(), **sizes(name)
    )
    assert count_parameters(abstract_params(description)) == count


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_counts_follow_from_the_sizes(name):
    d, layers, _, mlp, patch = (
        sizes(name)[k] for k in ("hidden_size", "num_layers", "num_heads", "mlp_size", "patch_size")
    )
    block = 4 * (d * d + d) + 2 * d * mlp + mlp + d + 4 * d
    tokens = (224 // patch) ** 2 + 1
    expected = patch**2 * 3 * d + d + d + tokens * d + layers * block + 2 * d
    description = ModelDescription(image_size=(224, 224), num_classes=0, classes=(), **sizes(name))
    assert count_parameters(abstract_params(description)) == expected


@pytest.mark.parametrize(
    ("head", "gelu", "pooling", "class_token"),
    [
        ("linear", "tanh", "cls", True),
        ("linear", "exact", "mean", True),
        ("original", "exact", "cls", True),
        ("ImageNet-21k", "tanh", "mean", True),
        ("linear", "tanh", "mean", False),
        ("original", "exact", "map", False),
        ("linear", "tanh", "map", True),
    ],
)
def test_outputs_are_those_of_the_model_written_out(images, head, gelu, pooling, class_token):
    description = TINY.replace(**HEADS[head], gelu=gelu, pooling=pooling, class_token=class_token)
    params = random_params(description)
    features, logits = apply(description, params, images)
    expected_features, expected_logits = numpy_vit(params, images, description)
    np.testing.assert_allclose(features, expected_features, atol=5e-5, rtol=1e-5)
    np.testing.assert_allclose(logits, expected_logits, atol=5e-5, rtol=1e-5)


def test_the_layer_norms_epsilon_is_the_descriptions(images):
    description = TINY.replace(layer_norm_epsilon=0.5)
    params = random_params(description)
    expected, _ = numpy_vit(params, images, description)
    np.testing.assert_allclose(apply(description, params, images)[0], expected, atol=5e-5)
    assert np.abs(apply(TINY, params, images)[0] - expected).max() > 1e-2


def test_a_model_without_head_gives_features_alone(images):
    description = TINY.replace(num_classes=0, classes=())
    params = random_params(description)
    assert set(params) == {"cls", "embedding", "Transformer"}
    features, logits = apply(description, params, images)
    assert logits is None
    assert features.shape == (2, 12)


ATTENTION = {
    f"MultiHeadDotProductAttention_0/{layer}/{name}"
    for layer in ("query", "key", "value", "out")
    for name in ("kernel", "bias")
}
MLP = {f"MlpBlock_0/Dense_{layer}/{name}" for layer in range(2) for name in ("kernel", "bias")}
NORM = {"scale", "bias"}
BLOCK = ATTENTION | MLP | {f"LayerNorm_{layer}/{name}" for layer in range(2) for name in NORM}
BACKBONE = {
    "cls",
    "embedding/kernel",
    "embedding/bias",
    "Transformer/posembed_input/pos_embedding",
    "Transformer/encoder_norm/scale",
    "Transformer/encoder_norm/bias",
    *(f"Transformer/encoderblock_{layer}/{name}" for layer in range(2) for name in BLOCK),
}


def names_in(tree):
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(key.key for key in path) for path, _ in paths}


def test_names_of_attention_pooling_without_a_class_token():
    model = TINY.replace(class_token=False, pooling="map", num_classes=0, classes=())
    tree = abstract_params(model)
    pooling = ATTENTION | MLP | {"probe"} | {f"LayerNorm_0/{name}" for name in NORM}
    assert names_in(tree) == BACKBONE - {"cls"} | {f"MAPHead_0/{name}" for name in pooling}
    assert tree["Transformer"]["posembed_input"]["pos_embedding"].shape == (1, 6, 12)
    assert tree["MAPHead_0"]["probe"].shape == (1, 1, 12)


@pytest.mark.parametrize(
    ("head", "names"),
    [
        ("linear", ["head"]),
        ("original", ["head_hidden", "head_out"]),
        ("ImageNet-21k", ["pre_logits", "head"]),
    ],
)
def test_names_in_the_tree(head, names):
    tree = abstract_params(TINY.replace(**HEADS[head]))
    assert names_in(tree) == BACKBONE | {
        f"{name}/{part}" for name in names for part in ("kernel", "bias")
    }


fresh = jax.jit(init_params, static_argnums=0)


def test_fresh_parameters_are_those_of_the_key_and_a_linear_head_starts_at_zero():
    description = TINY.replace(num_layers=1)
    params = fresh(description, jax.random.key(3))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    shapes = jax.tree.map(lambda leaf: leaf.shape, params)
    assert shapes == jax.tree.map(lambda leaf: leaf.shape, abstract_params(description))
    assert not params["head"]["kernel"].any()
    kernel = params["embedding"]["kernel"]
    again, other = (fresh(description, jax.random.key(k))["embedding"]["kernel"] for k in (3, 4))
    np.testing.assert_array_equal(again, kernel)
    assert (other != kernel).any()


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32(images):
    single = TINY.replace(num_layers=1)
    params = random_params(single, scale=0.1)
    description = single.replace(dtype="bfloat16")
    kinds = {leaf.dtype for leaf in jax.tree.leaves(abstract_params(description))}
    assert kinds == {jnp.dtype("float32")}
    expected = apply(single, params, images)
    for found, exact in zip(apply(description, params, images), expected, strict=True):
        assert found.dtype == jnp.float32
        difference = np.abs(found - exact).max()
        assert 1e-4 < difference < 0.1
        np.testing.assert_array_equal(found, found.astype(jnp.bfloat16).astype(jnp.float32))


def test_dropout_acts_while_training_alone(images):
    description = TINY.replace(num_layers=1, dropout=0.5)
    params = random_params(description)
    still, _ = apply(description, params, images)
    np.testing.assert_array_equal(still, apply(description.replace(dropout=0.0), params, images)[0])

    @jax.jit
    def train(key):
        return apply(description, params, images, train=True, rngs={"dropout": key})[0]

    dropped = [train(jax.random.key(key)) for key in (0, 0, 1)]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    assert (dropped[0] != dropped[2]).any()
    assert (dropped[0] != still).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("input_range", [(-1.0, 1.0), (0.0, 1.0), (-2.0, 3.0)])
def test_pixels_are_mapped_to_the_input_range(dtype, input_range):
    pixels = np.arange(256).astype(dtype).reshape(1, 16, 16, 1)
    found = normalise(jnp.asarray(pixels), TINY.replace(input_range=input_range))
    assert found.dtype == jnp.float32
    expected = np.interp(np.arange(256), [0, 255], input_range).reshape(1, 16, 16, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
