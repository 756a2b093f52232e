"""Temperature and cross-fit, on logits whose right temperature is known."""

import numpy as np
import pytest
import scipy.special

from vit_sentiment.evaluation import calibration, metrics
from vit_sentiment.evaluation.coverage import coverage_curve
from vit_sentiment.runtime.errors import UserError

CLASSES = ("negative", "neutral", "positive")
ROWS = 4000


@pytest.fixture(scope="module")
def sure():
    """Logits whose softmax is the exact posterior, and labels drawn from it."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(ROWS, 3)) * 2
    return logits, (scipy.special.softmax(logits, 1).cumsum(1) < rng.random((ROWS, 1))).sum(1)


def log_loss(logits, gold, temperature, mask=(1.0, 1.0, 1.0)):
    """Written out, with renormalising."""
    exponents = np.exp(logits / temperature) * mask
    return -np.mean(np.log(exponents[np.arange(len(gold)), gold] / exponents.sum(1)))


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_scale_of_the_logits(sure, scale):
    logits, gold = sure
    found = calibration.fit_temperature((logits * scale).astype(np.float32), gold)
    assert found == pytest.approx(scale, rel=0.05)


@pytest.mark.parametrize("mask", [None, (1.0, 1e-7, 1.0), (1.0, 0.5, 0.1)])
def test_no_temperature_has_less_log_loss(sure, mask):
    logits, gold = sure[0][:200] * 3, sure[1][:200]
    if mask and mask[1] < 0.1:
        logits, gold = logits[gold != 1], gold[gold != 1]
    best = calibration.fit_temperature(logits, gold, mask)
    factors = mask or (1.0, 1.0, 1.0)
    least = log_loss(logits, gold, best, factors)
    grid = np.geomspace(*calibration.TEMPERATURES, 2000)
    assert least <= min(log_loss(logits, gold, t, factors) for t in grid) + 1e-12
    probs = calibration.probabilities(logits, best, mask)
    np.testing.assert_allclose(probs.sum(1), 1, rtol=1e-12)
    assert metrics.log_loss(gold, probs) == pytest.approx(least, rel=1e-9)


def test_probabilities_are_the_masked_softmax_renormalised(sure):
    logits = sure[0][:50]
    masked = scipy.special.softmax(logits / 1.7, axis=1) * (1, 1e-7, 0.5)
    found = calibration.probabilities(logits, 1.7, (1, 1e-7, 0.5))
    np.testing.assert_allclose(found, masked / masked.sum(1, keepdims=True), rtol=1e-12)
    assert calibration.probabilities(logits, 1.7, (1.0, 0.0, 1.0))[:, 1].max() == 0


def test_the_fit_lowers_log_loss_and_calibration_error_of_rows_it_has_not_seen(sure):
    logits, gold = sure[0] * 3, sure[1]
    fit = calibration.fit(logits, gold, np.arange(ROWS) // 2, CLASSES)
    assert fit.temperature == pytest.approx(3, rel=0.05)
    before, after = (calibration.figures_of(gold, p) for p in (fit.uncalibrated, fit.cross_fitted))
    assert after["log_loss"] < before["log_loss"] - 0.1
    assert after["calibration_error"] < before["calibration_error"] / 3
    assert after["accuracy"] == before["accuracy"]
    assert fit.warnings == ()


def test_no_group_is_calibrated_by_its_own_rows(sure):
    """A row's temperature in the cross-fit is that of the other groups' rows in its fold."""
    logits, gold = sure[0][:60], sure[1][:60]
    groups = np.repeat(list("abcde"), 12)
    fit = calibration.fit(logits, gold, groups, CLASSES)
    expected = {}
    for group in "abcde":  # As many groups as folds, so each is left out alone.
        others = groups != group
        expected[group] = calibration.fit_temperature(logits[others], gold[others])
        found = fit.cross_fitted[groups == group]
        own = scipy.special.softmax(logits[groups == group] / expected[group], axis=1)
        np.testing.assert_allclose(found, own, rtol=1e-9)
    assert sorted(fit.folds) == sorted(expected.values())
    assert len(set(fit.folds)) == 5


def test_abstaining_takes_its_thresholds_from_the_other_folds(sure):
    logits, gold = sure[0][:60], sure[1][:60]
    groups = np.repeat(list("abcde"), 12)
    fit = calibration.fit(logits, gold, groups, CLASSES)
    kept = np.zeros(60, bool)
    for group in "abcde":
        test = groups == group
        curve = coverage_curve(gold[~test], fit.uncalibrated[~test])
        threshold = max(p.threshold for p in curve if p.coverage >= 0.5)
        kept[test] = fit.uncalibrated[test].max(1) >= threshold
    (half,) = [point for point in fit.abstaining_before if point.asked == 0.5]
    assert half.kept == kept.mean()
    assert half.accuracy == np.mean(fit.uncalibrated.argmax(1)[kept] == gold[kept])
    assert fit.abstaining[0] == (1.0, 1.0, np.mean(fit.cross_fitted.argmax(1) == gold))


def test_a_model_that_is_always_right_goes_to_the_bound_with_a_warning():
    gold = np.arange(30) % 3
    fit = calibration.fit(np.eye(3)[gold] * 0.5, gold, np.arange(30), CLASSES)
    assert fit.temperature == pytest.approx(calibration.TEMPERATURES[0], rel=1e-3)
    assert any("right in every row" in text for text in fit.warnings)


def test_a_model_that_is_wrong_goes_to_the_other_bound_with_a_warning():
    gold = np.arange(30) % 3
    fit = calibration.fit(np.eye(3)[(gold + 1) % 3] * 9.0, gold, np.arange(30), CLASSES)
    assert fit.temperature == pytest.approx(calibration.TEMPERATURES[1], rel=1e-3)
    assert any("at the bound 20 of the search" in text for text in fit.warnings)


def test_a_temperature_that_does_not_carry_over_is_warned_of():
    """Half of the groups ask for sharper probabilities, the other half for flatter ones."""
    gold, half = np.arange(40) % 3, np.arange(40) % 2
    logits = np.eye(3)[(gold + half * (np.arange(40) % 4 == 1)) % 3]
    groups = np.where(half, "wrong", "right")
    fit = calibration.fit(logits, gold, groups, CLASSES)
    before, after = (metrics.log_loss(gold, p) for p in (fit.uncalibrated, fit.cross_fitted))
    assert after > before
    (warning,) = fit.warnings
    assert f"rises ({before:.4f} to {after:.4f})" in warning


def test_logits_that_say_nothing_keep_their_temperature():
    gold = np.arange(30) % 3
    assert calibration.fit_temperature(np.zeros((30, 3), np.float32), gold) == 1.0


def test_a_class_without_rows_is_warned_of_unless_it_is_masked(sure):
    keep = sure[1] != 1
    logits, gold = sure[0][keep] * 3, sure[1][keep]
    fit = calibration.fit(logits, gold, np.arange(len(gold)), CLASSES)
    assert fit.warnings == ("no row is labelled neutral",)
    masked = calibration.fit(logits, gold, np.arange(len(gold)), CLASSES, (1.0, 1e-7, 1.0))
    assert masked.warnings == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y, g: (x[:9], y[:9], g[:9]), "needs 10 labelled rows, found 9"),
        (lambda x, y, g: (x[:0], y[:0], g[:0]), "needs 10 labelled rows, found 0"),
        (lambda x, y, g: (x, y * 0 + 2, g), "rows of two classes; all 30 are positive"),
        (lambda x, y, g: (x, y, np.full(30, "t1")), "two groups; all 30 rows are of t1"),
        (lambda x, y, g: (np.where(y[:, None] == 0, np.nan, x), y, g), "found 10 rows of others"),
    ],
)
def test_what_cannot_be_calibrated_is_an_error_in_one_line(change, words):
    gold = np.arange(30) % 3
    logits = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.raises(UserError, match=words) as error:
        calibration.fit(*change(logits, gold, np.arange(30)), CLASSES)
    assert "\n" not in str(error.value)


def test_rows_of_a_class_that_the_mask_excludes_are_an_error():
    gold = np.arange(30) % 3
    with pytest.raises(UserError, match=r"10 rows are labelled neutral, .*\(factor 1e-07\)"):
        calibration.fit(np.zeros((30, 3)), gold, np.arange(30), CLASSES, (1.0, 1e-7, 1.0))


def test_the_stored_calibration_has_the_shares_of_the_labels(sure):
    logits, gold = sure
    fit = calibration.fit(logits, gold, np.arange(ROWS), CLASSES)
    facts = {"data": "tweets", "split": "validation", "label": "human_label", "step": 3}
    found = calibration.make_calibration(fit, gold, **facts, fingerprint="0f")
    assert found.prior == tuple(np.mean(gold == c) for c in range(3))
    assert (found.rows, found.step, found.temperature) == (ROWS, 3, fit.temperature)
    assert found.coverage == coverage_curve(gold, fit.fitted)
