"""The teacher VADER (Hutto and Gilbert, 2014): a lexicon, so it needs no weights."""

from collections.abc import Sequence

import numpy as np

THRESHOLD = 0.05
"""VADER's own rule: a compound score of at least this is positive, of at most its negative,
negative; between them neutral."""

SHARPNESS = 10.0
"""Default k of `probabilities`: a text with the compound 0.5 is positive with 0.99."""

_TIE_BREAK = 1e-6
"""Compounds are rounded to four digits and meet the threshold exactly, where the rule is not
neutral; this much, in logits, makes the argmax agree with it also in float32."""


def compound_scores(texts: Sequence[str]) -> np.ndarray:
    """VADER's compound score of each text, float64 [N] in [-1, 1]; equal texts are scored once."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    scores = {text: analyzer.polarity_scores(text)["compound"] for text in dict.fromkeys(texts)}
    return np.array([scores[text] for text in texts], np.float64)


def probabilities(compound: np.ndarray, sharpness: float = SHARPNESS) -> np.ndarray:
    """softmax(-k (c + 0.05), 0, k (c - 0.05)) of compound scores [N]: float32 [N, 3].

    Its argmax is VADER's rule.
    """
    c = np.asarray(compound, np.float64)
    logits = np.stack(
        [
            -sharpness * (c + THRESHOLD) + _TIE_BREAK,
            np.zeros_like(c),
            sharpness * (c - THRESHOLD) + _TIE_BREAK,
        ],
        axis=1,
    )
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
