"""Losses against written-out NumPy and scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import losses

LOGITS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
LABELS = np.array([0, 2, 1, 2, 0, 2])
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
WEIGHTS = np.array([1.9, 1.4, 0.6], np.float32)
EVEN = np.ones(3, np.float32)


def softmax(logits):
    exponentials = np.exp(logits.astype(np.float64))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def rows(hard=ONE_HOT, soft=ONE_HOT, logits=LOGITS, weights=EVEN, adjustment=EVEN * 0, **fields):
    """The loss of each row."""
    loss = losses.Loss(weights, adjustment, **fields)
    return np.asarray(losses.rows(loss, jnp.asarray(logits), hard, soft))


def loss(targets=ONE_HOT, weights=EVEN, smoothing=0.0):
    """The mean of the rows."""
    return rows(targets, weights=weights, label_smoothing=smoothing).mean()


def test_hard_labels_are_the_mean_negative_log_probability():
    expected = -np.log(softmax(LOGITS)[np.arange(6), LABELS]).mean()
    assert loss() == pytest.approx(expected, rel=1e-6)


def test_label_smoothing_spreads_its_share_over_all_classes():
    targets = np.full((6, 3), 0.2 / 3)
    targets[np.arange(6), LABELS] += 0.8
    expected = -(targets * np.log(softmax(LOGITS))).sum(axis=1).mean()
    assert loss(smoothing=0.2) == pytest.approx(expected, rel=1e-6)


def test_weighted_losses_are_divided_by_the_batch_size_and_not_by_the_weights():
    rows = -np.log(softmax(LOGITS)[np.arange(6), LABELS])
    expected = sum(WEIGHTS[label] * row for label, row in zip(LABELS, rows, strict=True)) / 6
    assert loss(weights=WEIGHTS) == pytest.approx(expected, rel=1e-6)


def test_the_weight_is_that_of_the_target_before_smoothing():
    log_probs = np.log(softmax(LOGITS))
    expected = 0.0
    for label, row in zip(LABELS, log_probs, strict=True):
        expected -= WEIGHTS[label] * (0.8 * row[label] + 0.2 * row.mean()) / 6
    assert loss(weights=WEIGHTS, smoothing=0.2) == pytest.approx(expected, rel=1e-6)


def test_soft_targets_are_a_cross_entropy_with_the_expected_weight():
    teacher = softmax(np.random.default_rng(1).normal(size=(6, 3)))
    expected = 0.0
    for probs, row in zip(teacher, np.log(softmax(LOGITS)), strict=True):
        expected -= np.dot(probs, WEIGHTS) * np.dot(probs, row) / 6
    assert loss(teacher.astype(np.float32), WEIGHTS) == pytest.approx(expected, rel=1e-6)


def test_an_output_mask_renormalises_the_clipped_product():
    masked = np.clip(softmax(LOGITS) * [1, 1e-7, 1], 1e-7, 1 - 1e-7)
    expected = np.log(masked / masked.sum(axis=1, keepdims=True))
    found = losses.log_probabilities(jnp.asarray(LOGITS), (1.0, 1e-7, 1.0))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_without_class_weights_all_classes_weigh_one():
    assert losses.class_weights("none", LABELS, 3).tolist() == [1, 1, 1]


@pytest.mark.parametrize("counts", [(5, 3, 9), (1, 1, 1), (40, 1, 200)])
def test_balanced_class_weights_are_scikit_learns(counts):
    labels = np.repeat(np.arange(3), counts)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(losses.class_weights("balanced", labels, 3), expected, rtol=1e-6)


def test_a_class_that_does_not_occur_leaves_the_others_as_scikit_learn_has_them():
    labels = np.array([0, 0, 2])
    expected = compute_class_weight("balanced", classes=np.array([0, 2]), y=labels)
    weights = losses.class_weights("balanced", labels, 3)
    np.testing.assert_allclose(weights[[0, 2]], expected, rtol=1e-6)
    assert np.isfinite(weights).all()


def test_class_weights_can_be_given_as_numbers():
    assert losses.class_weights("1.5, 0,2", LABELS, 3).tolist() == [1.5, 0, 2]


@pytest.mark.parametrize(
    "text", ["", "1,2", "1,2,3,4", "1,-1,2", "a,b,c", "1;2;3", "nan,1,1", "inf,1,1", "Balanced"]
)
def test_malformed_class_weights_are_refused(text):
    with pytest.raises(UserError, match=r"^config\.loss\.class_weights: expected .* found "):
        losses.class_weights(text, LABELS, 3)
