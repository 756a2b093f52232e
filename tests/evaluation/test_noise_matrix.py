"""The estimate of a noise matrix, on probabilities whose noise is known."""

import numpy as np
import pytest

from input_pipeline.demo_tweets import confusion
from vit_sentiment.evaluation.noise_matrix import estimate
from vit_sentiment.runtime.errors import UserError

REAL = np.array(confusion.parse(confusion.REAL))


def noisy(matrix, rows=20_000, doubt=0.1, shares=(1 / 3, 1 / 3, 1 / 3)):
    """Labels, and the probabilities that a perfect model of them has: its photos are of one class
    but for a doubt, uniform between 0 and `doubt`."""
    rng = np.random.default_rng(0)
    classes = len(matrix)
    truth = rng.choice(classes, rows, p=shares)
    clean = rng.uniform(0, doubt, (rows, 1)) * np.ones(classes) / (classes - 1)
    clean[np.arange(rows), truth] = 0
    clean[np.arange(rows), truth] = 1 - clean.sum(axis=1)
    probs = clean @ matrix
    labels = np.array([rng.choice(classes, p=matrix[i]) for i in truth])
    return labels, probs


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3),
        0.7 * np.eye(3) + 0.1,
        REAL,
        np.array([[0.6, 0.3, 0.1], [0.05, 0.9, 0.05], [0.2, 0.2, 0.6]]),
        np.array([[0.8, 0.2], [0.4, 0.6]]),
    ],
    ids=["none", "uniform", "real", "uneven", "binary"],
)
def test_a_known_matrix_is_found_within_0_02(matrix):
    shares = np.full(len(matrix), 1 / len(matrix))
    found = estimate(*noisy(matrix, shares=shares))
    np.testing.assert_allclose(found, matrix, atol=0.02)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_uneven_classes_do_not_move_it():
    found = estimate(*noisy(REAL, shares=(0.6, 0.3, 0.1)))
    np.testing.assert_allclose(found, REAL, atol=0.03)


def test_a_model_that_is_sure_of_itself_does_not_move_it():
    """Probabilities to a power are no longer calibrated; their order is what counts."""
    labels, probs = noisy(REAL)
    sure = probs**2 / (probs**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(estimate(labels, sure), REAL, atol=0.02)


def test_two_thousand_photos_are_enough_for_0_05():
    np.testing.assert_allclose(estimate(*noisy(REAL, rows=2000)), REAL, atol=0.05)


def test_written_out():
    """The counts by hand: thresholds are 0.667 and 0.617."""
    labels = np.array([0, 0, 0, 1, 1, 1])
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8], [0.6, 0.4], [0.35, 0.65]])
    # Of the rows labelled 0, two count for class 0 and one for class 1; of those labelled 1, two
    # for class 1 and one, the fifth, for neither; they are scaled to three.
    expected = [[2 / 2, 0 / 2], [1 / 4, 3 / 4]]
    np.testing.assert_allclose(estimate(labels, probs), expected)


@pytest.mark.parametrize(
    ("labels", "probs", "message"),
    [
        ([0, 0, 1], np.full((3, 3), 1 / 3), "no row is labelled with the class 2"),
        # A model that tells nothing calls all rows the first class.
        ([0, 1, 2], np.full((3, 3), 1 / 3), "no row is confidently of the class 1"),
    ],
)
def test_what_cannot_be_estimated_is_told(labels, probs, message):
    with pytest.raises(UserError, match=message):
        estimate(np.array(labels), probs)
