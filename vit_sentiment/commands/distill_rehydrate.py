"""Makes a dataset again from its ids and from one's own copy of the tweets.

  python -m vit_sentiment.distill rehydrate ids.parquet --tweets=CRAWL --out=runs/data/tweets
  python -m vit_sentiment.distill rehydrate ids.parquet --tweets=tweets.jsonl --images=PHOTOS \\
      --out=runs/data/tweets

Splits, order and labels are those of the ids, which `python -m vit_sentiment.distill ids` wrote. Of
photos that are missing or are other files than they were there is no record; they are counted and
listed in problems.csv. If there are none, the dataset is the original, byte for byte.
"""

from absl import flags

TWEETS = flags.DEFINE_string("tweets", None, "Tweets, as `distill` reads them.", required=True)
IMAGES = flags.DEFINE_string("images", None, "Their photos, as `distill` finds them.")
COLUMNS = flags.DEFINE_string("columns", None, "Of a table of tweets, as `distill` takes them.")
OUT = flags.DEFINE_string("out", None, "Folder to write the dataset to.", required=True)

GROUPS = {
    "Data": (TWEETS, IMAGES, COLUMNS),
    "Results": (OUT,),
}

ARGUMENTS = ("IDS",)


def main(path: str) -> None:
    from vit_sentiment.distillation import rehydrating

    table, facts = rehydrating.read(path)
    photos, photo_files = _read()
    counts = rehydrating.rehydrate(table, facts, photos, photo_files, OUT.value)
    for name, count in counts.items():
        print(f"{name:34} {count:>9,}")


def _read():
    """The photos of the tweets, schema `tables.PHOTOS` and number, and their files."""
    from input_pipeline.problems import Problems
    from vit_sentiment.distillation.tweets import open_photos, parse_columns, read_tweets

    # Unusable rows that the original has no record of do not matter here.
    columns = parse_columns(COLUMNS.value) if COLUMNS.value else None
    found = read_tweets(TWEETS.value, Problems("skip"), images=IMAGES.value, columns=columns)
    return found.photos, open_photos(TWEETS.value, found.photos)
