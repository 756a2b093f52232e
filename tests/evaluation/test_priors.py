"""Correction for other class shares, against Bayes' rule on classes whose densities are known."""

import numpy as np
import pytest
import scipy.stats

from vit_sentiment.evaluation.priors import class_shares, prior_corrected
from vit_sentiment.runtime.errors import UserError

OLD, NEW = (0.2, 0.3, 0.5), (0.6, 0.3, 0.1)
MEANS = (-1.5, 0.0, 1.5)


def posterior(x, prior):
    """Bayes' rule for classes that are normal around `MEANS`."""
    joint = np.stack([scipy.stats.norm.pdf(x, mean) for mean in MEANS], axis=1) * prior
    return joint / joint.sum(axis=1, keepdims=True)


def photos(prior, rows=20_000):
    rng = np.random.default_rng(0)
    gold = rng.choice(3, rows, p=prior)
    return rng.normal(np.array(MEANS)[gold]), gold


def test_corrected_probabilities_are_the_posterior_under_the_new_shares():
    x, _ = photos(NEW, rows=500)
    found = prior_corrected(posterior(x, OLD), OLD, NEW)
    np.testing.assert_allclose(found, posterior(x, NEW), rtol=1e-12)


def test_masked_probabilities_are_renormalised():
    probs = posterior(photos(OLD, rows=50)[0], OLD)
    np.testing.assert_allclose(
        prior_corrected(probs * 0.3, OLD, NEW), prior_corrected(probs, OLD, NEW), rtol=1e-12
    )


def test_a_probability_that_was_rounded_to_zero_leaves_no_empty_row():
    found = prior_corrected(np.eye(3, dtype=np.float32), OLD, (0.0, 0.5, 0.5))
    np.testing.assert_allclose(found, [[0, 0.625, 0.375], [0, 1, 0], [0, 0, 1]], atol=1e-12)


def test_a_class_that_neither_set_has_stays_without_probability():
    found = prior_corrected(np.full((1, 3), 1 / 3), (0.5, 0.0, 0.5), (0.2, 0.0, 0.8))
    np.testing.assert_allclose(found, [[0.2, 0, 0.8]], rtol=1e-12)


@pytest.mark.parametrize("new", [OLD, NEW, (0.05, 0.9, 0.05)])
def test_shares_are_found_without_labels(new):
    x, gold = photos(new)
    true = np.bincount(gold, minlength=3) / len(gold)
    found = class_shares(posterior(x, OLD), OLD)
    np.testing.assert_allclose(found, true, atol=0.02)
    assert found.sum() == pytest.approx(1, abs=1e-9)


def test_found_shares_are_the_likeliest():
    """No small shift between two classes makes the photos more likely."""
    x, _ = photos(NEW, rows=2000)
    probs = posterior(x, OLD)
    found = class_shares(probs, OLD)

    def log_likelihood(shares):
        return np.log((probs * (shares / np.array(OLD))).sum(axis=1)).sum()

    for gains, loses in ((0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)):
        other = found.copy()
        other[gains], other[loses] = other[gains] + 0.005, other[loses] - 0.005
        assert log_likelihood(other) < log_likelihood(found)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ((0.5, 0.5), "expected 3 numbers that sum to 1, found 0.5, 0.5"),
        ((0.5, 0.5, 0.5), "expected 3 numbers"),
        ((1.5, -0.5, 0.0), "expected 3 numbers"),
        ((float("nan"), 0.5, 0.5), "expected 3 numbers"),
    ],
)
def test_what_are_no_shares_is_an_error(new, words):
    with pytest.raises(UserError, match=words):
        prior_corrected(np.full((2, 3), 1 / 3), OLD, new)


def test_a_class_without_calibration_rows_cannot_get_a_share():
    with pytest.raises(UserError, match="cannot be given a share"):
        prior_corrected(np.full((2, 3), 1 / 3), (0.5, 0.0, 0.5), NEW)
