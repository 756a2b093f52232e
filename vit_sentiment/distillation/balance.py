"""How many photos of each class are used."""

from fractions import Fraction

import numpy as np
import polars as pl

from input_pipeline.records import CLASSES
from vit_sentiment.distillation.thresholds import LABEL
from vit_sentiment.runtime.errors import UserError

WAYS = ("none", "smallest", "weighted")

Shares = tuple[Fraction, ...]


def parse(how: str) -> Shares | None:
    """The shares of the classes in `smallest` or `1/1/2` (neg/neu/pos); None where all photos stay.

    Raises:
      UserError: it is neither of those nor another of `WAYS`.
    """
    if how in ("none", "weighted"):
        return None
    if how == "smallest":
        return (Fraction(1),) * len(CLASSES)
    try:
        shares = tuple(Fraction(word) for word in how.split("/"))
    except (ValueError, ZeroDivisionError):
        shares = ()
    if len(shares) != len(CLASSES) or min(shares) < 0 or not any(shares):
        raise UserError(
            f"config.balance: expected {', '.join(WAYS)}, or shares of the classes such as 1/1/2, "
            f"found {how!r}"
        )
    return shares


def balance(
    photos: pl.DataFrame, how: str, seed: int
) -> tuple[pl.DataFrame, dict[str, int], tuple[float, ...] | None]:
    """Leaves photos out at random until the classes are as `how` wants them.

    Args:
      photos: with the column `teacher_label`, 0 to 2.
      how: `none`: all stay. `smallest`: as many of each class as the smallest has, which is what
        the original did. `1/1/2`: the largest sample with these shares of the classes. `weighted`:
        all stay, and weights are returned that make up for it.
      seed: the sample, without replacement, is a function of it and of the table.

    Returns:
      The photos that stay, in their order; how many of each class were left out; and for `weighted`
      the weight of each class, n / (3 * count), for `--config.loss.class_weights`.

    Raises:
      UserError: `how` is none of these; a class that is wanted has no photo.
    """
    shares = parse(how)
    labels = photos[LABEL].to_numpy()
    counts = np.bincount(labels, minlength=len(CLASSES)).tolist()
    if how == "none":
        return photos, {}, None
    for name, count, share in zip(CLASSES, counts, shares or (1,) * len(CLASSES), strict=True):
        if share and not count:
            raise UserError(f"config.balance={how}: no photo is labelled {name}")
    if shares is None:
        from vit_sentiment.training.losses import class_weights  # Imports jax.

        return photos, {}, tuple(class_weights("balanced", labels, len(CLASSES)).tolist())
    # As many as there are of the class that is scarcest for its share.
    scale = min(count / share for count, share in zip(counts, shares, strict=True) if share)
    generator = np.random.default_rng(seed)
    stays = np.zeros(len(labels), np.bool_)
    dropped = {}
    for number, share in enumerate(shares):
        rows, size = np.flatnonzero(labels == number), int(scale * share)
        stays[generator.choice(rows, size, replace=False, shuffle=False)] = True
        dropped[f"{CLASSES[number]} photos left out"] = len(rows) - size
    return photos.filter(stays), dropped, None
