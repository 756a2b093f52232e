"""Class shares and their intervals, against scipy and against the photos one by one."""

import listed
import numpy as np
import pytest
import scipy.stats

from vit_sentiment.evaluation.priors import class_shares, prior_corrected
from vit_sentiment.inference.decision import Rule
from vit_sentiment.predicting import share_summary
from vit_sentiment.predicting.choices import Choice
from vit_sentiment.predicting.scored_shards import Scored, Shards

CLASSES = listed.DESCRIPTION.classes
PRIOR = listed.CALIBRATION.prior
MEANS = (-1.5, 0.0, 1.5)


def posterior(new, rows, seed=0):
    """What a calibrated model says of photos with new class shares; and their classes."""
    rng = np.random.default_rng(seed)
    gold = rng.choice(3, rows, p=new)
    x = rng.normal(np.array(MEANS)[gold])
    joint = np.stack([scipy.stats.norm.pdf(x, mean) for mean in MEANS], axis=1) * PRIOR
    return (joint / joint.sum(axis=1, keepdims=True)).astype(np.float32), gold


def write(folder, probs, parts=3, error=None):
    """Shards with these probabilities; those of `error` are failures."""
    numbers = np.array_split(np.arange(len(probs)), parts)
    shards = Shards(folder, parts, CLASSES, {})
    for number, rows in enumerate(numbers):
        errors = [error(row) if error else None for row in rows]
        part = probs[rows]
        paths = [f"{row}.jpg" for row in rows]
        shards.write(number, paths, Scored(part, part.argmax(axis=1), part.max(axis=1), errors))
    return [shards.path(number) for number in range(parts)]


def summarise(paths, description=listed.DESCRIPTION, choice=None):
    return share_summary.summarise(paths, CLASSES, description, choice or Choice(Rule()))


def shares(summary, kind, what="share"):
    return np.array([values[what] for values in summary["shares"][kind].values()])


@pytest.mark.parametrize(("count", "total"), [(0, 10), (3, 10), (10, 10), (450, 1000), (1, 10**7)])
def test_wilson_is_the_score_test_turned_round(count, total):
    exact = scipy.stats.binomtest(count, total).proportion_ci(method="wilson")
    np.testing.assert_allclose(share_summary.wilson(count, total), exact, atol=1e-12)


def test_shares_of_labels_and_means_of_probabilities(tmp_path):
    probs, _ = posterior((0.5, 0.3, 0.2), 1000)
    summary = summarise(write(tmp_path, probs))
    counts = np.bincount(probs.argmax(axis=1), minlength=3)
    assert list(summary["labels"].values()) == counts.tolist()
    np.testing.assert_allclose(shares(summary, "labels"), counts / 1000)
    probs = probs.astype(np.float64)
    low, high = scipy.stats.norm.interval(0.95, probs.mean(axis=0), scipy.stats.sem(probs))
    np.testing.assert_allclose(shares(summary, "probability"), probs.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(shares(summary, "probability", "low"), low, atol=1e-6)
    np.testing.assert_allclose(shares(summary, "probability", "high"), high, atol=1e-6)


@pytest.mark.parametrize("new", [(0.6, 0.3, 0.1), (0.02, 0.9, 0.08), PRIOR])
def test_shares_from_cells_are_those_of_the_photos(tmp_path, new):
    probs, _ = posterior(new, 20_000)
    found = shares(summarise(write(tmp_path, probs)), "corrected")
    np.testing.assert_allclose(found, class_shares(probs, PRIOR), atol=1e-4)


@pytest.mark.parametrize("width", [2, 4])
def test_cells_of_other_numbers_of_classes(width):
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([0.4] * width, 5000)
    prior = np.arange(1, width + 1) / np.arange(1, width + 1).sum()
    tally = share_summary.Tally(
        0, 0, None, {}, None, *np.zeros((2, width)), np.zeros(0, int), np.zeros(0, int),
        np.zeros((0, width)),
    )  # fmt: skip
    for part in np.array_split(probs, 7):
        share_summary._add_probabilities(tally, part)
    assert tally.counts.sum() == 5000
    means = tally.cell_sums / tally.counts[:, None]
    found = class_shares(means, prior, tally.counts)
    np.testing.assert_allclose(found, class_shares(probs, prior), atol=1e-4)


def test_counts_are_photos_that_are_there_several_times():
    probs, _ = posterior((0.5, 0.3, 0.2), 50)
    counts = np.random.default_rng(1).integers(0, 4, (2, 50))
    found = class_shares(probs, PRIOR, counts)
    for row, times in zip(found, counts, strict=True):
        expected = class_shares(np.repeat(probs, times, axis=0), PRIOR)
        np.testing.assert_allclose(row, expected, atol=2e-5)


def test_intervals_of_corrected_shares_are_those_of_photos_drawn_again(tmp_path):
    """And hold the true shares about as often as they say."""
    new, rows = (0.6, 0.3, 0.1), 2000
    inside = widths = 0
    for seed in range(20):
        probs, _ = posterior(new, rows, seed)
        summary = summarise(write(tmp_path / str(seed), probs))
        low, high = shares(summary, "corrected", "low"), shares(summary, "corrected", "high")
        inside += ((low <= new) & (new <= high)).sum() / 3
        widths = widths + (high - low) / 20
    assert inside >= 16.5
    drawn = [class_shares(posterior(new, rows, seed)[0], PRIOR) for seed in range(100, 250)]
    spread = np.percentile(drawn, 97.5, axis=0) - np.percentile(drawn, 2.5, axis=0)
    np.testing.assert_allclose(widths, spread, rtol=0.25)


def test_a_known_prior_is_where_correction_starts(tmp_path):
    """Shares that photos make likeliest are the same, whatever prior they were corrected for."""

    probs, _ = posterior((0.6, 0.3, 0.1), 5000)
    known = (0.3, 0.3, 0.4)
    paths = write(tmp_path / "known", prior_corrected(probs, PRIOR, known).astype(np.float32))
    found = summarise(paths, choice=Choice(Rule(), known))
    plain = summarise(write(tmp_path / "plain", probs))
    np.testing.assert_allclose(shares(found, "corrected"), shares(plain, "corrected"), atol=2e-4)


def test_what_an_uncalibrated_model_lacks_is_told(tmp_path):
    probs, _ = posterior(PRIOR, 30)
    summary = summarise(write(tmp_path, probs), listed.DESCRIPTION.replace(calibration=None))
    assert summary["shares"].keys() == {"labels"}
    assert summary["notes"] == [share_summary.UNCALIBRATED]


def test_masked_probabilities_are_renormalised(tmp_path):
    probs, _ = posterior(PRIOR, 300)
    plain = summarise(write(tmp_path / "a", probs))
    masked = summarise(write(tmp_path / "b", probs * np.float32(0.3)))
    np.testing.assert_allclose(shares(masked, "corrected"), shares(plain, "corrected"), atol=1e-5)


def test_a_mask_that_leaves_nothing_tells_nothing(tmp_path):
    summary = summarise(write(tmp_path, np.zeros((2, 3), np.float32), parts=1))
    np.testing.assert_allclose(shares(summary, "probability"), 1 / 3)


def test_reasons_are_grouped_and_bounded(tmp_path):
    def error(row):
        return f"claims {row}x9 pixels" if row < 50 else f"reason {chr(row + 200)}"

    probs, _ = posterior(PRIOR, 300)
    summary = summarise(write(tmp_path, probs, error=error))
    first, *_ = summary["failures"]
    assert first == {"reason": "other reasons", "rows": 151, "example": "149.jpg"}
    assert summary["failures"][1] == {"reason": "claims NxN pixels", "rows": 50, "example": "0.jpg"}
    assert summary["failed"] == sum(found["rows"] for found in summary["failures"]) == 300


def test_one_photo(tmp_path):
    summary = summarise(write(tmp_path, posterior(PRIOR, 1)[0], parts=1))
    assert shares(summary, "probability", "low").tolist() == [0, 0, 0]
    assert shares(summary, "probability", "high").tolist() == [1, 1, 1]
