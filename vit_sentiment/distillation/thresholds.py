"""From a teacher's probabilities to labels: argmax, a threshold for each class, photos."""

import polars as pl

from input_pipeline.records import CLASSES, UNKNOWN
from vit_sentiment.distillation.teachers import COLUMNS, SUM_TOLERANCE
from vit_sentiment.runtime.errors import UserError

NONE = "none"
LABEL = "teacher_label"

_BELOW = len(CLASSES)
"""The state of a tweet that has a label but not the confidence; a label is a state, too."""


def parse(text: str) -> tuple[float, float, float]:
    """The thresholds of `none`, `0.70` (of each class) or `0.70/0.90/0.90` (neg, neu, pos).

    Raises:
      UserError: it is neither, or one is not in [0, 1).
    """
    if text == NONE:
        return (0.0, 0.0, 0.0)
    try:
        values = [float(word) for word in text.split("/")]
    except ValueError:
        values = []
    if len(values) == 1:
        values *= len(CLASSES)
    if len(values) != len(CLASSES) or not all(0 <= value < 1 for value in values):
        raise UserError(
            f"config.thresholds: expected {NONE}, a number such as 0.70, or one of each class such "
            f"as 0.70/0.90/0.90, from 0 to below 1; found {text!r}"
        )
    return tuple(values)


def label(probs: pl.DataFrame) -> pl.DataFrame:
    """Adds `teacher_label`, int32: the argmax, the first of those that are equal.

    It is -1 for rows that are no probabilities, such as the original's -1, -1, -1 for texts on
    which its teacher failed.

    Args:
      probs: one row a tweet, with the columns id, NEG, NEU, POS.
    """
    neg, neu, pos = (pl.col(name) for name in COLUMNS)
    total = pl.sum_horizontal(pl.col(COLUMNS).cast(pl.Float64), ignore_nulls=False)
    valid = pl.all_horizontal(pl.col(COLUMNS).is_between(0, 1)) & (
        (total - 1).abs() <= SUM_TOLERANCE
    )
    argmax = (
        pl.when((neg >= neu) & (neg >= pos)).then(0).when(neu >= pos).then(1).otherwise(2)
    )  # fmt: skip
    return probs.with_columns(
        pl.when(valid.fill_null(False)).then(argmax).otherwise(UNKNOWN).cast(pl.Int32).alias(LABEL)
    )


def keep(labelled: pl.DataFrame, thresholds: tuple[float, float, float]) -> pl.Series:
    """Which rows of `label` are above the threshold of their class, strictly; bool [N].

    It is compared in the precision of the column: a float32 0.6 is not above 0.6.
    """
    confident = pl.lit(False)
    for number, (column, threshold) in enumerate(zip(COLUMNS, thresholds, strict=True)):
        kind = labelled.schema[column]
        limit = pl.lit(threshold, dtype=kind if kind.is_float() else pl.Float64)
        confident = confident | ((pl.col(LABEL) == number) & (pl.col(column) > limit))
    return labelled.select(confident.alias("keep")).to_series()


def label_photos(
    photos: pl.DataFrame, labelled: pl.DataFrame, thresholds: tuple[float, float, float]
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The photos of confidently labelled tweets, each with NEG, NEU, POS and its tweet's label.

    Args:
      photos: with the schema `tables.PHOTOS`.
      labelled: what `label` gives; ids are unique.
      thresholds: what `parse` gives.

    Returns:
      The photos, in their order; and how many tweets with photos were left out, and why, and how
      many photos have each label.
    """
    state = pl.when(keep(labelled, thresholds) | (pl.col(LABEL) == UNKNOWN)).then(pl.col(LABEL))
    tweets = labelled.select("id", *COLUMNS, LABEL, state=state.otherwise(_BELOW + pl.col(LABEL)))
    joined = photos.join(tweets, left_on="tweet", right_on="id", how="left", maintain_order="left")
    found = joined.group_by("state").agg(pl.len(), pl.col("tweet").n_unique().alias("tweets"))
    in_state = {row["state"]: row for row in found.iter_rows(named=True)}

    def count(state: int | None, what: str) -> int:
        return in_state[state][what] if state in in_state else 0

    counts = {
        "tweets without a teacher row": count(None, "tweets"),
        "tweets the teacher failed on": count(UNKNOWN, "tweets"),
    }
    for number, (name, threshold) in enumerate(zip(CLASSES, thresholds, strict=True)):
        if threshold:
            counts[f"{name} tweets not above {threshold:g}"] = count(_BELOW + number, "tweets")
    for number, name in enumerate(CLASSES):
        counts[f"photos labelled {name}"] = count(number, "len")
    return joined.filter(pl.col("state").is_between(0, _BELOW - 1)).drop("state"), counts
