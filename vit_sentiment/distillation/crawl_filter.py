"""Which tweets of a crawl are used: the original crawler's rules, each of which can be off."""

import dataclasses
import functools
import re
import sys

import polars as pl


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a tweet must be to be used; the defaults are the original crawler's.

    Attributes:
      language: its language as the source codes it; empty: any.
      references: whether retweets, quotes and replies are used, too.
      min_words: tokens of `\\w+` in the raw text, links' and mentions' included; 0: any text.
      photos: whether it must have a photo.
    """

    language: str = "en"
    references: bool = False
    min_words: int = 6
    photos: bool = True


def apply(
    tweets: pl.DataFrame, photos: pl.DataFrame, rules: Rules
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """The tweets that keep to the rules, and their photos.

    A tweet passes a rule about what its source does not say.

    Args:
      tweets, photos: with the schemas `tables.TWEETS` and `tables.PHOTOS`.

    Returns:
      Both tables in their order, and for each rule that is on, in the order in which they are
      applied, how many tweets it left out, and how many of the others passed for want of an answer.
    """
    counts: dict[str, int] = {}

    def keep(condition: pl.Expr, dropped: str) -> None:
        nonlocal tweets
        before = len(tweets)
        tweets = tweets.filter(condition)
        counts[dropped] = before - len(tweets)

    if rules.language:
        language = pl.col("lang")
        keep(language.is_null() | (language == rules.language), f"not in {rules.language}")
        counts["language unknown, kept"] = tweets["lang"].null_count()
    if not rules.references:
        keep(~pl.col("referenced").fill_null(False), "retweets, quotes, replies")
        counts["references unknown, kept"] = tweets["referenced"].null_count()
    if rules.min_words:
        keep(words(pl.col("text")) >= rules.min_words, f"fewer than {rules.min_words} words")
    if rules.photos:
        keep(pl.col("tweet").is_in(photos["tweet"].unique().implode()), "without a photo")
    photos = photos.filter(pl.col("tweet").is_in(tweets["tweet"].implode()))
    return tweets, photos, counts


def words(text: pl.Expr) -> pl.Expr:
    """How many tokens Python's `re` finds with `\\w+`; none in a null."""
    return text.str.count_matches(_python_words()).fill_null(0)


@functools.cache
def _python_words() -> str:
    """Python's `\\w+` for polars, whose own takes combining marks for letters, too."""
    surrogates = range(0xD800, 0xE000)  # No text in UTF-8 has them.
    characters = (chr(code) for code in range(sys.maxunicode + 1) if code not in surrogates)
    runs = re.findall(r"\w+", "".join(characters))
    ranges = (f"\\x{{{ord(run[0]):x}}}-\\x{{{ord(run[-1]):x}}}" for run in runs)
    return f"[{''.join(ranges)}]+"
