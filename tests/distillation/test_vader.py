"""The teacher VADER: its own rule, and the probabilities made from its compound score."""

import numpy as np
import pytest
import scipy.special
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from vit_sentiment.distillation import vader

TENTHOUSANDTHS = np.arange(-10_000, 10_001)
COMPOUNDS = TENTHOUSANDTHS / 10_000
"""All that VADER can give, since it rounds to four digits."""


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 10.0, 200.0])
def test_the_argmax_is_vaders_rule_for_every_compound(sharpness):
    rule = np.where(TENTHOUSANDTHS >= 500, 2, np.where(TENTHOUSANDTHS <= -500, 0, 1))
    labels = vader.probabilities(COMPOUNDS, sharpness).argmax(axis=1)
    np.testing.assert_array_equal(labels, rule)


@pytest.mark.parametrize("sharpness", [1.0, 10.0])
def test_probabilities_are_a_softmax(sharpness):
    logits = np.stack(
        [-sharpness * (COMPOUNDS + 0.05), 0 * COMPOUNDS, sharpness * (COMPOUNDS - 0.05)], axis=1
    )
    found = vader.probabilities(COMPOUNDS, sharpness)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, scipy.special.softmax(logits, axis=1), rtol=0, atol=2e-6)


def test_scores_are_the_packages_own_in_order():
    texts = ["I love this!", "a table", "worst day ever :(", ""]
    expected = [SentimentIntensityAnalyzer().polarity_scores(text)["compound"] for text in texts]
    found = vader.compound_scores(texts)
    assert found.tolist() == expected
    assert found[0] > 0.05 > found[1] > -0.05 > found[2]
    assert vader.compound_scores([]).shape == (0,)
