"""Coverage-accuracy curves and the thresholds that are read from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vit_sentiment.evaluation import coverage
from vit_sentiment.inference.decision import confidence
from vit_sentiment.models.calibration import Calibration
from vit_sentiment.runtime.errors import UserError


def calibration(curve):
    return Calibration(1.0, (0.5, 0.5), 9, "tweets", "validation", "human_label", "0f", None, curve)


CURVE = calibration([(0, 1, 0.6), (0.4, 0.8, 0.7), (0.6, 0.5, 0.65), (0.9, 0.1, 0.9)])


@given(st.integers(1, 200), st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None)
def test_a_point_says_what_its_threshold_keeps(rows, seed, coarse):
    rng = np.random.default_rng(seed)
    probs, gold = rng.dirichlet((0.5, 0.5, 0.5), rows), rng.integers(0, 3, rows)
    if coarse:  # Many ties.
        probs = np.eye(3)[rng.integers(0, 3, rows)] * 0.5 + 1 / 6
    curve = coverage.coverage_curve(gold, probs)
    assert len(curve) <= coverage.MOST_POINTS
    assert curve[0] == (0.0, 1.0, np.mean(probs.argmax(1) == gold))
    for single in (probs, probs.astype(np.float32)):
        for threshold, share, accuracy in curve:
            kept = confidence(single) >= threshold
            assert kept.mean() == share
            assert np.mean(probs.argmax(1)[kept] == gold[kept]) == accuracy
    assert calibration(curve).coverage == curve  # It is one that can be stored.


def test_a_large_set_has_fifty_evenly_spaced_points():
    rng = np.random.default_rng(0)
    curve = coverage.coverage_curve(rng.integers(0, 3, 5000), rng.dirichlet((1, 1, 1), 5000))
    np.testing.assert_allclose([p.coverage for p in curve], np.arange(50, 0, -1) / 50, atol=1e-3)


def test_confidence_of_masked_probabilities_is_their_share():
    masked = np.array([[0.3, 1e-8, 0.1], [0.0, 0.2, 0.2]])
    np.testing.assert_allclose(confidence(masked), [0.75, 0.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("wanted", "threshold"), [(1.0, 0), (0.81, 0), (0.8, 0.4), (0.5, 0.6), (0.2, 0.6), (0.05, 0.9)]
)
def test_the_threshold_for_a_coverage_is_the_largest_that_keeps_it(wanted, threshold):
    assert coverage.threshold_for_coverage(CURVE, wanted) == threshold


@pytest.mark.parametrize("wanted", [0, -1, 1.01, float("nan")])
def test_a_coverage_is_a_share(wanted):
    with pytest.raises(UserError, match="coverage must be above 0 and at most 1"):
        coverage.threshold_for_coverage(CURVE, wanted)


@pytest.mark.parametrize(("wanted", "threshold"), [(0.5, 0), (0.6, 0), (0.61, 0.4), (0.71, 0.9)])
def test_the_threshold_for_an_accuracy_is_the_smallest_that_reaches_it(wanted, threshold):
    assert coverage.threshold_for_accuracy(CURVE, wanted) == threshold


def test_an_accuracy_that_was_never_reached_is_an_error_with_the_best():
    with pytest.raises(
        UserError, match=r"0\.95 on tweets validation; the best was 0\.9000 for 10%"
    ):
        coverage.threshold_for_accuracy(CURVE, 0.95)
