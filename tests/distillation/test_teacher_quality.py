"""Scoring a teacher, against scikit-learn, and the command `distill teacher`."""

import json
import warnings

import numpy as np
import polars as pl
import pytest
import sklearn.metrics
import tiny
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES
from vit_sentiment.distillation import teacher_quality, teachers, vader
from vit_sentiment.distillation.labelled_texts import LabelledTexts
from vit_sentiment.runtime.errors import UserError

WORDS = ("good", "bad", "a table", "I love it", "worst day ever :(", "http://x", "@you", "not")


def drawn(rows, seed=0):
    rng = np.random.default_rng(seed)
    texts = [f"{' '.join(rng.choice(WORDS, 3))} {number}" for number in range(rows)]
    ids = [str(1000 + number) for number in range(rows)]
    return LabelledTexts(ids, texts, rng.integers(0, 3, rows), "label")


def shown(table):
    header, rows = table
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_figures_are_scikit_learns():
    tweets = drawn(500)
    probs = np.random.default_rng(1).dirichlet((1, 2, 1), 500).astype(np.float32)
    result = teacher_quality.judge(tweets, probs)
    gold, guess = tweets.labels, probs.argmax(axis=1)
    json.dumps(result, allow_nan=False)
    teacher, majority = shown(teacher_quality.summary("t", result))
    assert teacher["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(gold, guess))
    recall = sklearn.metrics.recall_score(gold, guess, average=None)
    assert teacher["macro recall"] == pytest.approx(recall.mean())
    assert teacher["macro-F1"] == pytest.approx(
        sklearn.metrics.f1_score(gold, guess, average="macro")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Probabilities in float32 hardly sum to 1.
        expected = sklearn.metrics.log_loss(gold, probs)
    assert teacher["log-loss"] == pytest.approx(expected, rel=1e-5)
    low, _, high = teacher["95 % interval"].split()
    assert float(low) < teacher["accuracy"] < float(high)
    assert majority["accuracy"] == np.bincount(gold).max() / 500
    classes = shown(teacher_quality.class_table(result))
    assert [row["class"] for row in classes] == list(CLASSES)
    assert [row["recall"] for row in classes] == pytest.approx(recall.tolist())
    counts = [[row[f"taken for {name}"] for name in CLASSES] for row in classes]
    assert counts == sklearn.metrics.confusion_matrix(gold, guess).tolist()


def test_a_threshold_keeps_and_scores_what_the_table_says():
    tweets = drawn(400)
    probs = np.random.default_rng(2).dirichlet((0.5, 0.5, 0.5), 400).astype(np.float32)
    rows = shown(teacher_quality.coverage_table(teacher_quality.judge(tweets, probs)))
    assert [row["coverage asked"] for row in rows] == ["100%", "90%", "80%", "70%", "60%", "50%"]
    right = probs.argmax(axis=1) == tweets.labels
    for row in rows:
        kept = probs.max(axis=1) / probs.sum(axis=1) >= row["confidence at least"]
        assert row["coverage"] == pytest.approx(kept.mean())
        assert row["accuracy"] == pytest.approx(right[kept].mean())
        assert 0 <= row["coverage"] - float(row["coverage asked"][:-1]) / 100 < 0.021


def test_texts_are_cleaned_up_and_labelled_in_parts(monkeypatch):
    monkeypatch.setattr(teacher_quality.shards, "ROWS", 7)
    tweets, parts = drawn(20), []

    def label(texts, tick):
        for part in texts:
            parts.append([*part])
            yield np.full((len(part), 3), len(parts), np.float32)

    probs = teacher_quality.label(teachers.Teacher({}, label), tweets.texts)
    assert probs[:, 0].tolist() == [1] * 7 + [2] * 7 + [3] * 6
    assert [text for part in parts for text in part] == [
        teachers.clean_up(text) for text in tweets.texts
    ]


def test_damaged_weights_are_told():
    def label(parts, tick):
        for part in parts:
            yield np.full((len(part), 3), np.nan, np.float32)

    with pytest.raises(UserError, match="gives NaN for 5 texts"):
        teacher_quality.label(teachers.Teacher({}, label), drawn(5).texts)


def test_a_teacher_is_made_from_values():
    made = teachers.make_teacher("vader", model="", max_tokens=0, sharpness=3.0)
    assert made.facts == teachers.vader_teacher(3.0).facts
    (probs,) = made.label([["good"]], lambda count: None)
    np.testing.assert_array_equal(probs, vader.probabilities(vader.compound_scores(["good"]), 3.0))
    with pytest.raises(UserError, match="unknown teacher 'gpt'; there are: vader, roberta"):
        teachers.make_teacher("gpt", model="", max_tokens=0, sharpness=1.0)


def test_labels_are_looked_up_in_a_table(tmp_path):
    (tmp_path / "t.csv").write_text("id,NEG,NEU,POS\n8,0.1,0.2,0.7\n7,1,0,0\n")
    problems = Problems("skip")
    found = teachers.look_up(tmp_path / "t.csv", ["7", "9", "8", "7"], problems)
    rows = [("7", 1.0, 0.0, 0.0), ("8", 0.1, 0.2, 0.7), ("7", 1.0, 0.0, 0.0)]
    assert found.rows() == rows
    assert problems.rows == [(str(tmp_path / "t.csv"), "9", "no row of tweet 9")]
    with pytest.raises(UserError, match="has none of the 1 tweets"):
        teachers.look_up(tmp_path / "t.csv", ["9"], problems)


@pytest.fixture(scope="module")
def scored(run, tmp_path_factory):
    """The folder, the tweets in it and what the command said, by VADER and by its own table."""
    folder, tweets = tmp_path_factory.mktemp("scored"), drawn(300)
    columns = {"id": tweets.ids, "text": tweets.texts, "label": tweets.labels}
    pl.DataFrame(columns).write_csv(folder / "tweets.csv")
    compounds = vader.compound_scores([teachers.clean_up(text) for text in tweets.texts])
    table = teachers.to_table(tweets.ids, vader.probabilities(compounds))
    table[10:].write_parquet(folder / "table.parquet")
    (folder / "bad.csv").write_text("text,label\nfine,3\n")

    def call(data, *flags):
        return run("vit_sentiment.distill", "teacher", f"--data={folder / data}", *flags)

    by_table = ("--teacher=table", f"--teacher_table={folder / 'table.parquet'}")
    done = tiny.together(
        {
            "vader": lambda: call("tweets.csv", f"--out={folder / 'out'}"),
            "table": lambda: call("tweets.csv", *by_table, "--on_error=skip"),
            "bad": lambda: call("bad.csv"),
            "mixed": lambda: call("tweets.csv", "--teacher=table"),
        }
    )
    return folder, tweets, done


def test_the_command_scores_vader(scored):
    folder, tweets, done = scored
    assert done["vader"].returncode == 0, done["vader"].stderr
    analyzer = SentimentIntensityAnalyzer()
    compound = [analyzer.polarity_scores(text)["compound"] for text in tweets.texts]
    guess = [2 if c >= 0.05 else 0 if c <= -0.05 else 1 for c in compound]
    accuracy = sklearn.metrics.accuracy_score(tweets.labels, guess)
    recall = sklearn.metrics.recall_score(tweets.labels, guess, average="macro")
    f1 = sklearn.metrics.f1_score(tweets.labels, guess, average="macro")
    (line,) = (row for row in done["vader"].stdout.splitlines() if row.startswith("vader  "))
    words = line.split()
    assert words[1:3] == ["300", f"{accuracy:.4f}"]
    assert words[6:8] == [f"{recall:.4f}", f"{f1:.4f}"]
    result = json.loads((folder / "out" / "metrics.json").read_text())
    assert result["accuracy"] == pytest.approx(accuracy)
    assert (result["rows"], result["skipped"], result["unlabelled"]) == (300, 0, 0)


def test_its_files(scored):
    folder, tweets, _ = scored
    predictions = pl.read_csv(folder / "out" / "predictions.csv", schema_overrides={"id": str})
    assert predictions.columns == ["id", "NEG", "NEU", "POS", "label", "gold"]
    assert predictions["id"].to_list() == tweets.ids
    assert predictions["gold"].to_list() == [CLASSES[label] for label in tweets.labels]
    probs = predictions.select("NEG", "NEU", "POS").to_numpy()
    assert predictions["label"].to_list() == [CLASSES[row.argmax()] for row in probs]
    curve = pl.read_csv(folder / "out" / "coverage.csv")
    assert curve.columns == ["threshold", "coverage", "accuracy"]
    assert curve.row(0)[:2] == (0, 1)
    page = (folder / "out" / "report.html").read_text()
    assert "The teacher vader on " in page
    assert page.count("<svg") == 3
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert (manifest["teacher"], manifest["sharpness"]) == ("vader", vader.SHARPNESS)
    everything = "".join(path.read_text() for path in (folder / "out").iterdir())
    assert tweets.texts[0] not in everything
    assert not (folder / "out" / "problems.csv").exists()


def test_a_table_is_scored_on_the_tweets_that_it_has(scored):
    _, _, done = scored
    assert done["table"].returncode == 0, done["table"].stderr
    assert "290 tweets against label" in done["table"].stdout
    assert "skipped 10 unusable rows; --out=FOLDER lists them" in done["table"].stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad", "bad.csv:2: 1: unknown label '3'; classes: negative, neutral, positive, or 0, 1"),
        ("mixed", "--teacher=table and --teacher_table=FILE go together"),
    ],
)
def test_mistakes_are_one_line(scored, name, message):
    done = scored[2][name]
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
