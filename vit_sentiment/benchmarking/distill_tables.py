"""Time of the table stages of `distill`: filter, label, balance, split."""

import time

import numpy as np
import polars as pl

from input_pipeline.splits import split_groups
from vit_sentiment.distillation import balance, crawl_filter, tables, thresholds
from vit_sentiment.distillation.crawl_filter import Rules
from vit_sentiment.distillation.teachers import to_table
from vit_sentiment.runtime.progress import say

TWEETS, PHOTOS = 3_000_000, 3_700_000
"""Of the original's crawl, in round numbers."""

_ANY = Rules(language="", references=True, min_words=1)
SETTINGS = {"bal": (Rules(), "0.70/0.90/0.90", "smallest"), "all kept": (_ANY, "none", "none")}
"""Rules, thresholds and balance: the original's, and those that leave most to the later stages."""

_WORDS = "the sun is out and we love this new day at @home https://t.co/aBc 😀 क्या très #now it's"
_LOGITS = (0.0, 1.0, 1.0)
"""Means of the teacher's logits; with twice the spread, classes and confidence are as published."""


def synthesise(
    tweets: int, photos: int, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Tables `tables.TWEETS`, `tables.PHOTOS` and a teacher's probabilities of all tweets.

    Of the tweets a tenth is in another language, as many are references, and texts have 1 to 24
    words; every tweet has a photo, and who has more is drawn at random.
    """
    generator = np.random.default_rng(seed)
    numbers = pl.Series("tweet", 1_510_000_000_000_000_000 + np.arange(tweets) * 2**18)
    names = numbers.cast(pl.String)
    words = pl.Series(_WORDS.split())
    pieces = [
        pl.Series(" ".join(words[generator.integers(0, len(words), size)]) for size in sizes)
        for sizes in generator.integers(0, 13, (2, 4096))
    ]
    texts = [piece[generator.integers(0, len(piece), tweets)] for piece in pieces]
    languages = pl.Series(["en"] * 9 + ["it"])
    tweet_table = pl.DataFrame(
        {
            "tweet": names,
            "text": pl.select(pl.concat_str(*texts, separator=" ")).to_series(),
            "lang": languages[generator.integers(0, len(languages), tweets)],
            "referenced": generator.random(tweets) < 0.1,
        },
        schema=tables.TWEETS,
    )
    more = np.sort(generator.integers(0, tweets, photos - tweets))
    of = np.sort(np.concatenate([np.arange(tweets), more]))
    first = np.flatnonzero(np.diff(of, prepend=-1))
    index = np.arange(photos) - np.repeat(first, np.diff(first, append=photos))
    tweet = pl.col("tweet")
    file = pl.format("{}-{}.jpg", tweet, "index")
    photo_table = pl.DataFrame({"tweet": names[of], "index": index}).select(
        id=pl.format("{}/{}", tweet.str.head(5), file),
        tweet="tweet",
        path=pl.format("crawl/images/{}/{}", tweet.str.head(5), file),
        url=pl.format("https://pbs.twimg.com/media/{}.jpg", tweet),
        human_label=pl.lit(-1, pl.Int32),
        where=pl.format("all_imgs.csv:{}", pl.int_range(2, photos + 2)),
    )
    logits = 2 * generator.standard_normal((tweets, 3), np.float32) + np.float32(_LOGITS)
    exponents = np.exp(logits)
    return tweet_table, photo_table, to_table(names, exponents / exponents.sum(1, keepdims=True))


def measure(tweets: int, photos: int, settings: str) -> dict[str, object]:
    """Seconds of each stage under `SETTINGS[settings]`, and the photos of each part."""
    rules, limits, how = SETTINGS[settings]
    tweet_table, photo_table, probs = synthesise(tweets, photos)
    say(f"tables: {tweets:,} tweets and {photos:,} photos, {settings}")
    seconds: dict[str, float] = {}
    start, used = time.perf_counter(), time.process_time()

    def done(stage: str) -> None:
        seconds[stage] = time.perf_counter() - start - sum(seconds.values())

    _, kept, _ = crawl_filter.apply(tweet_table, photo_table, rules)
    done("filter")
    labelled = thresholds.label(probs)
    kept, _ = thresholds.label_photos(kept, labelled, thresholds.parse(limits))
    done("label")
    kept, _, _ = balance.balance(kept, how, seed=0)
    done("balance")
    parts = split_groups(kept, "tweet", thresholds.LABEL, seed=0)
    done("split")
    return {
        "stages": seconds,
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - used,
        "parts": {part: len(rows) for part, rows in parts.items()},
    }
