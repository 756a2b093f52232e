"""Optimisers against their published formulas."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import common
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
