"""Soft targets, noise, generalised cross-entropy and adjusted logits, alone and together.

The oracle is written out in NumPy, float64, row by row and class by class.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from configs import common
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import losses

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(scale=2.0, size=(8, 3)).astype(np.float32)
LABELS = np.array([0, 2, 1, 2, 0, 2, 1, 0])
HARD = np.eye(3, dtype=np.float32)[LABELS]
TEACHER = RANDOM.dirichlet([0.7] * 3, 8).astype(np.float32)
TEACHER[1] = (0, 1, 0)
TEACHER[2] = (0.5, 0, 0.5)
EVEN, ZEROS = np.ones(3, np.float32), np.zeros(3, np.float32)
NOISE = ((0.8, 0.15, 0.05), (0.0, 0.9, 0.1), (0.2, 0.2, 0.6))
ALL = {
    "class_weights": np.array([1.9, 1.4, 0.6], np.float32),
    "adjustment": np.array([-0.5, 0.0, 1.5], np.float32),
    "noise": losses.noise_matrix(NOISE, 3),
    "label_smoothing": 0.2,
    "soft_weight": 0.3,
    "temperature": 2.5,
    "q": 0.7,
    "output_mask": (1.0, 0.25, 1.0),
}
NEUTRAL = {
    "class_weights": EVEN,
    "adjustment": ZEROS,
    "noise": None,
    "label_smoothing": 0.0,
    "soft_weight": 0.0,
    "temperature": 1.0,
    "q": 0.0,
    "output_mask": None,
}
COMBINATIONS = [
    frozenset(names)
    for count in (0, 1, 2, len(ALL) - 1, len(ALL))
    for names in itertools.combinations(sorted(ALL), count)
]


def found(logits=LOGITS, hard=HARD, soft=TEACHER, **fields):
    loss = losses.Loss(**{**NEUTRAL, **fields})
    return np.asarray(losses.rows(loss, jnp.asarray(logits), hard, soft))


def written_out(class_weights, adjustment, noise, label_smoothing, soft_weight, temperature, q,
                output_mask, logits=LOGITS, hard=HARD, soft=TEACHER):  # fmt: skip
    result = []
    for row, label, teacher in zip(*np.float64((logits, hard, soft)), strict=True):
        softened = np.array([p ** (1 / temperature) if p else 0.0 for p in teacher])
        parts = []
        for target, t in ((label, 1.0), (softened / softened.sum(), temperature)):
            z = (row + adjustment) / t
            p = np.exp(z) / np.exp(z).sum()
            if output_mask is not None:
                p = np.clip(p * output_mask, 1e-7, 1 - 1e-7)
                p = p / p.sum()
            if noise is not None:
                p = [sum(p[i] * np.float64(noise)[i, j] for i in range(3)) for j in range(3)]
            weight, loss = 0.0, 0.0
            for j in range(3):
                share = (1 - label_smoothing) * target[j] + label_smoothing / 3
                weight += target[j] * np.float64(class_weights)[j]
                loss += share * ((1 - p[j] ** q) / q if q else -np.log(p[j]))
            parts.append(weight * loss)
        result.append((1 - soft_weight) * parts[0] + soft_weight * temperature**2 * parts[1])
    return np.array(result)


@pytest.mark.parametrize("names", COMBINATIONS, ids=lambda names: "+".join(sorted(names)))
def test_the_loss_of_each_row_is_the_written_out_one(names):
    fields = {**NEUTRAL, **{name: ALL[name] for name in names}}
    np.testing.assert_allclose(found(**fields), written_out(**fields), rtol=2e-5)


@pytest.mark.parametrize("name", sorted(set(ALL) - {"temperature"}))
def test_each_of_them_changes_the_loss(name):
    assert not np.allclose(found(**{name: ALL[name]}), found(), rtol=1e-3)


def test_generalised_cross_entropy_goes_to_cross_entropy_as_q_goes_to_0():
    distances = [np.abs(found(q=q) - found()).max() for q in (1.0, 0.1, 0.01)]
    assert distances[0] > distances[1] > distances[2]
    np.testing.assert_allclose(found(q=1e-5), found(), rtol=1e-4)


def test_at_q_1_it_is_the_probability_of_all_other_classes():
    others = 1 - jax.nn.softmax(LOGITS)[np.arange(8), LABELS]
    np.testing.assert_allclose(found(q=1.0), others, rtol=1e-5)


@pytest.mark.parametrize("q", [0.0, 0.7])
def test_noise_that_changes_no_label_changes_no_loss(q):
    noise = losses.noise_matrix(np.eye(3), 3)
    np.testing.assert_allclose(found(noise=noise, q=q), found(q=q), rtol=1e-6)


def test_forward_correction_is_lowest_at_the_truth():
    """The corrected loss under noisy labels has its minimum where the clean one would have it."""
    truth = np.array([0.7, 0.2, 0.1])
    labels = np.tile(np.float32(truth @ NOISE), (2, 1))
    logits = np.log(np.float32([truth, labels[0]]))
    at_truth, at_labels = found(logits, labels, labels, noise=ALL["noise"])
    assert at_truth < at_labels
    at_truth, at_labels = found(logits, labels, labels)
    assert at_truth > at_labels


@pytest.mark.parametrize(("weight", "unused"), [(0.0, "soft"), (1.0, "hard")])
def test_targets_without_weight_are_not_looked_at(weight, unused):
    broken = {unused: np.full((8, 3), np.nan, np.float32)}
    fields = {**ALL, "soft_weight": weight}
    np.testing.assert_array_equal(found(**fields, **broken), found(**fields))


def test_a_teacher_at_a_temperature_is_its_logits_divided_by_it():
    logits = RANDOM.normal(scale=3.0, size=(5, 3)).astype(np.float32)
    for temperature in (0.5, 1.0, 4.0):
        expected = jax.nn.softmax(logits / temperature)
        softened = losses.soften(jax.nn.softmax(logits), temperature)
        np.testing.assert_allclose(softened, expected, rtol=1e-4)


def test_a_low_temperature_does_not_lose_the_target():
    softened = losses.soften(jnp.array([[0.35, 0.33, 0.32], [0.0, 0.0, 0.0]]), 0.002)
    np.testing.assert_allclose(softened, [[1, 0, 0], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 4.0])
@pytest.mark.parametrize("q", [0.0, 0.7])
@pytest.mark.parametrize("noise", [None, "identity", "given"])
@pytest.mark.parametrize("mask", [None, (1.0, 1e-7, 1.0)])
def test_gradients_are_finite_at_extreme_logits_and_targets(temperature, q, noise, mask):
    logits = np.float32(list(itertools.product((-1e4, 0.0, 1e4), repeat=3)))
    matrix = {None: None, "identity": losses.noise_matrix(np.eye(3), 3), "given": ALL["noise"]}
    fields = {**ALL, "temperature": temperature, "q": q, "noise": matrix[noise]}
    loss = losses.Loss(**{**fields, "output_mask": mask})
    for target in (*np.eye(3), (0.5, 0.5, 0.0), (0.0, 0.0, 0.0)):  # No teacher: all zeros.
        targets = np.tile(np.float32(target), (27, 1))
        value, gradient = jax.value_and_grad(
            lambda x, t: losses.rows(loss, x, jnp.tile(HARD[:1], (27, 1)), t).sum()
        )(logits, targets)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_a_confident_mistake_still_has_a_gradient_under_noise_that_is_none():
    """Computed by logarithms: the probability itself would be 0 and its gradient lost."""
    noise = losses.noise_matrix(np.eye(3), 3)
    loss = losses.Loss(**{**NEUTRAL, "noise": noise})
    gradient = jax.grad(lambda x: losses.rows(loss, x, HARD[:1], HARD[:1]).sum())(
        jnp.array([[-1e4, 1e4, 0.0]])
    )
    np.testing.assert_allclose(gradient, [[-1, 1, 0]], atol=1e-6)


def test_adjustment_by_the_prior_is_the_logarithm_of_the_shares():
    """Then the balanced classifier's logits give the probabilities of the unbalanced world."""
    labels = np.repeat(np.arange(3), (5, 3, 2))
    adjustment = losses.logit_adjustment("prior", labels, 3)
    np.testing.assert_allclose(adjustment, np.log([0.5, 0.3, 0.2]), rtol=1e-6)
    at_zero = found(np.zeros((8, 3), np.float32), adjustment=adjustment).mean()
    shares = np.tile([0.5, 0.3, 0.2], (8, 1))
    assert at_zero == pytest.approx(sklearn.metrics.log_loss(LABELS, shares), rel=1e-6)


def test_adjustments_can_be_given_as_numbers_or_be_none():
    assert losses.logit_adjustment("-0.5, 0,1e0", LABELS, 3).tolist() == [-0.5, 0, 1]
    assert losses.logit_adjustment("none", LABELS, 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "a,b,c", "1;2;3", "nan,0,0", "inf,0,0"])
def test_malformed_adjustments_are_refused(text):
    with pytest.raises(
        UserError, match=r"^config\.loss\.logit_adjustment: expected .* found "
    ) as e:
        losses.logit_adjustment(text, LABELS, 3)
    assert "\n" not in str(e.value)


def test_a_prior_needs_every_class():
    with pytest.raises(UserError, match=r"^config\.loss\.logit_adjustment: prior needs photos of "):
        losses.logit_adjustment("prior", np.array([0, 0, 2]), 3)


def test_rows_of_the_noise_matrix_are_made_to_sum_to_exactly_1():
    third = ((0.333, 0.333, 0.333), (0, 1, 0), (0, 0, 1))
    np.testing.assert_allclose(losses.noise_matrix(third, 3).sum(axis=1), 1.0, rtol=1e-6)
    assert losses.noise_matrix((), 3) is None


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (((1.0, 0.0), (0.0, 1.0)), "3 rows of 3"),
        (((1, 0, 0), (0, 1, 0)), "3 rows of 3"),
        (((1, 0, 0), (0, 1), (0, 0, 1)), "3 rows of 3"),
        ((1, 0, 0), "3 rows of 3"),
        (("a", "b", "c"), "3 rows of 3"),
        ("abc", "3 rows of 3"),
        (((0.8, 0.1, 0.2), (0, 1, 0), (0, 0, 1)), "sum to 1"),
        (((0.9, 0, 0), (0, 1, 0), (0, 0, 1)), "sum to 1"),
        (((1.2, -0.2, 0), (0, 1, 0), (0, 0, 1)), ">= 0"),
        (((float("nan"), 0, 0), (0, 1, 0), (0, 0, 1)), ">= 0"),
        (((float("inf"), 0, 0), (0, 1, 0), (0, 0, 1)), "sum to 1"),
        (((0.5, 0.5, 0), (0, 1, 0), (0.1, 0.9, 0)), "columns that are not all 0"),
    ],
)
def test_malformed_noise_matrices_are_refused(rows, problem):
    with pytest.raises(
        UserError, match=r"^config\.loss\.noise_matrix: expected .* found "
    ) as error:
        losses.noise_matrix(rows, 3)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_the_loss_of_a_config_has_all_of_its_fields():
    description = ModelDescription(
        image_size=(8, 8), patch_size=4, hidden_size=8, num_layers=1, num_heads=2, mlp_size=16,
        output_mask=(1.0, 0.25, 1.0),
    )  # fmt: skip
    config = common.get_config()
    config.loss.update(
        class_weights="1.9,1.4,0.6", logit_adjustment="-0.5,0,1.5", noise_matrix=NOISE,
        label_smoothing=0.2, soft_weight=0.3, temperature=2.5, generalised_q=0.7,
    )  # fmt: skip
    loss = losses.make_loss(config, LABELS, description)
    for name, value in ALL.items():
        np.testing.assert_array_equal(getattr(loss, name), value)
