"""The step against golden Keras runs, and what frozen stages leave alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from checkpoints import formats, trees
from configs import common
from vit_sentiment.models.classifier import HEAD_NAMES, Classifier
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.training import losses, optimizers, sharding, step

BLOCK = "Transformer/encoderblock_0"
FINAL = {
    "Transformer/encoderblock_0/Dense_0/kernel": f"{BLOCK}/MlpBlock_0/Dense_0/kernel",
    "embedding/kernel": "embedding/kernel",
    "class_token/cls": "cls",
    "head_hidden_kernel": "head_hidden/kernel",
    "head_out_kernel": "head_out/kernel",
}
"""Keras' names of the golden tensors, and ours."""
CASES = ("full", "head_only", "fold_masked")


@functools.cache
def keras_run(golden, case):
    """Our losses, parameters and probabilities of the first batch for one golden run."""
    expected = np.load(golden / "keras_train" / "expected.npz")
    restored = formats.restore(golden / "keras_train" / "initial.npz", gelu="exact")
    config = common.get_config()
    config.data.batch_size = config.validation.batch_size = 8
    labels, weights, mask = expected["labels"], expected["class_weights"], None
    if case == "fold_masked":
        config.loss.label_smoothing = 0.0
        labels, weights, mask = np.where(labels == 0, 0, 2), np.ones(3, np.float32), (1, 1e-7, 1)
    description = restored.described.description.replace(output_mask=mask)
    trainable = "head" if case == "head_only" else "all"
    state, advance, mesh = start(description, config, trainable, weights, 1e-3, restored.params)
    found = []
    pixels = ((expected["images"].astype(np.float64) + 1) * 127.5).astype(np.float32)
    where = sharding.rows(mesh)
    for images, label in zip(pixels, labels, strict=True):
        state, metrics = advance(state, sharding.to_devices(batch(images, label), where))
        found.append(float(metrics["loss"]))
    forward = jax.jit(Classifier(description).apply)
    _, logits = forward({"params": state.params}, expected["images"][0])
    return np.array(found), trees.flatten(state.params), jax.nn.softmax(logits), expected


def start(description, config, trainable, weights, learning_rate, params=None):
    """A state, its step and the mesh; `params` replaces fresh parameters."""
    schedule = optax.constant_schedule(learning_rate)
    optimizer = optimizers.make_optimizer(config, schedule)
    mesh = sharding.make_mesh(config)
    abstract = step.abstract_state(description, optimizer, config, mesh)
    if params is None:
        state = step.init_state(abstract, description, optimizer, config)
    else:
        params = jax.tree.map(jnp.array, params)
        state = step.TrainState(
            jnp.int32(0), params, jax.jit(optimizer.init)(params), jax.random.key(0)
        )
    config.loss.class_weights = ",".join(map(str, weights))
    loss = losses.make_loss(config, np.arange(3), description)
    advance = step.make_step(
        description, optimizer, schedule, config, loss, trainable, abstract, mesh
    )
    return state, advance, mesh


def batch(images, label, mask=None, probs=None):
    rows = len(images)
    return {
        "image": images,
        "label": label.astype(np.int32),
        "probs": np.zeros((rows, 3), np.float32) if probs is None else probs,
        "mask": np.ones(rows, bool) if mask is None else mask,
    }


@pytest.mark.parametrize("case", CASES)
def test_losses_are_those_of_keras(golden, case):
    found, _, _, expected = keras_run(golden, case)
    np.testing.assert_allclose(found[:6], expected[f"{case}_losses"][:6], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found, expected[f"{case}_losses"], rtol=0, atol=5e-3)


@pytest.mark.parametrize("name", FINAL)
@pytest.mark.parametrize("case", CASES)
def test_final_tensors_are_those_of_keras(golden, case, name):
    _, params, _, expected = keras_run(golden, case)
    np.testing.assert_allclose(params[FINAL[name]], expected[f"{case}/{name}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_probabilities_after_training_are_those_of_keras(golden, case):
    _, _, probs, expected = keras_run(golden, case)
    wanted = expected[f"{case}_probs_of_first_batch"]
    np.testing.assert_allclose(probs, wanted, rtol=0, atol=1e-3)


SMALL = ModelDescription(
    image_size=(8, 8), patch_size=4, hidden_size=8, num_layers=1, num_heads=2, mlp_size=16,
    head_hidden=4, dropout=0.1,
)  # fmt: skip


def small_config(**changes):
    config = common.get_config()
    config.data.batch_size = config.validation.batch_size = 4
    config.optimizer.update(name="adamw", weight_decay=0.1, clip_norm=1.0)
    config.loss.update(changes)
    return config


def small_batches(count, seed=0):
    random = np.random.default_rng(seed)
    for _ in range(count):
        images = random.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
        yield batch(images, random.integers(0, 3, 4))


def train(state, advance, mesh, batches):
    for values in batches:
        state, metrics = advance(state, sharding.to_devices(values, sharding.rows(mesh)))
    return state, {name: float(value) for name, value in metrics.items()}


def host(tree):
    return trees.flatten(jax.tree.map(np.array, tree))


def split(params):
    head = {name: value for name, value in params.items() if name.split("/")[0] in HEAD_NAMES}
    return {name: value for name, value in params.items() if name not in head}, head


def test_a_head_stage_leaves_the_backbone_bit_identical_and_moves_the_head():
    state, advance, mesh = start(SMALL, small_config(), "head", np.ones(3, np.float32), 0.01)
    backbone, head = split(host(state.params))
    state, _ = train(state, advance, mesh, small_batches(3))
    new_backbone, new_head = split(host(state.params))
    tiny.assert_identical(new_backbone, backbone)
    assert all(np.any(new_head[name] != value) for name, value in head.items())


def test_moments_of_frozen_parameters_stay_as_they_are():
    """In Keras frozen variables have no update at all; ours shall keep their moments too."""
    weights = np.ones(3, np.float32)
    state, advance, mesh = start(SMALL, small_config(), "all", weights, 0.01)
    _, advance_head, _ = start(SMALL, small_config(), "head", weights, 0.01)
    state, _ = train(state, advance, mesh, small_batches(2))
    before = moments(state)
    state, _ = train(state, advance_head, mesh, small_batches(2, seed=1))
    backbone = {name: value for name, value in moments(state).items() if "head" not in name}
    assert backbone
    tiny.assert_identical(backbone, {name: before[name] for name in backbone})


def moments(state):
    leaves = jax.tree_util.tree_leaves_with_path(state.opt_state)
    named = {jax.tree_util.keystr(path): np.array(leaf) for path, leaf in leaves}
    return {name: value for name, value in named.items() if ".mu[" in name or ".nu[" in name}


def test_metrics_of_a_step_are_of_the_parameters_before_it():
    config = small_config(label_smoothing=0.2)
    weights = np.array([2, 1, 0.5], np.float32)
    description = SMALL.replace(dropout=0.0)
    state, advance, mesh = start(description, config, "all", weights, 0.125)
    (values,) = small_batches(1)
    values["mask"][2] = False
    images = values["image"].astype(np.float32) / 127.5 - 1
    params = jax.tree.map(jnp.copy, state.params)

    def loss(params):
        _, logits = Classifier(description).apply({"params": params}, images)
        smooth = 0.8 * jax.nn.one_hot(values["label"], 3) + 0.2 / 3
        rows = -(smooth * jax.nn.log_softmax(logits)).sum(1) * weights[values["label"]]
        return (rows * values["mask"]).sum() / values["mask"].sum(), logits

    (expected, logits), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    hits = (np.argmax(logits, 1) == values["label"])[values["mask"]]
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradients)))
    state, metrics = train(state, advance, mesh, [values])
    assert metrics["loss"] == pytest.approx(float(expected), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(hits.mean())
    assert metrics["gradient_norm"] == pytest.approx(norm, rel=1e-4)
    assert metrics["learning_rate"] == 0.125
    assert int(state.step) == 1


def test_soft_targets_replace_labels():
    """With one-hot teacher probabilities the target does not matter; labels are then ignored."""
    (values,) = small_batches(1)
    one_hot = np.eye(3, dtype=np.float32)[values["label"]]
    hard = first_loss(0.0, values)
    wrong = (values["label"] + 1) % 3
    assert first_loss(1.0, values | {"probs": one_hot, "label": wrong}) == hard
    assert first_loss(0.0, values | {"label": wrong}) != hard


def first_loss(soft_weight, values):
    config = small_config(soft_weight=soft_weight)
    _, metrics = train(*start(SMALL, config, "all", np.ones(3, np.float32), 0.01), [values])
    return metrics["loss"]
