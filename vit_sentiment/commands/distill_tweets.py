"""Turns tweets into a dataset: a text teacher labels them, their photos carry the labels.

  python -m vit_sentiment.distill --tweets=CRAWL/raw_tweets_text.csv --images=CRAWL/all_imgs.csv \\
      --human_labels=CRAWL/human_labels.csv --out=runs/data/tweets
  python -m vit_sentiment.distill --tweets=CRAWL --out=runs/data/tweets --teacher=roberta
  python -m vit_sentiment.distill --tweets=runs/data/demo_tweets --out=runs/data/demo \\
      --duplicates=none

Tweets are a crawl (texts `id,text`; photos `id_tweet,path`) or a dataset with texts. The teacher
is VADER; RoBERTa or XLM-R, from a Hugging Face folder or the hub; or a table of what another one
found. Its labels are kept as Parquet shards in OUT/teacher: the same command goes on with them when
it was interrupted. Of duplicate photos one stays. The result has the splits train, validation and
test; no tweet is in two of them, nor are duplicates. Human labels, where there are any, are for
evaluation alone.
"""

import pathlib
from collections.abc import Iterator

from absl import flags

from vit_sentiment.distillation import duplicate_flags, vader
from vit_sentiment.runtime.errors import UserError
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
TEACHER = flags.DEFINE_enum(
    "teacher", "vader", ["vader", "roberta", "table"], "What labels the texts."
)
TEACHER_MODEL = flags.DEFINE_string(
    "teacher_model",
    "cardiffnlp/twitter-roberta-base-sentiment-latest",
    "Of --teacher=roberta: a Hugging Face folder, or NAME or NAME@REVISION of the hub.",
)
TEACHER_TABLE = flags.DEFINE_string(
    "teacher_table",
    None,
    "Of --teacher=table: id,NEG,NEU,POS as CSV, TSV or Parquet, or a folder of Parquet files.",
)
MAX_TOKENS = flags.DEFINE_integer(
    "teacher_max_tokens", 128, "Of --teacher=roberta: longer texts are cut.", lower_bound=3
)
SHARD_ROWS = flags.DEFINE_integer(
    "teacher_shard_rows", 8192, "Tweets of a shard in OUT/teacher.", lower_bound=1
)
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
    teacher, facts = _teacher()  # Before a million photos are looked at.
    problems = Problems(ON_ERROR.value)
    tweets = read_tweets(
        TWEETS.value, problems, images=IMAGES.value, human_labels=HUMAN_LABELS.value
    )
    texts = tweets.texts.select("tweet", "text")
    table = tweets.photos.with_row_index("number")
    table = table.join(texts, on="tweet", how="left", maintain_order="left")

    def photos(numbers: list[int]) -> Iterator[bytes]:
        return map(tweets.files.read, numbers)

    table, probs = _label(teacher, table, out / "teacher", problems)
    labels = probs.argmax(axis=1)
    table = table.with_columns(teacher_label=labels).with_row_index("position")
    distinct = duplicates.remove(table, photos, duplicate_settings)
    parts = splits.split_groups(distinct.table, "group", "teacher_label", SEED.value)

    def records(part: str) -> Iterator:
        return _records(parts[part], probs, photos)

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
    manifest.write(out, {"seed": SEED.value, **facts, **duplicate_flags.facts()})
    for name, count in funnel.items():
        print(f"{name:22} {count:>9,}")
    say(f"dataset: {out}")


def _teacher() -> tuple:
    """The teacher, None for a table, and facts of it for the manifest."""
    if (TEACHER.value == "table") != (TEACHER_TABLE.value is not None):
        raise UserError("--teacher=table and --teacher_table=FILE go together")
    if TEACHER.value == "table":
        if not pathlib.Path(TEACHER_TABLE.value).exists():
            raise UserError(f"{TEACHER_TABLE.value}: no such file or folder")
        return None, {"teacher": "table", "teacher_table": TEACHER_TABLE.value}
    if TEACHER.value == "roberta":
        from vit_sentiment.distillation import roberta
        from vit_sentiment.runtime import accelerator

        accelerator.prepare()
        teacher = roberta.teacher(TEACHER_MODEL.value, MAX_TOKENS.value)
        return teacher, {"teacher_model": TEACHER_MODEL.value, **teacher.facts}
    from vit_sentiment.distillation import teachers

    teacher = teachers.vader_teacher(SHARPNESS.value)
    return teacher, teacher.facts


def _label(teacher, table, folder, problems) -> tuple:
    """The rows that the teacher labels, and their probabilities [N, 3]."""
    import polars as pl

    from vit_sentiment.distillation import shards, teachers

    if teacher is None:
        return _look_up(table, teachers.read_labels(TEACHER_TABLE.value, problems), problems)
    # Photos of a tweet share its text.
    texts = table.select("tweet", "text").unique(maintain_order=True).with_row_index("place")
    probs = shards.label(
        folder, texts["tweet"].to_list(), texts["text"].to_list(), teacher, SHARD_ROWS.value
    )
    places = table.join(texts, on=["tweet", "text"], how="left", maintain_order="left")["place"]
    return table, probs[places.cast(pl.Int64).to_numpy()]


def _look_up(table, labels, problems) -> tuple:
    """The rows whose tweet is in the table of labels, and their probabilities [N, 3]."""
    import numpy as np

    known = [tweet in labels for tweet in table["tweet"]]
    for row in table.filter([not k for k in known]).iter_rows(named=True):
        problems.add(TEACHER_TABLE.value, row["id"], f"no row of tweet {row['tweet']}")
    if not any(known):
        raise UserError(f"{TEACHER_TABLE.value}: has none of the tweets of {TWEETS.value}")
    table = table.filter(known)
    return table, np.array([labels[tweet] for tweet in table["tweet"]], np.float32)


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
