"""How texts disagree with pictures: matrices of confusion, as they are written on command lines."""

import math

from vit_sentiment.runtime.errors import UserError

REAL = ".59/.33/.08,.22/.49/.29,.10/.39/.51"
"""Human labels of the texts of real tweets (columns: negative, neutral, positive) by human labels
of their photos (rows), which agree in 53 % of the tweets."""

Matrix = tuple[tuple[float, ...], ...]


def parse(text: str) -> Matrix:
    """The rows of `.59/.33/.08,.22/.49/.29,.10/.39/.51`, each scaled to a sum of exactly 1.

    Raises:
      UserError: it is not three rows of three numbers >= 0 whose sums are 1 within 0.01.
    """
    try:
        rows = [[float(word) for word in row.split("/")] for row in text.split(",")]
    except ValueError:
        rows = []
    square = len(rows) == 3 and all(len(row) == 3 for row in rows)
    if not square or not all(value >= 0 for row in rows for value in row):
        raise UserError(f"expected 3 rows of 3 numbers >= 0, as {REAL}; found {text!r}")
    for row in rows:
        if not math.isclose(sum(row), 1.0, abs_tol=0.01):
            raise UserError(f"expected rows that sum to 1, found {row} in {text!r}")
    return tuple(tuple(value / sum(row) for value in row) for row in rows)
