"""Drawn tweets whose texts are confused with their faces: by how much, and who says so."""

import hashlib

import hypothesis
import numpy as np
import pytest
import scipy.stats
from hypothesis import strategies as st

from input_pipeline.demo_tweets import confusion, drawing
from input_pipeline.demo_tweets.confusion import parse
from input_pipeline.sources import open_source
from vit_sentiment.distillation.vader import compound_scores
from vit_sentiment.runtime.errors import UserError

TODAY = "a0442735a9889a3de18db449310de686c8b8a28d7f6024c0526d241abfd309f6"
"""sha256 of texts and photos of 20 tweets, from before there was a matrix."""


@pytest.fixture
def counts(monkeypatch):
    """A function that draws 6,000 tweets without photos: counts [mood of the face, of the text]."""
    monkeypatch.setattr(drawing, "draw_face", lambda rng, mood, size: np.zeros((1, 1, 3), np.uint8))
    monkeypatch.setattr(drawing, "write_text", lambda rng, mood: str(mood))

    def draw(**how):
        found = np.zeros((3, 3), int)
        for tweet in drawing.draw_tweets(6000, seed=0, **how):
            found[tweet.mood, int(tweet.text)] += 1
        return found

    return draw


@pytest.mark.parametrize(
    "rows", [confusion.REAL, ".2/.3/.5,.5/.3/.2,.1/.8/.1"], ids=["real", "adverse"]
)
def test_texts_have_the_confusion_that_is_asked_for(counts, rows):
    matrix = np.array(parse(rows))
    for found, row in zip(counts(confusion=matrix), matrix, strict=True):
        assert scipy.stats.chisquare(found, row * found.sum()).pvalue > 0.001


def test_a_share_of_0_never_occurs_and_the_whole_is_certain(counts):
    found = counts(confusion=np.array(parse("0/1/0,0/0/1,.5/0/.5")))
    assert (found > 0).tolist() == [[False, True, False], [False, False, True], [True, False, True]]


def test_uniform_noise_is_a_matrix_too(counts):
    uniform = 0.7 * np.eye(3) + 0.1
    for found, row in zip(counts(text_noise=0.3), uniform, strict=True):
        assert scipy.stats.chisquare(found, row * found.sum()).pvalue > 0.001


def test_tweets_without_a_matrix_are_what_they_always_were():
    digest = hashlib.sha256()
    for tweet in drawing.draw_tweets(20, seed=3):
        digest.update(tweet.text.encode() + tweet.image.tobytes())
    assert digest.hexdigest() == TODAY


def test_faces_do_not_depend_on_the_texts():
    plain = drawing.draw_tweets(20, seed=3)
    other = drawing.draw_tweets(20, seed=3, confusion=np.array(parse(confusion.REAL)))
    for one, two in zip(plain, other, strict=True):
        assert (one.id, one.mood) == (two.id, two.mood)
        np.testing.assert_array_equal(one.image, two.image)


@hypothesis.given(
    st.lists(
        st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(any), min_size=3, max_size=3
    )
)
def test_written_and_read_again_it_is_the_same(rows):
    shares = [[value / sum(row) for value in row] for row in rows]
    text = ",".join("/".join(f"{value:.6f}" for value in row) for row in shares)
    np.testing.assert_allclose(parse(text), shares, atol=1e-5)
    np.testing.assert_allclose(np.sum(parse(text), axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "expected 3 rows of 3 numbers >= 0"),
        (".5/.5,.5/.5", "expected 3 rows of 3 numbers >= 0"),
        ("1/0/0,0/1/0,0/0/x", "expected 3 rows of 3 numbers >= 0"),
        ("1/0/0,0/1/0,-1/1/1", "expected 3 rows of 3 numbers >= 0"),
        ("1/0/0,0/1/0,0/nan/1", "expected 3 rows of 3 numbers >= 0"),
        ("1/0/0,0/1/0,0/0/.9", "expected rows that sum to 1, found [0.0, 0.0, 0.9]"),
    ],
)
def test_what_is_no_confusion_is_told(text, part):
    with pytest.raises(UserError) as error:
        parse(text)
    assert part in str(error.value)


def test_build_takes_a_matrix_or_a_share_but_not_both(run, tmp_path):
    flags = ["--builder=demo_tweets", "--count=60", "--size=16", f"--data_dir={tmp_path}"]
    done = run("input_pipeline.build", *flags, "--confusion=0/0/1,0/0/1,0/0/1")
    assert done.returncode == 0, done.stderr
    texts = [record.text for record in open_source(str(tmp_path)).records()]
    scores = compound_scores(texts)
    assert np.mean(scores > 0) > 0.9  # Whatever the faces show.
    done = run("input_pipeline.build", *flags, "--name=b", "--noise=0.5", "--confusion=1/0/0,0/1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: --noise and --confusion do not go together\n"
    done = run("input_pipeline.build", *flags, "--name=c", "--confusion=1/0/0,0/1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: --confusion: expected 3 rows of 3 numbers >= 0, as .59/")
