"""Turns tweets into a dataset: a text teacher labels them, their photos carry the labels.

  python -m vit_sentiment.distill --tweets=CRAWL/raw_tweets_text.csv --images=CRAWL/all_imgs.csv \\
      --human_labels=CRAWL/human_labels.csv --out=runs/data/tweets
  python -m vit_sentiment.distill --tweets=runs/data/demo_tweets --out=runs/data/demo \\
      --duplicates=none

Tweets are a crawl (texts `id,text`; photos `id_tweet,path`) or a dataset with texts. The teacher is
VADER. Of duplicate photos one stays. The result has the splits train, validation and test; no tweet
is in two of them, nor are duplicates. Human labels, where there are any, are kept for evaluation
alone.
"""

import pathlib
from collections.abc import Iterator

from absl import flags

from vit_sentiment.distillation import duplicate_flags, vader
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.progress import say

TWEETS = flags.DEFINE_string(
    "tweets", None, "Texts of a crawl, its folder, or a dataset with texts.", required=True
)
IMAGES = flags.DEFINE_string(
    "images", None, "Photo list of a crawl, or its folder (default: beside the texts)."
)
HUMAN_LABELS = flags.DEFINE_string(
    "human_labels", None, "Table path,image_label of a crawl, for evaluation."
)
OUT = flags.DEFINE_string("out", None, "Folder to write the dataset to.", required=True)
SEED = flags.DEFINE_integer("seed", 0, "Of the split.")
SHARPNESS = flags.DEFINE_float(
    "vader_sharpness",
    vader.SHARPNESS,
    "Steepness k of the probabilities made from VADER's compound.",
    lower_bound=0.1,
)
ON_ERROR = flags.DEFINE_enum(
    "on_error", "skip", ["fail", "skip"], "Unusable rows: fail at the first, or skip and list."
)
flags.adopt_module_key_flags(duplicate_flags)

FUNNEL_FILE = "funnel.json"


def main() -> None:
    from input_pipeline import splits
    from input_pipeline.builder import prepare, refuse_existing
    from input_pipeline.distilled_tweets.distilled_tweets_dataset_builder import DistilledTweets
    from input_pipeline.problems import Problems
    from input_pipeline.records import CLASSES
    from vit_sentiment.distillation import duplicates
    from vit_sentiment.distillation.tweets import read_tweets
    from vit_sentiment.reporting import manifest
    from vit_sentiment.runtime import files

    out = pathlib.Path(OUT.value)
    refuse_existing(out / "distilled_tweets")
    duplicate_settings = duplicate_flags.settings()  # Before the work, not after it.
    problems = Problems(ON_ERROR.value)
    tweets = read_tweets(
        TWEETS.value, problems, images=IMAGES.value, human_labels=HUMAN_LABELS.value
    )
    scores = vader.compound_scores(tweets.table["text"].to_list())
    probs = vader.probabilities(scores, SHARPNESS.value)
    labels = probs.argmax(axis=1)
    table = tweets.table.with_columns(teacher_label=labels).with_row_index("position")
    distinct = duplicates.remove(table, tweets.photos, duplicate_settings)
    parts = splits.split_groups(distinct.table, "group", "teacher_label", SEED.value)

    def records(part: str) -> Iterator:
        return _records(parts[part], probs, tweets.photos)

    builder = DistilledTweets(
        splits={part: (len(rows), lambda part=part: records(part)) for part, rows in parts.items()},
        data_dir=OUT.value,
    )
    builder.problems = problems
    prepare(builder)
    funnel = {
        **tweets.counts,
        "rows skipped": len(problems.rows),
        **{f"labelled {name}": int((labels == i).sum()) for i, name in enumerate(CLASSES)},
        **distinct.counts,
        **{part: len(rows) for part, rows in parts.items()},
    }
    for name, listed in distinct.tables.items():
        with files.replacing(out / f"{name}.parquet") as temporary:
            listed.write_parquet(temporary)
    files.write_json(out / FUNNEL_FILE, funnel)
    facts = {"seed": SEED.value, "teacher": "vader", "sharpness": SHARPNESS.value}
    facts |= duplicate_flags.facts()
    manifest.write(out, facts)
    for name, count in funnel.items():
        print(f"{name:22} {count:>9,}")
    say(f"dataset: {out}")


def _records(rows, probs, photos) -> Iterator:
    from input_pipeline.records import Record

    files = photos(rows["number"].to_list())
    for row, image in zip(rows.iter_rows(named=True), files, strict=True):
        yield Record(
            image=image,
            id=row["id"],
            group=row["group"],
            teacher_probs=probs[row["position"]],
            teacher_label=row["teacher_label"],
            human_label=row["human_label"],
        )


if __name__ == "__main__":
    startup.run(main, __doc__)
