"""Probes against scikit-learn and NumPy written out."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from input_pipeline.sources import Source
from vit_sentiment.evaluation import metrics, probe_report, probes, probing
from vit_sentiment.evaluation.probes import Examples
from vit_sentiment.inference.features import Features
from vit_sentiment.runtime.errors import UserError

CLASSES = ("negative", "neutral", "positive")


def examples(rows, seed=0, spread=2.0):
    """Three overlapping clouds of very unequal scales; pairs of rows share a group."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    # The same centres for every seed.
    centres = np.random.default_rng(99).normal(0, 1, (3, 8))
    features = (centres[labels] + rng.normal(0, spread, (rows, 8))) * 10.0 ** np.arange(-3, 5)
    groups = np.array([f"{seed}-{number // 2}" for number in range(rows)])
    return Examples(features.astype(np.float32), labels.astype(np.int32), groups)


TRAIN, VALIDATION, TEST = examples(240, 0), examples(60, 1), examples(90, 2)


def run_probe(train=TRAIN, validation=VALIDATION, test=TEST, seed=0, draws=3):
    return probing.probe(train, validation, test, test.features, CLASSES, draws=draws, seed=seed)


@pytest.fixture(scope="module")
def probed():
    """All probes, with C and k chosen on `VALIDATION`."""
    return run_probe()


def macro_f1(gold, predicted):
    return f1_score(gold, predicted, average="macro", zero_division=0)


def logistic_regression(c):
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))


def test_the_linear_probe_is_scikit_learns_with_the_best_c(probed):
    fits = {c: logistic_regression(c).fit(TRAIN.features, TRAIN.labels) for c in probing.C_GRID}
    scores = {
        c: macro_f1(VALIDATION.labels, f.predict(VALIDATION.features)) for c, f in fits.items()
    }
    assert len(set(scores.values())) > 1
    assert list(probed.c_scores.values()) == pytest.approx(list(scores.values()))
    assert probed.c == max(scores, key=scores.get)  # The first of equals.
    expected = fits[probed.c].predict_proba(TEST.features)
    np.testing.assert_allclose(probed.linear, expected, atol=1e-4)


def test_nearest_neighbours_are_scikit_learns_with_the_best_k(probed):
    scores, expected = {}, {}
    for k in probing.K_GRID:
        classifier = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
        classifier.fit(TRAIN.features, TRAIN.labels)
        scores[k] = macro_f1(VALIDATION.labels, classifier.predict(VALIDATION.features))
        expected[k] = classifier.predict_proba(TEST.features)
    assert list(probed.k_scores.values()) == pytest.approx(list(scores.values()))
    assert probed.k == max(scores, key=scores.get)
    np.testing.assert_allclose(probed.nearest, expected[probed.k], atol=1e-6)


def test_blocks_do_not_change_neighbours(monkeypatch):
    grid = [1, 5]
    whole = list(probes.nearest(TRAIN, TEST.features, grid, 3))
    monkeypatch.setattr(probes, "_BLOCK", 7)
    for found, expected in zip(probes.nearest(TRAIN, TEST.features, grid, 3), whole, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_smallest_of_equally_good_candidates_is_chosen():
    perfect = np.eye(3, dtype=np.float32)[VALIDATION.labels]

    def probe(train, features, grid, num_classes):
        return iter([1 - perfect, perfect, perfect])

    best, scores = probing.choose(probe, [(TRAIN, VALIDATION)], (1, 3, 5), 3)
    assert best == 3
    assert scores == {"1": 0.0, "3": 1.0, "5": 1.0}


def test_without_validation_c_is_chosen_by_folds_that_part_no_group():
    splits = probing.cross_validation(TRAIN, 0)
    assert len(splits) == probing.FOLDS
    assert sorted(np.concatenate([held for _, held in splits])) == list(range(240))
    for fit, held_out in splits:
        assert not set(TRAIN.groups[fit]) & set(TRAIN.groups[held_out])
    found = run_probe(validation=None)
    standardised = StandardScaler().fit_transform(TRAIN.features)
    for c in probing.C_GRID:
        predicted = np.empty_like(TRAIN.labels)
        for fit, held_out in splits:
            classifier = LogisticRegression(C=c, max_iter=1000)
            classifier.fit(standardised[fit], TRAIN.labels[fit])
            predicted[held_out] = classifier.predict(standardised[held_out])
        assert found.c_scores[f"{c:g}"] == pytest.approx(macro_f1(TRAIN.labels, predicted))


def test_the_seed_makes_the_folds():
    first, again, other = (probing.cross_validation(TRAIN, seed)[0][1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_labels_of_the_test_change_neither_choices_nor_predictions(probed):
    other = run_probe(test=dataclasses.replace(TEST, labels=(TEST.labels + 1) % 3))
    assert (other.c, other.k) == (probed.c, probed.k)
    np.testing.assert_array_equal(other.linear, probed.linear)
    np.testing.assert_array_equal(other.nearest, probed.nearest)
    assert other.few_shot != probed.few_shot


def test_a_class_that_the_training_data_lack_gets_no_probability():
    train = TRAIN.take(TRAIN.labels != 1)
    found = run_probe(train)
    for probs in (found.linear, found.nearest):
        assert not probs[:, 1].any()
        np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
    assert found.few_shot == {}


def test_training_data_that_teach_nothing_are_an_error():
    with pytest.raises(UserError, match="all labels are the same"):
        run_probe(TRAIN.take(TRAIN.labels == 1))
    with pytest.raises(UserError, match="4 tweets are too few for 5 folds"):
        run_probe(TRAIN.take(np.arange(8)), None)
    few = Examples(TRAIN.features[:6], np.arange(6, dtype=np.int32) % 3, np.arange(6))
    with pytest.raises(UserError, match="cannot be split into 5 folds"):
        run_probe(few, None)


def test_k_is_never_more_than_there_are_examples():
    found = run_probe(TRAIN.take(np.arange(12)))
    assert list(found.k_scores) == ["1", "3", "5", "10"]


@pytest.mark.parametrize("shots", [1, 5, 10])
def test_a_draw_is_balanced_and_takes_no_two_photos_of_a_tweet(shots):
    seen = set()
    for seed in range(20):
        rows = probes.draw(TRAIN, shots, 3, np.random.default_rng(seed))
        assert np.bincount(TRAIN.labels[rows]).tolist() == [shots] * 3
        assert len(set(TRAIN.groups[rows])) == len(rows)
        seen.update(rows.tolist())
    assert len(seen) > 3 * shots  # Not always the same.


def test_a_draw_needs_enough_groups_not_rows():
    labels, groups = np.array([0, 0, 0, 1, 1, 2, 2]), np.array(list("aaabcde"))
    train = Examples(np.zeros((7, 1), np.float32), labels, groups)
    assert probes.draw(train, 1, 3, np.random.default_rng(0)) is not None
    assert probes.draw(train, 2, 3, np.random.default_rng(0)) is None


def test_few_shot_probes_see_the_drawn_labels_alone(probed):
    """Fitted by hand on the same draws, with features scaled as for the linear probe."""
    scaler = StandardScaler().fit(TRAIN.features)
    assert list(probed.few_shot) == ["1", "5", "10"]
    for shots in (1, 5, 10):
        found, accuracies = probed.few_shot[str(shots)], []
        for number in range(3):
            rows = probes.draw(TRAIN, shots, 3, np.random.default_rng([0, shots, number]))
            classifier = LogisticRegression(C=probes.FEW_SHOT_C, max_iter=1000)
            classifier.fit(scaler.transform(TRAIN.features[rows]), TRAIN.labels[rows])
            predicted = classifier.predict(scaler.transform(TEST.features))
            accuracies.append(np.mean(predicted == TEST.labels))
        assert [draw["accuracy"] for draw in found["draws"]] == pytest.approx(accuracies)
        assert found["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
        assert found["deviation"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))


def test_numbers_of_shots_that_a_class_cannot_give_are_left_out_and_said(capsys):
    rare = np.flatnonzero(TRAIN.labels == 2)[::2][:6]
    train = TRAIN.take(np.concatenate([np.flatnonzero(TRAIN.labels != 2), rare]))
    found = probes.few_shot(train, TEST, CLASSES, draws=1, seed=0)
    assert list(found) == ["1", "5"]
    assert found["5"]["deviation"]["accuracy"] is None
    assert "a class has fewer than 10 tweets" in capsys.readouterr().err


def source(split, labels, human=None):
    rows = len(labels)
    index = pl.DataFrame(
        {
            "id": [f"{split}-{n}" for n in range(rows)],
            "group": [f"{split}-{n}" for n in range(rows)],
            "teacher_label": labels,
            "human_label": labels if human is None else human,
        }
    )
    return Source("tweets", split, CLASSES, [None] * rows, index)


@pytest.fixture(scope="module")
def ran():
    """Result and predictions of `run`; one photo of the test is unreadable, two are unlabelled."""
    parts = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    human = TEST.labels.copy()
    human[[3, 4]] = -1
    sources = {part: source(part, value.labels) for part, value in parts.items()}
    sources["test"] = source("test", TEST.labels, human)
    features = {p: Features(v.features, np.ones(len(v.labels), bool)) for p, v in parts.items()}
    readable = np.ones(len(TEST.labels), bool)
    readable[0] = False
    features["test"] = Features(np.where(readable[:, None], TEST.features, 0), readable)
    labels = {"train": "teacher_label", "validation": "teacher_label", "test": "human_label"}
    result, predicted = probing.run(sources, features, labels, draws=2, seed=0)
    return {"model": "m.npz", "model_id": "0" * 16, **result, "warnings": []}, predicted, sources


def test_unreadable_and_unlabelled_rows_are_left_out_of_the_figures(ran, probed):
    result, predicted, _ = ran
    assert result["linear"]["scored"] == result["knn"]["scored"] == len(TEST.labels) - 3
    assert (result["linear"]["unlabelled"], result["linear"]["unreadable"]) == (2, 1)
    assert result["test"]["rows"] == len(TEST.labels) - 3
    np.testing.assert_allclose(predicted.probs[1:], probed.linear[1:], atol=1e-6)
    scored = np.setdiff1d(np.arange(len(TEST.labels)), [0, 3, 4])
    hits = predicted.probs[scored].argmax(axis=1) == TEST.labels[scored]
    assert result["linear"]["model"]["accuracy"] == np.mean(hits)


def test_the_result_tells_what_it_is_made_from(ran):
    result, _, sources = ran
    assert result["chosen_on"] == "the validation split"
    for part, examples_ in (("train", TRAIN), ("validation", VALIDATION)):
        assert result[part]["fingerprint"] == sources[part].fingerprint
        assert list(result[part]["per_class"]) == list(CLASSES)
        assert list(result[part]["per_class"].values()) == np.bincount(examples_.labels).tolist()
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_nothing_labelled_is_an_error():
    features = Features(np.zeros((2, 3), np.float32), np.array([True, False]))
    with pytest.raises(UserError, match="tweets, split test: no readable row has a human_label"):
        probes.labelled(features, source("test", [0, 1], [-1, 1]), "human_label")


def test_the_summary_has_a_row_for_each_probe(ran):
    result = ran[0]
    header, rows = probe_report.summary(result)
    assert [row[0] for row in rows] == [
        "linear (all)", f"{result['k']}-NN", "few-shot, 10 per class", "few-shot, 5 per class",
        "few-shot, 1 per class", "majority class",
    ]  # fmt: skip
    assert {len(row) for row in rows} == {len(header)}
    few = result["few_shot"]["5"]
    assert rows[3][2:5] == [
        few["mean"]["accuracy"], f"± {few['deviation']['accuracy']:.4f}", few["mean"]["macro_f1"]
    ]  # fmt: skip


def test_the_report_shows_figures_choices_and_warnings(ran):
    page = probe_report.report("Probes", {**ran[0], "warnings": ["<leak>"]}, {"seed": 0})
    assert page.count("<svg") == 2
    assert "&lt;leak&gt;" in page
    assert "Few-shot curve" in page
    for scores in (ran[0]["C_scores"], ran[0]["k_scores"]):
        assert all(f"<td>{candidate}</td>" in page for candidate in scores)


def test_the_probes_beside_a_student_are_those_of_the_same_data_and_label(ran, tmp_path, capsys):
    result = ran[0]
    test = result["test"]
    for name, changes in {
        "same": {},
        "other data": {"test": {**test, "fingerprint": "f"}},
        "other label": {"test": {**test, "label": "teacher_label"}},
    }.items():
        (tmp_path / name / "deep").mkdir(parents=True)
        text = json.dumps({**result, "model": name, **changes})
        (tmp_path / name / "deep" / probing.RESULT_FILE).write_text(text)
    (tmp_path / probing.RESULT_FILE).write_text("{")
    found = probing.found(tmp_path, test["fingerprint"], "human_label")
    names = ["linear probe of same", f"{result['k']}-NN of same"]
    assert [probe["name"] for probe in found] == names
    assert "not valid JSON" in capsys.readouterr().err
    assert found[0] == {"name": names[0], **result["linear"]["model"]}
    assert probing.found(tmp_path / "missing", "f", "human_label") == []


def test_averages_leave_open_what_a_draw_cannot_tell():
    test = TEST.take(TEST.labels == 0)
    found = probes.few_shot(TRAIN, test, CLASSES, draws=2, seed=0)["1"]
    assert metrics.roc_auc(test.labels, np.eye(3)[test.labels]) is None
    assert found["mean"]["roc_auc"] is None
    assert found["mean"]["accuracy"] is not None
