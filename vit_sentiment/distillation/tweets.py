"""Reading tweets with photos: the T4SA crawl layout, or a dataset whose records have a text."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator

import polars as pl

from input_pipeline import photos as photo_files
from input_pipeline import pixels
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, UNKNOWN
from input_pipeline.sources import open_source
from input_pipeline.table_files import read_table
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress

TEXTS_FILE = "raw_tweets_text.csv"
PHOTOS_FILE = "all_imgs.csv"

SCHEMA = {
    "id": pl.String,
    "tweet": pl.String,
    "text": pl.String,
    "human_label": pl.Int32,
    "number": pl.Int64,
}


@dataclasses.dataclass(frozen=True)
class Tweets:
    """Photos of tweets and how to get at their files.

    Attributes:
      table: one row a photo, schema `SCHEMA`; `number` is what `photos` takes.
      photos: numbers to the encoded files, in order.
      counts: what was read and what fell away, in order.
    """

    table: pl.DataFrame
    photos: Callable[[list[int]], Iterator[bytes]]
    counts: dict[str, int]


def read_tweets(
    tweets: str,
    problems: Problems,
    *,
    images: str | None = None,
    human_labels: str | None = None,
) -> Tweets:
    """Reads tweets and checks that their photos decode.

    Args:
      tweets: the folder of a dataset with texts (`demo_tweets`, `mvsa_single`); or a crawl: the
        file `raw_tweets_text.csv` (`id,text`) or the folder that has it.
      images: of a crawl: its `all_imgs.csv` (`id_tweet,path`) or the folder that the paths are
        relative to; default: `all_imgs.csv` beside the texts, and `images/` beside it.
      human_labels: of a crawl: a table `path,image_label` for evaluation; other columns may stand
        beside them.
      problems: takes photos that are missing, damaged, listed twice or without a tweet.

    Raises:
      UserError: a file is missing or lacks a column; no tweet with a photo is left.
    """
    path = pathlib.Path(tweets)
    if not path.exists():
        raise UserError(f"{tweets}: no such file, folder or dataset")
    if path.is_dir() and not (path / TEXTS_FILE).exists():
        return _from_dataset(tweets)
    return _from_crawl(path, problems, images, human_labels)


def _from_dataset(name: str) -> Tweets:
    source = open_source(name)
    if "text" not in source.data.__getitems__([0])[0]:
        raise UserError(f"{name}: its records have no text to label")
    rows = [
        (record.id, record.group, record.text, record.human_label, number)
        for number, record in enumerate(source.records())
    ]

    def photos(numbers: list[int]) -> Iterator[bytes]:
        for start in range(0, len(numbers), photo_files.WINDOW):
            window = numbers[start : start + photo_files.WINDOW]
            for example in source.data.__getitems__(window):
                yield example["image"]

    table = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    counts = {"tweets read": table["tweet"].n_unique(), "photos with a text": len(table)}
    return Tweets(table, photos, counts)


def _from_crawl(
    path: pathlib.Path, problems: Problems, images: str | None, human_labels: str | None
) -> Tweets:
    texts_file = path / TEXTS_FILE if path.is_dir() else path
    photos_file, root = _photo_list(texts_file.parent, images)
    texts: dict[str, str] = {}
    for where, row in read_table(texts_file, problems, required=("id", "text")):
        if row["id"] in texts:
            problems.add(where, row["id"], "tweet listed twice; the first is kept")
        else:
            texts[row["id"]] = row["text"]
    labels = _human_labels(human_labels, problems) if human_labels else {}
    wanted, seen, listed = [], set(), 0
    for where, row in read_table(photos_file, problems, required=("id_tweet", "path")):
        listed += 1
        tweet, photo = row["id_tweet"], row["path"]
        if tweet not in texts:
            problems.add(where, photo, f"no text of tweet {tweet}")
        elif photo in seen:
            problems.add(where, photo, "photo listed twice")
        else:
            seen.add(photo)
            wanted.append((where, tweet, photo))
    rows, files = [], []
    with progress("check photos", len(wanted), "photos") as tick:
        found = photo_files.examine([root / photo for _, _, photo in wanted])
        for (where, tweet, photo), data in zip(wanted, found, strict=True):
            tick()
            if isinstance(data, pixels.DecodeError):
                problems.add(where, photo, str(data))
                continue
            rows.append((photo, tweet, texts[tweet], labels.get(photo, UNKNOWN), len(files)))
            files.append(root / photo)
    if not rows:
        raise UserError(f"{photos_file}: no photo below {root} belongs to a tweet of {texts_file}")

    def photos(numbers: list[int]) -> Iterator[bytes]:
        return (photo_files.read(files[number]) for number in numbers)

    counts = {"tweets read": len(texts), "photos listed": listed, "photos with a text": len(rows)}
    return Tweets(pl.DataFrame(rows, schema=SCHEMA, orient="row"), photos, counts)


def _photo_list(folder: pathlib.Path, images: str | None) -> tuple[pathlib.Path, pathlib.Path]:
    """The list of photos and the folder that its paths are relative to."""
    if images is None:
        listing = folder / PHOTOS_FILE
    elif not pathlib.Path(images).is_dir():
        listing = pathlib.Path(images)
    elif (pathlib.Path(images) / PHOTOS_FILE).exists():
        listing = pathlib.Path(images) / PHOTOS_FILE
    else:
        return folder / PHOTOS_FILE, pathlib.Path(images)
    root = listing.parent / "images"
    return listing, root if root.is_dir() else listing.parent


def _human_labels(path: str, problems: Problems) -> dict[str, int]:
    labels = {}
    for where, row in read_table(path, problems, required=("path", "image_label")):
        photo, label = row["path"], row["image_label"]
        if label in CLASSES:
            labels[photo] = CLASSES.index(label)
        else:
            problems.add(where, photo, f"unknown label {label!r}; classes: {', '.join(CLASSES)}")
    return labels
