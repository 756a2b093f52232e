"""Optimisers against their published formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from checkpoints import trees
from configs import common
from vit_sentiment.models.classifier import abstract_params
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training.optimizers import make_optimizer

GRADIENTS = np.random.default_rng(0).normal(size=(12, 4))


def run(steps=12, learning_rate=0.1, **changes):
    """The parameter after each step from ones, under `GRADIENTS`."""
    config = common.get_config()
    config.optimizer.update(changes)
    optimizer = make_optimizer(config, optax.constant_schedule(learning_rate))
    params = jnp.ones(4)
    state = optimizer.init(params)
    trace = []
    for gradient in GRADIENTS[:steps]:
        updates, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
        trace.append(np.asarray(params))
    return np.array(trace)


def adam_moments(gradients):
    m = v = np.zeros(4)
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        yield t, m / (1 - 0.9**t), v / (1 - 0.999**t)


def test_radam_follows_the_paper():
    """Liu et al. 2020 (arXiv 1908.03265), algorithm 2; the threshold 5 is tensorflow-addons'."""
    params, expected = np.ones(4), []
    limit = 2 / (1 - 0.999) - 1
    for t, m, v in adam_moments(GRADIENTS):
        length = limit - 2 * t * 0.999**t / (1 - 0.999**t)
        step = m
        if length >= 5:
            top = (length - 4) * (length - 2) * limit
            step = np.sqrt(top / ((limit - 4) * (limit - 2) * length)) * m / (np.sqrt(v) + 1e-7)
        params = params - 0.1 * step
        expected.append(params)
    np.testing.assert_allclose(run(name="radam"), expected, rtol=1e-4, atol=1e-5)


def test_adamw_decays_weights_apart_from_the_moments():
    params, expected = np.ones(4), []
    for _, m, v in adam_moments(GRADIENTS):
        params = params - 0.1 * (m / (np.sqrt(v) + 1e-7) + 0.01 * params)
        expected.append(params)
    np.testing.assert_allclose(run(name="adamw", weight_decay=0.01), expected, rtol=1e-4, atol=1e-5)


def test_clipping_scales_gradients_to_the_norm_before_the_moments():
    norms = np.linalg.norm(GRADIENTS, axis=1, keepdims=True)
    params, expected = np.ones(4), []
    for _, m, v in adam_moments(GRADIENTS * np.minimum(1, 0.5 / norms)):
        params = params - 0.1 * m / (np.sqrt(v) + 1e-7)
        expected.append(params)
    np.testing.assert_allclose(run(name="adamw", clip_norm=0.5), expected, rtol=1e-4, atol=1e-5)


def test_an_unknown_optimizer_is_refused_by_name():
    with pytest.raises(UserError, match=r"optimizer\.name: expected one of .*, found 'adam'"):
        run(name="adam")


def test_sgd_adds_up_its_momentum():
    params, velocity, expected = np.ones(4), np.zeros(4), []
    for gradient in GRADIENTS:
        velocity = 0.9 * velocity + gradient
        params = params - 0.1 * velocity
        expected.append(params)
    np.testing.assert_allclose(run(name="sgd"), expected, rtol=1e-4, atol=1e-5)


def test_lion_takes_the_sign():
    """Chen et al. 2023 (arXiv 2302.06675), algorithm 2."""
    params, moment, expected = np.ones(4), np.zeros(4), []
    for gradient in GRADIENTS:
        params = params - 0.1 * np.sign(0.9 * moment + 0.1 * gradient)
        moment = 0.99 * moment + 0.01 * gradient
        expected.append(params)
    np.testing.assert_allclose(run(name="lion", b2=0.99), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("decays", ["all", "kernels"])
def test_what_decays(decays):
    config = common.get_config()
    config.optimizer.update(name="sgd", weight_decay=0.5, decays=decays)
    optimizer = make_optimizer(config, optax.constant_schedule(1.0))
    names = ("kernel", "bias", "scale", "pos_embedding", "cls")
    params = {"layer": {name: jnp.ones(3) for name in names}}
    zeros = {"layer": {name: jnp.zeros(3) for name in names}}
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    decayed = [name for name in names if (updates["layer"][name] == -0.5).all()]
    assert decayed == (list(names) if decays == "all" else ["kernel"])
    for name in set(names) - set(decayed):
        assert (updates["layer"][name] == 0).all()


DEEP = ModelDescription(
    image_size=(8, 8), patch_size=4, hidden_size=8, num_layers=3, num_heads=2, mlp_size=16,
    pooling="map",
)  # fmt: skip


def like(params, seed):
    """Normal numbers in the shapes of a parameter tree."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda p: random.normal(size=p.shape).astype(np.float32), params)


def updates_of(params, gradients, learning_rate=0.1, **changes):
    """The update of each step, by path; the parameters stay what they are."""
    config = common.get_config()
    config.optimizer.update(changes)
    optimizer = make_optimizer(config, optax.constant_schedule(learning_rate))
    update, state, found = jax.jit(optimizer.update), optimizer.init(params), []
    for gradient in gradients:
        updates, state = update(gradient, state, params)
        found.append(trees.flatten(updates))
    return found


def newton_schulz(matrix):
    """Jordan et al. 2024: five quintic iterations from the matrix over its Frobenius norm."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def nesterov(gradients):
    """The momentum that both Muon and its Adam look ahead with, corrected for its start."""
    m = 0.0
    for t, g in enumerate(gradients, 1):
        m = 0.9 * m + 0.1 * g
        yield 0.9 * m / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)


def nadam(gradients):
    """Dozat 2016, without the factor b2 that optax leaves out too."""
    v = 0.0
    for t, (g, m) in enumerate(zip(gradients, nesterov(gradients), strict=True), 1):
        v = 0.999 * v + 0.001 * g**2
        yield -0.1 * m / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)


def orthogonal(gradients, shape):
    """Muon's updates; `shape` is that of the matrix that the parameter is."""
    for m in nesterov(gradients):
        scale = 0.2 * np.sqrt(max(shape))
        yield -0.1 * scale * newton_schulz(m.reshape(shape)).reshape(m.shape)


@pytest.fixture(scope="module")
def muon():
    """Gradients of three steps and what Muon makes of them, by path."""
    params = abstract_params(DEEP)
    gradients = [like(params, seed) for seed in range(3)]
    flat = [{k: np.float64(v) for k, v in trees.flatten(g).items()} for g in gradients]
    return flat, updates_of(like(params, 9), gradients, name="muon", layer_decay=1.0)


BLOCK = "Transformer/encoderblock_{}/"
MATRICES = {
    "MultiHeadDotProductAttention_0/query/kernel": (8, 2 * 4),
    "MultiHeadDotProductAttention_0/key/kernel": (8, 2 * 4),
    "MultiHeadDotProductAttention_0/value/kernel": (8, 2 * 4),
    "MultiHeadDotProductAttention_0/out/kernel": (2 * 4, 8),
    "MlpBlock_0/Dense_0/kernel": (8, 16),
    "MlpBlock_0/Dense_1/kernel": (16, 8),
}


@pytest.mark.parametrize("name", MATRICES)
def test_muon_orthogonalises_the_matrices_of_the_blocks(muon, name):
    gradients, found = muon
    for block in (0, 2):
        path = BLOCK.format(block) + name
        expected = orthogonal([g[path] for g in gradients], MATRICES[name])
        for updates, value in zip(found, expected, strict=True):
            np.testing.assert_allclose(updates[path], value, rtol=1e-3, atol=1e-5)


def test_muon_leaves_everything_else_to_adam(muon):
    gradients, found = muon
    matrices = {BLOCK.format(b) + name for b in range(3) for name in MATRICES}
    others = found[0].keys() - matrices
    assert len(others) == len(found[0]) - 18
    assert {"embedding/kernel", "head/kernel", "Transformer/encoder_norm/scale"} < others
    assert "MAPHead_0/MlpBlock_0/Dense_0/kernel" in others
    for path in others:
        expected = nadam([g[path] for g in gradients])
        for updates, value in zip(found, expected, strict=True):
            np.testing.assert_allclose(updates[path], value, rtol=1e-3, atol=1e-6)


def depth_factor(path, decay):
    """What BEiT has for three blocks: embeddings decay^4, blocks decay^3, ^2 and ^1, the rest 1."""
    for block in range(3):
        if path.startswith(BLOCK.format(block)):
            return decay ** (3 - block)
    below = path.startswith("embedding/") or path in (
        "cls",
        "Transformer/posembed_input/pos_embedding",
    )
    return decay**4 if below else 1.0


@pytest.mark.parametrize("pooling", ["cls", "map"])
def test_layer_decay_scales_updates_and_weight_decay_by_depth(pooling):
    description = DEEP.replace(pooling=pooling, class_token=pooling == "cls", head_hidden=4)
    params = like(abstract_params(description), 0)
    gradients = [like(params, 1)]
    settings = {"name": "adamw", "weight_decay": 0.3, "decays": "kernels"}
    (whole,) = updates_of(params, gradients, **settings)
    (found,) = updates_of(params, gradients, **settings, layer_decay=0.5)
    for path, value in whole.items():
        expected = value * depth_factor(path, 0.5)
        np.testing.assert_allclose(found[path], expected, rtol=1e-5, atol=1e-9, err_msg=path)
    assert {depth_factor(path, 0.5) for path in whole} == {1 / 16, 1 / 8, 1 / 4, 1 / 2, 1}
    assert any(path.startswith("MAPHead_0/") for path in whole) == (pooling == "map")
    assert ("cls" in whole) == (pooling == "cls")


@pytest.mark.parametrize("name", ["radam", "adamw", "lion", "sgd", "muon"])
def test_kernels_alone_decay_in_a_whole_model(name):
    """Without gradients only the decay is left of an update."""
    description = DEEP.replace(pooling="cls", head_hidden=4)
    params = like(abstract_params(description), 0)
    zeros = [jax.tree.map(np.zeros_like, params)]
    (found,) = updates_of(params, zeros, 1.0, name=name, weight_decay=0.5, decays="kernels")
    flat = trees.flatten(params)
    for path, update in found.items():
        decay = 0.5 if path.endswith("/kernel") else 0.0
        np.testing.assert_allclose(update, -decay * flat[path], rtol=1e-6, err_msg=path)
    kernels = [path for path in found if path.endswith("/kernel")]
    assert len(kernels) == 3 * len(MATRICES) + 3
