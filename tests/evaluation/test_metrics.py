"""Metrics against scikit-learn, SciPy and written-out loops."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from vit_sentiment.evaluation import metrics

CLASSES = ("negative", "neutral", "positive")


@st.composite
def cases(draw, smallest=1):
    """Gold labels, float32 probabilities; often with classes that do not occur."""
    rows = draw(st.integers(smallest, 40))
    classes = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True))
    gold = np.array(draw(st.lists(st.sampled_from(classes), min_size=rows, max_size=rows)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(1, 1, 1), (9, 1, 0.1)]))
    return gold, random.dirichlet(shape, rows).astype(np.float32)


@given(cases())
@settings(deadline=None)
def test_counts_and_ratios_are_scikit_learns(case):
    gold, probs = case
    predicted = probs.argmax(axis=1)
    counts = metrics.confusion_matrix(gold, predicted, 3)
    expected = sklearn.metrics.confusion_matrix(gold, predicted, labels=[0, 1, 2])
    np.testing.assert_array_equal(counts, expected)
    found = metrics.from_confusion(counts)
    exact = {"rel": 1e-12}
    assert found["accuracy"] == sklearn.metrics.accuracy_score(gold, predicted)
    macro = {"average": "macro", "zero_division": 0}
    f1 = sklearn.metrics.f1_score(gold, predicted, **macro)
    assert found["macro_f1"] == pytest.approx(f1, **exact)
    recall = sklearn.metrics.recall_score(gold, predicted, **macro)
    assert found["macro_recall"] == pytest.approx(recall, **exact)
    per_class = sklearn.metrics.precision_recall_fscore_support(
        gold, predicted, labels=[0, 1, 2], zero_division=0
    )
    for name, values in zip(("precision", "recall", "f1", "support"), per_class, strict=True):
        np.testing.assert_allclose(found[name], values, rtol=1e-12)


def test_leading_axes_are_kept():
    counts = np.random.default_rng(0).integers(0, 9, (4, 3, 3))
    together = metrics.from_confusion(counts)
    for number in range(4):
        for name, value in metrics.from_confusion(counts[number]).items():
            np.testing.assert_array_equal(together[name][number], value)


@given(cases(smallest=3))
@settings(deadline=None)
def test_roc_auc_is_scikit_learns_where_all_classes_occur(case):
    gold, probs = case
    gold[:3] = 0, 1, 2
    expected = sklearn.metrics.roc_auc_score(
        gold, probs.astype(np.float64), multi_class="ovr", average="macro"
    )
    assert metrics.roc_auc(gold, probs) == pytest.approx(expected, rel=1e-12)


def test_roc_auc_by_counting_pairs_when_a_class_is_absent():
    gold = np.array([0, 0, 2, 2, 2])
    probs = np.array([[6, 3, 1], [2, 7, 1], [3, 1, 6], [2, 2, 6], [0, 5, 5]]) / 10
    areas = []
    for c in (0, 2):
        ours, others = probs[gold == c, c], probs[gold != c, c]
        areas.append(np.mean([(a > b) + 0.5 * (a == b) for a in ours for b in others]))
    assert metrics.roc_auc(gold, probs) == pytest.approx(np.mean(areas), rel=1e-12)
    assert metrics.roc_auc(gold[:2], probs[:2]) is None


@given(cases())
@settings(deadline=None)
def test_log_loss_is_the_mean_negative_log_probability(case):
    gold, probs = case
    picked = np.maximum(probs[np.arange(len(gold)), gold].astype(np.float64), 1e-12)
    found = metrics.log_loss(gold, np.maximum(probs, np.float32(1e-12)))
    assert found == pytest.approx(-np.log(picked).mean(), rel=1e-5, abs=1e-6)


@pytest.mark.filterwarnings("error")
def test_log_loss_of_a_masked_model_is_of_the_probabilities_as_they_are():
    probs = np.array([[0.5, 3e-8, 0.2], [0.1, 8e-8, 0.1]], np.float32)
    expected = -(np.log(0.5) + np.log(0.1)) / 2
    assert metrics.log_loss(np.array([0, 2]), probs) == pytest.approx(expected, rel=1e-6)


@given(cases())
@settings(deadline=None)
def test_calibration_error_is_the_written_out_loop(case):
    gold, probs = case
    confidence, correct = probs.max(axis=1), probs.argmax(axis=1) == gold
    expected = 0.0
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        high += number == 14  # The last bin has its upper end too.
        inside = [i for i, c in enumerate(confidence) if low <= c < high]
        if inside:
            gap = abs(np.mean(correct[inside]) - np.mean(confidence[inside], dtype=np.float64))
            expected += len(inside) / len(gold) * gap
    assert metrics.calibration_error(gold, probs) == pytest.approx(expected, abs=1e-6)


def test_certain_predictions_are_counted():
    gold, probs = np.array([0, 1]), np.array([[1.0, 0, 0], [1.0, 0, 0]])
    rows, confidence, accuracy = metrics.reliability(gold, probs)
    assert (rows.tolist()[-1], confidence[-1], accuracy[-1]) == (2, 1, 0.5)
    assert metrics.calibration_error(gold, probs) == 0.5


def test_the_interval_of_independent_rows_is_that_of_a_proportion():
    random = np.random.default_rng(0)
    gold = random.integers(0, 3, 2000)
    predicted = np.where(random.random(2000) < 0.7, gold, (gold + 1) % 3)
    accuracy = (gold == predicted).mean()
    low, high = metrics.bootstrap_intervals(gold, predicted, range(2000), 3)["accuracy"]
    deviation = np.sqrt(accuracy * (1 - accuracy) / 2000)
    expected = scipy.stats.norm.interval(0.95, accuracy, deviation)
    assert (low, high) == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))


def test_copies_of_a_row_in_one_group_are_no_evidence():
    random = np.random.default_rng(1)
    gold = random.integers(0, 3, 300)
    predicted = np.where(random.random(300) < 0.6, gold, (gold + 1) % 3)
    groups = np.arange(300)
    alone = metrics.bootstrap_intervals(gold, predicted, groups, 3)
    gold, predicted, groups = (np.repeat(values, 9) for values in (gold, predicted, groups))
    copies = metrics.bootstrap_intervals(gold, predicted, groups, 3)
    apart = metrics.bootstrap_intervals(gold, predicted, range(2700), 3)
    for name in ("accuracy", "macro_f1"):
        assert copies[name] == alone[name]
        ratio = np.diff(copies[name]) / np.diff(apart[name])
        assert ratio == pytest.approx(3, rel=0.15)  # The square root of 9.


def test_intervals_are_the_same_each_time():
    gold, predicted = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])
    first = metrics.bootstrap_intervals(gold, predicted, "abca", 3)
    assert metrics.bootstrap_intervals(gold, predicted, "abca", 3) == first


@given(cases())
@settings(deadline=None)
def test_evaluate_gathers_the_parts(case):
    gold, probs = case
    found = metrics.evaluate(gold, probs, range(len(gold)), CLASSES)
    predicted = probs.argmax(axis=1)
    assert found["rows"] == len(gold)
    assert found["accuracy"] == (gold == predicted).mean()
    assert found["majority"] == max(np.mean(gold == c) for c in range(3))
    assert np.sum(found["confusion_matrix"]) == len(gold)
    assert [found["per_class"][name]["support"] for name in CLASSES] == [
        int(np.sum(gold == c)) for c in range(3)
    ]
    low, high = found["interval_95"]["accuracy"]
    assert 0 <= low <= high <= 1
