"""Scores, paired tests and what was published, on made-up predictions."""

import csv
import json

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from input_pipeline.records import CLASSES
from input_pipeline.sources import source_of_rows
from input_pipeline.tables import Row
from vit_sentiment.evaluation import binary, published, suite, suite_report, suite_run
from vit_sentiment.evaluation.judge import Predictions
from vit_sentiment.runtime.errors import UserError

N = 60


def source(labels, teacher=False):
    rows = [Row(f"{n}.jpg", int(c), f"{n}.jpg", f"{n}", "") for n, c in enumerate(labels)]
    return source_of_rows(rows, "made up", "test", CLASSES, teacher=teacher)


def made_up(classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, N)
    probs = rng.dirichlet(np.ones(3), N) + 0.4 * np.eye(3)[labels]
    return labels, (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)


def score(labels, probs, name="mine", readable=None, benchmark="5agree", **settings):
    readable = np.ones(len(labels), np.bool_) if readable is None else readable
    return suite.score(name, benchmark, source(labels), Predictions(probs, readable), **settings)


def test_binary_figures_are_scikit_learns_of_what_was_readable():
    labels, probs = made_up([0, 2])
    readable = np.arange(N) % 5 != 0
    probs[~readable] = 0
    found = score(labels, probs, readable=readable).figures
    gold, negative, positive = labels[readable] == 2, *probs[readable][:, [0, 2]].T.astype(float)
    predicted = positive > negative
    f1 = sklearn.metrics.f1_score(gold, predicted, average=None)
    expected = {
        "rows": 48,
        "negative": (~gold).sum(),
        "positive": gold.sum(),
        "unreadable": 12,
        "majority": max(gold.mean(), 1 - gold.mean()),
        "accuracy": sklearn.metrics.accuracy_score(gold, predicted),
        "macro_f1": f1.mean(),
        "f1_negative": f1[0],
        "f1_positive": f1[1],
        "auc_pos": sklearn.metrics.roc_auc_score(gold, positive),
        "auc_binary": sklearn.metrics.roc_auc_score(gold, positive / (positive + negative)),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert found["auc_pos"] != found["auc_binary"]
    low, high = found["interval_95"]
    assert low < found["accuracy"] < high
    assert found["published"] == []


def test_neutral_is_dropped_and_ties_are_negative():
    probs = [[0.1, 0.7, 0.2], [0.2, 0.7, 0.1], [0.3, 0.4, 0.3], [0, 1, 0], [0.5, 0, 0.5]]
    assert binary.predict(np.array(probs)).tolist() == [1, 0, 0, 0, 0]
    found = score([2, 0, 0, 2, 2], np.array(probs, np.float32)).figures
    assert found["accuracy"] == 3 / 5


def test_labels_alone_and_a_single_class_have_no_area():
    labels, probs = made_up([0, 2])
    found = score(labels, probs, graded=False).figures
    assert (found["auc_pos"], found["auc_binary"]) == (None, None)
    found = score(np.full(N, 2), probs).figures
    assert (found["auc_pos"], found["auc_binary"], found["majority"]) == (None, None, 1)


def test_a_teachers_labels_have_three_classes():
    labels, probs = made_up([0, 1, 2])
    readable = np.ones(N, np.bool_)
    data = source(labels, teacher=True)
    result = suite.score("mine", "t4sa/bal:test", data, Predictions(probs, readable))
    found, predicted = result.figures, probs.argmax(axis=1)
    f1 = sklearn.metrics.f1_score(labels, predicted, average=None)
    assert [found[f"f1_{name}"] for name in CLASSES] == pytest.approx(f1)
    assert found["accuracy"] == np.mean(predicted == labels)
    assert [found[name] for name in CLASSES] == np.bincount(labels).tolist()
    header, (row,) = suite.table([result])
    assert dict(zip(header, row, strict=True))["F1 neu"] == found["f1_neutral"]


def test_nothing_readable_is_told():
    labels, probs = made_up([0, 2])
    with pytest.raises(UserError, match="mine on 5agree: none of the 60 photos was readable"):
        score(labels, probs, readable=np.zeros(N, np.bool_))


def with_accuracy(percent, of, model="ViT_L16", benchmark="5agree"):
    """A result of `of` rows whose accuracy is the nearest to a percentage, and its hits."""
    hits = round(percent / 100 * of)
    probs = np.tile(np.float32([0.2, 0.1, 0.7]), (of, 1))
    probs[hits:] = [0.7, 0.1, 0.2]
    labels = np.full(of, 2)
    labels[0], probs[0] = 0, [0.7, 0.1, 0.2]
    return score(labels, probs, model, benchmark=benchmark)


def test_published_figures_stand_beside_ours():
    result = with_accuracy(87.8, 882)
    (cell,) = result.figures["published"]
    accuracy = 100 * 774 / 882
    assert cell["difference"] == pytest.approx(accuracy - 87.8)
    header, (row,) = suite.table([result])
    shown = dict(zip(header, row, strict=True))
    assert (shown["published"], shown["difference"]) == ("87.8 %", "-0.04")


@pytest.mark.parametrize(("more", "good"), [(-2, False), (-1, False), (0, True), (1, True),
                                            (2, False)])  # fmt: skip
def test_of_5agree_the_published_hits_pass_and_at_most_one_neighbour(more, good):
    result = with_accuracy(100 * (774 + more) / 882, 882)
    (_, (line,)), reproduced = suite_report.reproduction([result])
    assert reproduced == good
    assert line[-1] == ("yes" if good else "NO")


def test_every_cell_counts_and_none_is_no_reproduction():
    sizes = {"5agree": 882, "4agree": 1116, "3agree": 1269}
    good = [
        with_accuracy(cell.percent, sizes[cell.benchmark], cell.system, cell.benchmark)
        for cell in published.figures()
        if cell.metric == "accuracy" and cell.source.endswith("README.md")
    ]
    good = [r for r in good if {c["metric"] for c in r.figures["published"]} == {"accuracy"}]
    (header, lines), reproduced = suite_report.reproduction(good)
    assert reproduced
    assert len(lines) == len(good) == 21  # Three on 5agree have other figures, too.
    (_, lines), reproduced = suite_report.reproduction([*good, with_accuracy(80, 882)])
    assert not reproduced
    assert [line[-1] for line in lines].count("NO") == 1
    assert len(header) == len(lines[0])
    assert suite_report.reproduction([with_accuracy(80, 882, "mine")]) == ((header, []), False)
    assert suite_report.reproduced({"difference": 82.3 - 82.2})
    assert not suite_report.reproduced({"difference": -0.101})


def test_pairs_are_tested_on_the_rows_that_both_could_read():
    labels, _ = made_up([0, 2])
    readable = np.arange(N) != 7
    one = score(labels, made_up([0, 2])[1], "one", readable)
    other = score(labels, made_up([0, 2], seed=1)[1], "other")
    members = {"other": ["other"], "one": ["one"]}
    (pair,) = suite.compare([one, other], source(labels), members)
    assert (pair["first"], pair["second"]) == ("other", "one")
    right = {r.system: (r.predicted == labels)[readable] for r in (one, other)}
    alone = [int((right[a] & ~right[b]).sum()) for a, b in (("other", "one"), ("one", "other"))]
    assert [pair["mcnemar"]["only_first"], pair["mcnemar"]["only_second"]] == alone
    assert pair["mcnemar"]["p"] == pytest.approx(scipy.stats.binomtest(alone[0], sum(alone)).pvalue)
    difference = right["other"].mean() - right["one"].mean()
    assert pair["accuracy"]["difference"] == pytest.approx(difference)
    low, high = pair["accuracy"]["interval_95"]
    assert low < difference < high


def test_seeds_are_one_system_with_mean_and_deviation():
    labels, _ = made_up([0, 2])
    results = [score(labels, made_up([0, 2], seed)[1], f"s/seed-{seed}") for seed in range(3)]
    members = {"s": [r.system for r in results[:2]], "s/seed-2": ["s/seed-2"]}
    (pair,) = suite.compare(results, source(labels), members)
    accuracies = [r.figures["accuracy"] for r in results]
    assert pair["mcnemar"] is None
    expected = np.mean(accuracies[:2]) - accuracies[2]
    assert pair["accuracy"]["difference"] == pytest.approx(expected)
    header, (row,) = suite_report.spread(results, members)
    shown = f"{np.mean(accuracies[:2]):.4f} ± {np.std(accuracies[:2], ddof=1):.4f}"
    assert row[:4] == ["s", "5agree", 2, shown]
    assert len(header) == len(row)


def test_names_tell_systems_apart():
    names = suite_run.system_names(["a/run", "b/run", "ViT_B32", "ViT_L16=x/run.h5", "p/q.csv"])
    assert list(names.values()) == ["a/run", "b/run", "ViT_B32", "ViT_L16", "q.csv"]
    for twice in (["a.csv", "./a.csv"], ["ViT_B32", "ViT_B32"], ["N=a.h5", "N=./a.h5"]):
        with pytest.raises(UserError, match=rf"{twice[1]} is given twice"):
            suite_run.system_names(twice)
    with pytest.raises(UserError, match="two systems are named N"):
        suite_run.system_names(["N=a.h5", "N=b.h5"])
    assert suite_run.predictions_file("B-T4SA_1.0", "5agree") == "B-T4SA_1.0_5agree.csv"
    assert suite_run.predictions_file("../r/seed-0", "t4sa/bal:test") == (
        "r-seed-0_t4sa-bal-test.csv"
    )


def test_benchmarks_by_name():
    assert suite_run.expand(["3agree", "all", "3agree"])[:3] == ["3agree", "5agree", "4agree"]
    assert len(suite_run.expand(["all"])) == 6
    with pytest.raises(UserError, match=r"^--benchmark=6agree: unknown; nearest: \dagree, "):
        suite_run.expand(["6agree"])


def test_files_hold_the_figures_in_full(tmp_path):
    results = [with_accuracy(87.8, 882), with_accuracy(50, 20, "<mine>")]
    pairs = {"5agree": []}
    suite_run.write_csv(str(tmp_path / "a.csv"), suite_report.rows(results))
    with open(tmp_path / "a.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert float(first["accuracy"]) == 774 / 882
    assert float(first["published_percent"]) == 87.8
    assert first["source"].endswith("README.md")
    assert (second["published_percent"], second["neutral"], second["f1_neutral"]) == ("", "", "")
    suite_report.write_json(str(tmp_path / "a.json"), results, pairs, {"ViT_L16": {}})
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["results"][0]["accuracy"] == 774 / 882
    assert set(written["made_from"]) == {"commit", "weights"}
    seeds = suite_report.spread(results, {})
    suite_report.write_html(str(tmp_path / "a.html"), results, pairs, seeds)
    page = (tmp_path / "a.html").read_text()
    assert "&lt;mine&gt;" in page
    assert "GPT-4V" in page
    assert "http" not in page
