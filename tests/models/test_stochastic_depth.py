"""Stochastic depth against the written-out model with every combination of skipped branches."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from written_out import TINY, numpy_vit, random_params

from vit_sentiment.models import classifier
from vit_sentiment.models.execution import Execution

MODEL = TINY.replace(num_layers=3, stochastic_depth=0.6, num_classes=0, classes=())
RATES = (0.0, 0.3, 0.6)
KEYS = 400


def train(model, params, images, keys, execution):
    """Features [keys, B, D] while training."""

    @jax.jit
    @jax.vmap
    def run(key):
        return classifier.apply(model, params, images, execution=execution, dropout_key=key)[0]

    with jax.default_matmul_precision("highest"):
        return np.asarray(run(keys))


@pytest.fixture(scope="module")
def images():
    return np.float32(np.random.default_rng(1).uniform(-1, 1, (2, 16, 24, 3)))


@pytest.fixture(scope="module")
def params():
    return random_params(MODEL)


@pytest.fixture(scope="module", params=[False, True], ids=["unrolled", "scan"])
def kept(request, params, images):
    """Whether [keys, B, 4] a branch was kept: two of the second block, two of the third."""
    execution = Execution(scan=request.param)
    keys = jax.random.split(jax.random.key(0), KEYS)
    found = train(MODEL, jax.tree.map(jnp.float32, params), images, keys, execution)
    choices = np.array(list(itertools.product((0, 1), repeat=4)))
    shares = np.repeat([1 - rate for rate in RATES[1:]], 2)
    outcomes = np.stack(
        [
            numpy_vit(params, images, MODEL, factors)[0]
            for factors in (np.concatenate([[1, 1], c / shares]).reshape(3, 2) for c in choices)
        ]
    )
    distances = np.abs(found[:, None] - outcomes).max(-1)
    # Each photo has one of the sixteen outcomes, none of which is near another.
    assert distances.min(1).max() < 1e-3
    assert np.sort(distances, axis=1)[:, 1].min() > 1e-2
    return choices[distances.argmin(1)]


def test_branches_are_kept_as_often_as_their_depth_tells(kept):
    """So a kept branch, divided by that share, is on average what is computed without drops."""
    shares = np.repeat([1 - rate for rate in RATES[1:]], 2)
    deviations = np.sqrt(shares * (1 - shares) / (2 * KEYS))
    np.testing.assert_array_less(np.abs(kept.mean((0, 1)) - shares), 4 * deviations)


def test_photos_and_branches_are_independent(kept):
    """Correlations of independent draws are below four standard errors."""
    draws = kept.reshape(KEYS, 8).T
    correlations = np.corrcoef(draws) - np.eye(8)
    assert np.abs(correlations).max() < 4 / np.sqrt(KEYS)


@pytest.mark.parametrize("scan", [False, True])
def test_the_first_block_is_never_skipped(images, scan):
    model = MODEL.replace(num_layers=1, stochastic_depth=0.9)
    params = jax.tree.map(jnp.float32, random_params(model))
    keys = jax.random.split(jax.random.key(0), 20)
    found = train(model, params, images, keys, Execution(scan=scan))
    with jax.default_matmul_precision("highest"):
        still, _ = classifier.apply(model, params, images)
    np.testing.assert_allclose(found, np.broadcast_to(still, found.shape), atol=1e-5)


def test_nothing_is_skipped_but_while_training(params, images):
    run = jax.jit(classifier.apply, static_argnums=0)
    single = jax.tree.map(jnp.float32, params)
    found, expected = (
        run(model, single, images)[0] for model in (MODEL, MODEL.replace(stochastic_depth=0.0))
    )
    np.testing.assert_array_equal(found, expected)
