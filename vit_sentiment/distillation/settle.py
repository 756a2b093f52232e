"""Which of the listed tweets and photos can be used; the others are listed and counted."""

import pathlib

import polars as pl

from input_pipeline.records import UNKNOWN
from input_pipeline.table_files import read_table
from vit_sentiment.distillation import photo_paths
from vit_sentiment.distillation.listing import Listed, Lost, Rows, human_label
from vit_sentiment.runtime.errors import UserError

MISSING = "photos missing"
"""The count of photos that may be there another time."""

ROUNDED = r"^[+-]?(\d+\.\d*([eE][+-]?\d+)?|\d+[eE][+-]\d+)$|^(nan|NaN|[+-]?inf(inity)?)$"
"""An id that went through a float: it lost digits. Hexadecimal ids such as 12e5 are none."""


def settle_texts(listed: Listed, lost: Lost) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The texts of tweets, each once, and the photos whose row was kept or that had none.

    Returns:
      Schema `TEXT_ROWS`; and `PHOTO_ROWS` with `number`, the row number in `listed.photos`.
    """
    rows = listed.texts.with_row_index("row")
    photos = listed.photos.with_row_index("number")
    for kind, bad, problem in (
        ("tweets without an id", pl.col("tweet") == "", "no id"),
        ("tweets with a rounded id", pl.col("tweet").str.contains(ROUNDED), "id is a rounded "
         "number: digits are lost; keep ids as text"),
        ("tweets without a text", pl.col("text") == "", "no text"),
    ):  # fmt: skip
        _lose(rows.filter(bad), "tweet", kind, problem, lost)
        rows = rows.filter(~bad)
    first = rows["tweet"].is_first_distinct()
    texts, again = rows.filter(first), rows.filter(~first)
    kept = rows["row"]
    if len(again):
        problem = pl.lit("tweet listed twice; the first is kept").alias("problem")
        if listed.several_rows:
            texts_of_first = texts.select("tweet", first_text="text")
            again = again.join(texts_of_first, on="tweet", how="left", maintain_order="left")
            other = pl.col("text") != pl.col("first_text")
            again = again.filter(other | ~pl.col("row").is_in(photos["row"].implode()))
            problem = (
                pl.when(other)
                .then(pl.lit("another text of this tweet; the first is kept"))
                .otherwise(problem)
                .alias("problem")
            )
        for where, tweet, text in again.select("where", "tweet", problem).iter_rows():
            lost.add("tweets listed twice", where, tweet, text)
        kept = kept.filter(~kept.is_in(again["row"].implode()))
    keep = pl.col("row").is_null() | pl.col("row").is_in(kept.implode())
    left = photos.filter(keep)
    if len(left) < len(photos):
        lost.counts["photos of rows left out"] = len(photos) - len(left)
    return texts.drop("row"), left


def settle_photos(photos: pl.DataFrame, texts: pl.DataFrame, lost: Lost) -> pl.DataFrame:
    """The photos of `texts`, each once and with an id."""
    strange = photos.join(texts, on="tweet", how="anti", maintain_order="left")
    for where, id_, url, tweet in strange.select("where", "id", "url", "tweet").iter_rows():
        lost.add("photos without a tweet", where, id_ or url, f"no text of tweet {tweet}")
    if len(strange):
        photos = photos.join(texts, on="tweet", how="semi", maintain_order="left")
    if photos["id"].null_count():
        photos = _named_by_tweet(photos, lost)
    same = pl.coalesce(pl.format("{} {}", "tweet", "url"), "id")
    first = same.is_first_distinct() & pl.col("id").is_first_distinct()
    photos = photos.with_columns(first=first)
    again = photos.filter(~pl.col("first"))
    _lose(again, "id", "photos listed twice", "photo listed twice", lost)
    return photos.filter("first").drop("first")


def _named_by_tweet(photos: pl.DataFrame, lost: Lost) -> pl.DataFrame:
    """The photos with the ids `<tweet>-<k>.jpg` where they have none; k is the place in a tweet."""
    unnamed = pl.col("id").is_null() & pl.col("tweet").str.contains(r"[/\\\x00-\x1f]")
    problem = "no file can be named by this tweet's id"
    _lose(photos.filter(unnamed), "tweet", "photos without a name", problem, lost)
    place = pl.int_range(pl.len()).over("tweet")
    id_ = pl.coalesce("id", pl.format("{}-{}.jpg", "tweet", place))
    return photos.filter(~unnamed).with_columns(id=id_)


def locate(
    photos: pl.DataFrame, root: pathlib.Path, named_by_tweet: bool, lost: Lost
) -> pl.DataFrame:
    """Paths below `root`, null where there is no file; photos without file and URL fall away."""
    path = pl.col("path")
    if named_by_tweet:
        path = pl.coalesce(path, pl.format("{}/{}", pl.col("tweet").str.head(5), "id"))
    full = pl.when(path.str.starts_with("/")).then(path).otherwise(pl.lit(f"{root}/") + path)
    photos = photos.with_columns(path=full)
    there = photo_paths.exist(photos["path"])
    photos = photos.with_columns(path=pl.when(there).then("path"))
    missing = pl.col("path").is_null() & pl.col("url").is_null()
    _lose(photos.filter(missing), "id", MISSING, "no such file", lost)
    return photos.filter(~missing)


def with_human_labels(photos: pl.DataFrame, table: str, lost: Lost) -> pl.DataFrame:
    """The photos with the labels of a table `path,image_label`.

    Raises:
      UserError: the table cannot be read or lacks a column.
    """
    labels = Rows({"where": pl.String, "id": pl.String, "label": pl.Int32})
    rows = read_table(table, lost.problems, required=("path", "image_label"), only_required=True)
    for where, row in rows:
        label = human_label(row["image_label"], where, row["path"], lost)
        if label != UNKNOWN:
            labels.add(where, row["path"], label)
    found = labels.frame()
    first = found["id"].is_first_distinct()
    problem = "labelled twice; the first is kept"
    _lose(found.filter(~first), "id", "human labels given twice", problem, lost)
    found = found.filter(first).select("id", "label")
    unused = len(found.join(photos, on="id", how="anti"))
    if unused:
        lost.counts["human labels of other photos"] = unused
    joined = photos.join(found, on="id", how="left", maintain_order="left")
    return joined.with_columns(human_label=pl.coalesce("label", "human_label")).drop("label")


def _lose(rows: pl.DataFrame, name: str, kind: str, problem: str, lost: Lost) -> None:
    for where, value in rows.select("where", name).iter_rows():
        lost.add(kind, where, value, problem)


def require_some(table: pl.DataFrame, message: str) -> None:
    """Raises UserError where there is no row."""
    if table.is_empty():
        raise UserError(message)
