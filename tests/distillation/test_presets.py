"""The original's sets, from tables with as many photos of each class and confidence as it had."""

import numpy as np
import polars as pl
import pytest

from configs import distill
from input_pipeline.splits import split_rows
from vit_sentiment.distillation.balance import balance
from vit_sentiment.distillation.tables import PHOTOS
from vit_sentiment.distillation.thresholds import LABEL, label, label_photos, parse

T4SA_2 = ((195_363, 329_395), (859_047, 1_293_259), (1_055_910, 1_299_916))
B_T4SA = ((64_576, 95_272), (130_712, 182_295), (169_459, 193_019))
"""Photos of each class above 0.70, and in all: T4SA 2.0 without duplicates, B-T4SA relabelled."""
UNB = (195_363, 230_932, 712_056)
"""Photos of T4SA 2.0 above 0.70/0.90/0.90."""
MERGED = (259_939, 361_644, 881_515)

SIZES = {
    "bal_flat": (195_363,) * 3,
    "bal": (195_363,) * 3,
    "unb": UNB,
    "merged": MERGED,
}
PARTS = {
    "bal_flat": (468_871, 58_609, 58_609),
    "bal": (468_871, 58_609, 58_609),
    "unb": (910_680, 113_835, 113_836),
    "merged": (1_202_478, 150_310, 150_310),
}
TRAIN = {"unb": (156_290, 184_746, 569_644), "merged": (207_951, 289_315, 705_212)}
"""Photos of each class in the training part, where they are published."""
TOTALS = {"bal_flat": 586_089, "bal": 586_089, "unb": 1_138_351, "merged": 1_503_098}


def synthesised(counts, sure=None):
    """Photos of tweets with up to two, and what the teacher says of the tweets.

    In each class, some probabilities are a threshold itself, which is not above it.

    Args:
      counts: photos of each class above 0.70, and in all.
      sure: photos of each class above 0.90; they have 0.70 and more where it is not given.
    """
    probs, sizes = [], []
    for number, (above, count) in enumerate(counts):
        # The negative class has a threshold of 0.70 in every set.
        most = above if sure is None or not number else sure[number]
        bands = [(most, 0.91, 1.0), (above - most, 0.7001, 0.9), (count - above, 0.4, 0.7)]
        for size, low, high in bands:
            best = np.linspace(low, high, (size + 1) // 2)
            row = np.repeat((1 - best)[:, None] / 2, 3, axis=1)
            row[:, number] = best
            probs.append(row)
            sizes.append(np.array([2] * (size // 2) + [1] * (size % 2), np.int64))
    probs, sizes = np.concatenate(probs), np.concatenate(sizes)
    order = np.random.default_rng(0).permutation(len(probs))
    probs, sizes = probs[order], sizes[order]
    ids = pl.Series(range(10**9, 10**9 + len(probs)), dtype=pl.Int64).cast(pl.String)
    teacher = pl.DataFrame({"id": ids, "NEG": probs[:, 0], "NEU": probs[:, 1], "POS": probs[:, 2]})
    photos = pl.DataFrame({"tweet": ids[np.repeat(np.arange(len(ids)), sizes)]}).select(
        id=pl.format("{}-{}.jpg", "tweet", pl.int_range(pl.len()).mod(4)),
        tweet="tweet",
        path=pl.lit(None, pl.String),
        url=pl.lit(None, pl.String),
        human_label=pl.lit(-1, pl.Int32),
        where=pl.lit("all_imgs.csv"),
    )
    assert photos.schema == pl.Schema(PHOTOS)
    return photos, label(teacher)


@pytest.fixture(scope="module")
def t4sa_2():
    return synthesised(T4SA_2, UNB)


def counted(table):
    return tuple(np.bincount(table[LABEL].to_numpy(), minlength=3).tolist())


@pytest.mark.parametrize("name", TOTALS)
def test_a_preset_gives_the_published_counts(name, t4sa_2):
    preset = distill.get_config(name)
    photos, counts = label_photos(*t4sa_2, parse(preset.thresholds))
    assert len(photos) == sum(count for key, count in counts.items() if key.startswith("photos"))
    photos, _, _ = balance(photos, preset.balance, preset.seed)
    if name == "merged":
        old, _ = label_photos(*synthesised(B_T4SA), parse("0.70"))
        assert counted(old) == tuple(above for above, _ in B_T4SA)
        photos = pl.concat([photos, old])
    assert counted(photos) == SIZES[name]
    assert preset.split.by == "photo"
    assert preset.merge.how == ("original" if name == "merged" else "own")
    parts = split_rows(photos, LABEL, preset.seed)
    assert tuple(map(len, parts.values())) == PARTS[name]
    assert len(pl.concat(parts.values())) == TOTALS[name]
    if name in TRAIN:
        assert counted(parts["train"]) == TRAIN[name]
    else:
        assert max(counted(parts["train"])) - min(counted(parts["train"])) <= 1
