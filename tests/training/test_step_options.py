"""Accumulation, averages, frozen stages, augmentation and execution in the jitted step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from training.test_step import host, moments, split, start

from configs import common
from vit_sentiment.models.classifier import apply, normalise
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.training import augment, sharding, step

DESCRIPTION = ModelDescription(
    image_size=(8, 8), patch_size=4, hidden_size=8, num_layers=1, num_heads=2, mlp_size=16,
    head_hidden=4,
)  # fmt: skip
ROWS, STEPS, DECAY = 8, 4, 0.23
WEIGHTS = np.array([1.9, 1.4, 0.6], np.float32)
UNEVEN = (1, 0, 0, 0, 1, 1, 0, 0)
"""Of four parts, part j having the rows j and j + 4, one has two photos and two have none."""
pytestmark = pytest.mark.usefixtures("quick_compilation")


def config_with(**changes):
    config = common.get_config()
    config.data.batch_size = config.validation.batch_size = ROWS
    config.optimizer.update(name="sgd", weight_decay=0.1)
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return config


def batch(seed=0, mask=(1,) * ROWS):
    random = np.random.default_rng(seed)
    return {
        "image": random.integers(0, 256, (ROWS, 8, 8, 3)).astype(np.uint8),
        "label": random.integers(0, 3, ROWS).astype(np.int32),
        "probs": random.dirichlet((1, 1, 1), ROWS).astype(np.float32),
        "mask": np.array(mask, bool),
    }


def put(values, mesh):
    return sharding.to_devices(values, sharding.rows(mesh))


def on_host(state):
    return jax.device_get(state._replace(key=None))


@functools.cache
def steps(**changes):
    """States before the first and after each of some steps, and the metrics of each."""
    state, advance, mesh = start(DESCRIPTION, config_with(**changes), "all", WEIGHTS, 0.01)
    states, metrics = [on_host(state)], []
    for number in range(STEPS):
        mask = UNEVEN if number % 2 == 0 else (1,) * ROWS
        state, values = advance(state, put(batch(number, mask), mesh))
        states.append(on_host(state))
        metrics.append({name: float(value) for name, value in values.items()})
    return states, metrics


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_is_one_update_of_the_whole(parts):
    states, metrics = steps(accumulate=parts, ema_decay=DECAY)
    whole_states, whole_metrics = steps(ema_decay=DECAY)
    for found, expected in zip(metrics, whole_metrics, strict=True):
        assert found == pytest.approx(expected, rel=1e-5)
    for found, expected in zip(states, whole_states, strict=True):
        jax.tree.map(assert_close, found, expected)
    assert states[-1].step == STEPS


def assert_close(found, expected):
    """Sums in another order: rounding goes with what was summed, not with what is left of it."""
    atol = 1e-6 + 1e-5 * float(np.max(np.abs(expected)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def test_each_part_has_a_key_of_its_own():
    """With the same one, photos of different parts would have the same units dropped."""
    draw = functools.partial(step._in_parts, lambda params, part, key: jax.random.uniform(key))
    values = {"mask": jnp.ones(ROWS)}
    draws = [float(draw(parts, None, values, jax.random.key(0))) for parts in (2, 4)]
    assert draws[1] != pytest.approx(2 * draws[0])


def test_each_row_is_in_one_part():
    values = {"number": jnp.arange(ROWS), "image": jnp.ones((ROWS, 2))}

    def seen(params, part, key):
        assert part["image"].shape == (2, 2)
        return jax.nn.one_hot(part["number"], ROWS).sum(0), part["image"].sum()

    counts, total = step._in_parts(seen, 4, None, values, jax.random.key(0))
    assert counts.tolist() == [1] * ROWS
    assert total == 2 * ROWS


def test_the_average_follows_its_formula_from_the_first_step():
    states, _ = steps(ema_decay=DECAY)
    tiny.assert_identical(host(states[0].ema), host(states[0].params))
    expected = {name: np.float64(value) for name, value in host(states[0].params).items()}
    decays = [0.1, 2 / 11, DECAY, DECAY]  # The third would be 3 / 12.
    for decay, state in zip(decays, states[1:], strict=True):
        params, ema = host(state.params), host(state.ema)
        for name, value in expected.items():
            expected[name] = decay * value + (1 - decay) * params[name]
            np.testing.assert_allclose(ema[name], expected[name], rtol=1e-5, atol=1e-6)


def test_the_average_changes_nothing_of_the_training():
    plain, averaged = steps()[0], steps(ema_decay=DECAY)[0]
    tiny.assert_identical(host(averaged[-1].params), host(plain[-1].params))
    assert any(np.any(host(averaged[-1].ema)[k] != v) for k, v in host(plain[-1].params).items())


def test_without_a_decay_there_is_no_average():
    state = steps()[0][0]
    assert state.ema is None
    assert "ema" not in state.items()


def test_the_average_of_a_fresh_state_is_a_copy():
    """The step gives both away: one buffer could not be given twice."""
    config = config_with(ema_decay=DECAY)
    state, _, _ = start(DESCRIPTION, config, "all", WEIGHTS, 0.01)
    pairs = zip(jax.tree.leaves(state.params), jax.tree.leaves(state.ema), strict=True)
    for parameter, average in pairs:
        assert parameter.unsafe_buffer_pointer() != average.unsafe_buffer_pointer()


@pytest.fixture(scope="module")
def muon_stages():
    """States before and after a step of the head alone with Muon, whose moments are not 0."""
    config = config_with(optimizer__name="muon")
    state, advance, mesh = start(DESCRIPTION, config, "head", WEIGHTS, 0.01)
    moved = jax.tree.map(lambda x: x + 0.5 if x.dtype == jnp.float32 else x + 1, state.opt_state)
    state = state._replace(opt_state=moved)
    before = on_host(state)
    state, _ = advance(state, put(batch(), mesh))
    return before, on_host(state)


def test_a_head_stage_of_muon_leaves_the_backbone_alone(muon_stages):
    before, after = muon_stages
    old, old_head = split(host(before.params))
    new, new_head = split(host(after.params))
    tiny.assert_identical(new, old)
    assert all(np.any(new_head[name] != value) for name, value in old_head.items())


def test_a_head_stage_of_muon_leaves_the_moments_of_the_backbone_alone(muon_stages):
    before, after = map(moments, muon_stages)
    frozen = {name for name in before if "head_" not in name}
    for optimizer in ("['muon']", "['adam']"):
        assert any(optimizer in name and "encoderblock_0" in name for name in frozen)
    tiny.assert_identical({n: after[n] for n in frozen}, {n: before[n] for n in frozen})
    assert before.keys() > frozen
    assert all(np.any(after[n] != before[n]) for n in before.keys() - frozen)


@pytest.fixture(scope="module")
def augmented_loss():
    """The loss of fixed weights on fixed photos, in a step of the run with a seed."""
    augmented = {"crop_area": (0.5, 1.0), "flip": 0.5, "brightness": 0.4}
    config = config_with(**{f"augment__{name}": value for name, value in augmented.items()})
    state, advance, mesh = start(DESCRIPTION, config, "all", WEIGHTS, 0.0)

    def loss(number, seed):
        own = jax.tree.map(jnp.copy, state)
        own = own._replace(step=jnp.int32(number), key=jax.random.key(seed))
        return float(advance(own, put(batch(0, UNEVEN), mesh))[1]["loss"])

    return loss


def test_augmentation_is_a_function_of_seed_and_step(augmented_loss):
    given = [(0, 0), (1, 0), (0, 1)]
    found = [augmented_loss(*pair) for pair in given]
    assert found == [augmented_loss(*pair) for pair in given]
    _, (plain, *_) = steps()
    assert len({*found, plain["loss"]}) == 4


def test_mixed_photos_have_mixed_targets():
    """The loss written out, with the shares that the augmentation drew."""
    config = config_with(augment__mixup=0.8, loss__soft_weight=0.4, loss__label_smoothing=0.0)
    state, advance, mesh = start(DESCRIPTION, config, "all", WEIGHTS, 0.01)
    values = batch(0, (1,) * (ROWS - 1) + (0,))

    @jax.jit
    def forward(params, key):
        _, key = jax.random.split(jax.random.fold_in(key, 0))
        images, mixing = augment.augment(config.augment, values["image"], values["mask"], key)
        _, logits = apply(DESCRIPTION, params, normalise(images, DESCRIPTION))
        return jax.nn.log_softmax(logits), mixing.share

    log_probs, shares = (np.float64(x) for x in forward(state.params, state.key))
    expected, hits = 0.0, 0
    for i in range(ROWS - 1):
        hard, soft = (
            shares[i] * t[i] + (1 - shares[i]) * t[ROWS - 1 - i]
            for t in (np.eye(3)[values["label"]], values["probs"])
        )
        for weight, target in ((0.6, hard), (0.4, soft)):
            expected -= weight * (target @ WEIGHTS) * (target @ log_probs[i]) / (ROWS - 1)
        hits += log_probs[i].argmax() == hard.argmax()
    assert np.any((shares > 0.05) & (shares < 0.95))
    _, metrics = advance(state, put(values, mesh))
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(metrics["accuracy"]) == pytest.approx(hits / (ROWS - 1))


@pytest.mark.parametrize(("remat", "scan"), [("dots", False), ("blocks", True)])
def test_how_the_model_is_computed_does_not_change_the_step(remat, scan):
    _, expected = steps()
    _, found = steps(execution__remat=remat, execution__scan=scan)
    for a, b in zip(found, expected, strict=True):
        assert a == pytest.approx(b, rel=1e-5)
