"""Statistics over seeds and between systems, against SciPy and written-out enumerations."""

import itertools
import math
import statistics

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from vit_sentiment.evaluation import comparison, metrics

SAMPLES = 200
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@st.composite
def cases(draw):
    """Gold labels, two systems of one to three runs, and groups."""
    rows = draw(st.integers(1, 30))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    systems = {
        name: list(random.integers(0, 3, (draw(st.integers(1, 3)), rows))) for name in ("a", "b")
    }
    return random.integers(0, 3, rows), systems, random.integers(0, 8, rows)


def compare(gold, systems, groups, **kwargs):
    return comparison.compare(gold, systems, groups, 3, **{"samples": SAMPLES, **kwargs})


def macro_f1(gold, predicted):
    return sklearn.metrics.f1_score(gold, predicted, average="macro", zero_division=0)


SCORES = {"accuracy": lambda gold, predicted: np.mean(gold == predicted), "macro_f1": macro_f1}


def evaluated(value, **changes):
    return dict.fromkeys(comparison.SPREAD, value) | changes


def test_spread_is_mean_sample_deviation_and_worst():
    runs = [evaluated(value) for value in (0.5, 0.75, 0.25, 0.3)]
    found = comparison.spread(runs)
    for name in ("accuracy", "macro_f1", "macro_recall", "roc_auc"):
        assert found[name]["worst"] == 0.25
    for name in ("log_loss", "calibration_error"):
        assert found[name]["worst"] == 0.75
    for values in found.values():
        assert values["mean"] == pytest.approx(0.45, rel=1e-12)
        expected = statistics.stdev([0.5, 0.75, 0.25, 0.3])
        assert values["deviation"] == pytest.approx(expected, rel=1e-12)
        assert values["values"] == [0.5, 0.75, 0.25, 0.3]


def test_one_seed_has_no_deviation():
    found = comparison.spread([evaluated(0.5)])["accuracy"]
    assert found == {"mean": 0.5, "deviation": None, "worst": 0.5, "values": [0.5]}


def test_a_figure_that_a_run_lacks_has_no_mean():
    found = comparison.spread([evaluated(0.5), evaluated(0.5, roc_auc=None)])
    assert found["roc_auc"] == {
        "mean": None,
        "deviation": None,
        "worst": None,
        "values": [0.5, None],
    }
    assert found["accuracy"]["mean"] == 0.5


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 9), st.integers(0, 9))
def test_mcnemar_sums_the_tails_of_a_fair_coin(only_first, only_second, both, neither):
    gold = np.ones(only_first + only_second + both + neither, int)
    first = np.repeat([1, 0, 1, 2], [only_first, only_second, both, neither])
    second = np.repeat([0, 1, 1, 0], [only_first, only_second, both, neither])
    found = comparison.mcnemar(gold, first, second)
    assert (found["only_first"], found["only_second"]) == (only_first, only_second)
    n = only_first + only_second
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1)) / 2**n
    assert found["p"] == pytest.approx(min(1.0, 2 * tail), rel=1e-9)


@given(P_VALUES)
def test_holm_is_closed_testing_with_bonferroni(p):
    """A hypothesis falls when every set of hypotheses that it is in does: Marcus et al., 1976."""
    found = comparison.holm(p)
    for number in range(len(p)):
        sets = itertools.chain.from_iterable(
            itertools.combinations(range(len(p)), size) for size in range(1, len(p) + 1)
        )
        expected = max(min(1.0, len(s) * min(p[i] for i in s)) for s in sets if number in s)
        assert found[number] == pytest.approx(expected, rel=1e-12)


def test_bootstrap_p_counts_the_smaller_side():
    assert comparison.bootstrap_p(np.array([-1.0, 1, 2, 3, 4])) == pytest.approx(2 * 2 / 6)
    assert comparison.bootstrap_p(np.array([-1.0, -2, -3, 0])) == pytest.approx(2 * 2 / 5)
    assert comparison.bootstrap_p(np.full(999, 0.1)) == pytest.approx(2 / 1000)
    assert comparison.bootstrap_p(np.zeros(9)) == 1.0


@given(cases())
@settings(deadline=None, max_examples=40)
def test_differences_are_those_of_means_over_runs(case):
    gold, systems, groups = case
    (pair,) = compare(gold, systems, groups)
    for name, score in SCORES.items():
        first, second = (np.mean([score(gold, run) for run in systems[s]]) for s in "ab")
        assert pair[name]["difference"] == pytest.approx(first - second, abs=1e-12)
        assert pair[name]["p_holm"] == pair[name]["p"]


@given(cases())
@settings(deadline=None, max_examples=40)
def test_the_order_of_rows_does_not_matter(case):
    gold, systems, groups = case
    order = np.random.default_rng(0).permutation(len(gold))
    shuffled = {name: [run[order] for run in runs] for name, runs in systems.items()}
    assert compare(gold[order], shuffled, groups[order]) == compare(gold, systems, groups)


@given(cases())
@settings(deadline=None, max_examples=40)
def test_a_system_does_not_differ_from_itself(case):
    """Nor from one that has each of its runs twice."""
    gold, systems, groups = case
    runs = systems["a"]
    (pair,) = compare(gold, {"a": runs, "twice": [*runs, *runs[::-1]]}, groups)
    for name in comparison.TESTED:
        assert pair[name].pop("difference") == pytest.approx(0, abs=1e-12)
        assert pair[name] == {"interval_95": [0, 0], "p": 1.0, "p_holm": 1.0}


def all_differences(gold, systems, groups, score):
    """The difference of means over runs in each of the equally likely draws of groups."""
    names = np.unique(groups)
    values = []
    for draw in itertools.product(names, repeat=len(names)):
        rows = np.concatenate([np.flatnonzero(groups == name) for name in draw])
        first, second = (
            np.mean([score(gold[rows], run[rows]) for run in systems[s]]) for s in "ab"
        )
        values.append(first - second)
    return np.array(values)


@pytest.mark.parametrize("metric", comparison.TESTED)
def test_the_bootstrap_draws_whole_groups_for_both_systems(metric):
    """Its distribution is that of all 4 ** 4 draws written out."""
    gold = np.array([0, 1, 2, 0, 1, 2, 2, 0, 1])
    groups = np.array(list("aaabbccdd"))
    systems = {
        "a": [np.array([0, 1, 2, 0, 0, 2, 1, 0, 1]), np.array([0, 1, 1, 0, 1, 2, 2, 1, 1])],
        "b": [np.array([1, 1, 2, 0, 1, 0, 0, 2, 1])],
    }
    values = all_differences(gold, systems, groups, SCORES[metric])
    samples = 20_000
    (pair,) = compare(gold, systems, groups, samples=samples)
    # A quantile of samples lies between exact quantiles whose levels are 4 deviations away.
    for found, level in zip(pair[metric]["interval_95"], (0.025, 0.975), strict=True):
        slack = 4 * math.sqrt(level * (1 - level) / samples)
        low, high = np.quantile(values, [level - slack, level + slack], method="inverted_cdf")
        assert low - 1e-9 <= found <= high + 1e-9
    share = min(np.mean(values <= 1e-12), np.mean(values >= -1e-12))
    expected = min(1.0, 2 * share)
    assert pair[metric]["p"] == pytest.approx(expected, abs=8 * math.sqrt(0.25 / samples))


def test_pairing_removes_what_both_systems_share():
    """Runs that differ in a few rows are told apart, though each alone varies far more."""
    random = np.random.default_rng(0)
    gold = random.integers(0, 3, 2000)
    first = np.where(random.random(2000) < 0.6, gold, (gold + 1) % 3)
    wrong = np.flatnonzero(first != gold)[:40]
    second = first.copy()
    second[wrong] = gold[wrong]
    (pair,) = comparison.compare(gold, {"a": [second], "b": [first]}, range(2000), 3)
    low, high = pair["accuracy"]["interval_95"]
    expected = scipy.stats.binom.ppf([0.025, 0.975], 2000, 0.02) / 2000
    assert (low, high) == pytest.approx(tuple(expected), abs=1e-3)
    alone = metrics.bootstrap_intervals(gold, first, range(2000), 3)["accuracy"]
    assert high - low < (alone[1] - alone[0]) / 3
    assert pair["accuracy"]["p"] < 0.002
    assert pair["mcnemar"]["p"] == pytest.approx(2 / 2**40)


def test_several_systems_are_compared_in_pairs_with_corrected_p_values():
    random = np.random.default_rng(3)
    gold = random.integers(0, 3, 300)
    accuracies = {"a": [0.8], "b": [0.72], "c": [0.7, 0.75]}
    systems = {
        name: [np.where(random.random(300) < share, gold, (gold + 1) % 3) for share in shares]
        for name, shares in accuracies.items()
    }
    pairs = compare(gold, systems, range(300), samples=2000)
    assert [(p["first"], p["second"]) for p in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for name in comparison.TESTED:
        corrected = comparison.holm([pair[name]["p"] for pair in pairs])
        assert [pair[name]["p_holm"] for pair in pairs] == corrected
        assert corrected != [pair[name]["p"] for pair in pairs]
    # McNemar's test is of single runs, and its family are the pairs that have it.
    assert [pair["mcnemar"] is None for pair in pairs] == [False, True, True]
    assert pairs[0]["mcnemar"]["p_holm"] == pairs[0]["mcnemar"]["p"]


def test_one_system_has_no_pairs():
    assert compare(np.array([0, 1]), {"a": [np.array([0, 0])]}, [0, 1]) == []
