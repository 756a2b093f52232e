"""Reading tweets with photos: a T4SA crawl, the Twitter API v2, tables, or a written dataset."""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
import polars as pl

from input_pipeline.problems import Problems
from input_pipeline.sources import open_source, split_names
from input_pipeline.table_files import table_columns, table_suffix
from vit_sentiment.distillation import settle, tables
from vit_sentiment.distillation.listing import PHOTO_ROWS, TEXT_ROWS, Listed, Lost, Rows
from vit_sentiment.distillation.read_columns import REQUIRED, parse_columns, read_columns
from vit_sentiment.distillation.read_crawl import TEXTS_FILE, photo_folder, photo_list, read_crawl
from vit_sentiment.distillation.read_twitter import read_twitter
from vit_sentiment.runtime.errors import UserError

__all__ = ["Tweets", "open_photos", "parse_columns", "read_tweets"]


@dataclasses.dataclass(frozen=True)
class Tweets:
    """Tweets, their photos and how to get at the files.

    Attributes:
      texts: schema `tables.TWEETS`, in the order read; some may have no photo.
      photos: schema `tables.PHOTOS`, in the order read; each is of a tweet in `texts` and has a
        file that is there, or a URL, or is of a dataset. Behind these columns `number`, which is
        what `open_photos` takes; nothing was decoded yet.
      counts: what was read and what fell away by kind, in order; kinds without any are left out.
    """

    texts: pl.DataFrame
    photos: pl.DataFrame
    counts: dict[str, int]


def read_tweets(
    tweets: str,
    problems: Problems,
    *,
    images: str | None = None,
    human_labels: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Tweets:
    """Reads tweets and looks for the files of their photos.

    What `tweets` may be:
      - a crawl: the file `raw_tweets_text.csv` (`id,text`, also .tsv, .parquet) or the folder that
        has it, with a list of photos `all_imgs.csv` (`id_tweet,path`);
      - Twitter API v2: JSON lines with `data` (see `read_twitter`), .jsonl, .ndjson or .json;
      - a table: CSV, TSV, Parquet or JSON lines with columns id, text and perhaps images, lang,
        human_label, referenced, or those that `columns` names (see `read_columns`);
      - a folder with several files of one of the last two kinds, which are read sorted by name;
      - the folder of a dataset with texts (`demo_tweets`, `mvsa_single`).
    Text files may be gzip or zstd (see `read_lines`).

    Args:
      images: of a crawl: its `all_imgs.csv` or the folder that the paths are relative to; default:
        `all_imgs.csv` beside the texts, and `images/` beside it. Of the Twitter API: the folder of
        `<first 5 digits of tweet>/<tweet>-<k>.jpg`, k counted from 0; default: `images/` beside the
        file, or the file's folder. Of a table: the folder that the paths are relative to; default:
        the file's folder.
      human_labels: a table `path,image_label` of photo ids, for evaluation.
      columns: what `parse_columns` gives; the input is then a table.
      problems: takes lines that cannot be read; tweets without an id or a text, or listed twice;
        photos that are missing, listed twice or without a tweet. Policy `fail`: the first raises.

    Raises:
      UserError: a file cannot be read or lacks a column; no tweet or no photo is left.
    """
    path = pathlib.Path(tweets)
    if not path.exists():
        raise UserError(f"{tweets}: no such file, folder or dataset")
    lost = Lost(problems)
    files = tweet_files(path)
    if not files:
        if images or columns:
            raise UserError(f"{tweets}: a dataset; --images and --columns are of other tweets")
        listed, root = _list_dataset(tweets), path
    elif listing := _crawl_list(path, files, images, columns):
        photos_file, root = listing
        listed = read_crawl(files[0], photos_file, lost)
    else:
        if images and not pathlib.Path(images).is_dir():
            raise UserError(f"{images}: expected the folder of the photos of {tweets}")
        listed, root = _list_files(files, columns, lost), pathlib.Path(images or files[0].parent)
        if images is None and listed.named_by_tweet:
            root = photo_folder(root)
    lost.count_lines()
    texts, photos = settle.settle_texts(listed, lost)
    settle.require_some(texts, f"{tweets}: no tweet with an id and a text{_first(problems)}")
    photos = settle.settle_photos(photos, texts, lost)
    if files:
        photos = settle.locate(photos, root, listed.named_by_tweet, lost)
    nothing = f"{tweets}: no photo below {root} belongs to a tweet of it, nor has one a URL"
    if listed.photos.is_empty():
        nothing = f"{tweets}: no photo is listed"
        if listed.several_rows:
            nothing += "; say which column has them with --columns=images=COLUMN"
    settle.require_some(photos, nothing + _first(problems))
    if human_labels:
        photos = settle.with_human_labels(photos, human_labels, lost)
        lost.count_lines()
    counts = {"tweets read": len(texts), "photos listed": len(listed.photos), **lost.counts}
    if files:
        photos = photos.with_columns(number=pl.int_range(pl.len(), dtype=pl.Int64))
    counts["photos with a text"] = len(photos)
    return Tweets(
        texts.select(list(tables.TWEETS)), photos.select(*tables.PHOTOS, "number"), counts
    )


def open_photos(tweets: str, photos: pl.DataFrame) -> tables.Photos:
    """The photos by their `number`, from all rows that `read_tweets` gave of them."""
    if photos["path"].is_null().all() and photos["url"].is_null().all():
        data = open_source(tweets).data
        return tables.PhotoRecords(data, np.arange(len(data)))
    return tables.PhotoFiles(photos["path"])


def _first(problems: Problems) -> str:
    """The first problem, for the error that nothing is left."""
    if not problems.rows:
        return ""
    return f"; the first problem: {': '.join(filter(None, problems.rows[0]))}"


def tweet_files(path: pathlib.Path) -> list[pathlib.Path]:
    """The files to read, in order; none where it is a dataset."""
    if not path.is_dir():
        return [path]
    if (path / TEXTS_FILE).exists():
        return [path / TEXTS_FILE]
    # Deeper down datasets are looked for last: that would list the folders of all photos.
    if any(any(path.glob(f"{depth}dataset_info.json")) for depth in ("", "*/")):
        return []
    files = sorted(file for file in path.glob("[!.]*") if table_suffix(file) and file.is_file())
    kinds = sorted({table_suffix(file) for file in files})
    if len(kinds) > 1:
        raise UserError(f"{path}: has files of several kinds ({', '.join(kinds)}); name a file")
    if not files and not split_names(str(path)):
        raise UserError(
            f"{path}: expected {TEXTS_FILE}, or .jsonl, .csv, .tsv or .parquet files (text also "
            "with .gz or .zst), or a dataset"
        )
    return files


def _crawl_list(
    path: pathlib.Path,
    files: list[pathlib.Path],
    images: str | None,
    columns: Mapping[str, str] | None,
) -> tuple[pathlib.Path, pathlib.Path] | None:
    """The list of photos and their folder if the file is one of texts alone, in a crawl."""
    text_file = path / TEXTS_FILE if path.is_dir() else path
    if columns or files != [text_file] or table_suffix(text_file) == ".jsonl":
        return None
    listing, root = photo_list(text_file.parent, images)
    header = table_columns(text_file)
    if "images" in header or (not listing.exists() and not set(REQUIRED) <= set(header)):
        return None
    if not listing.exists():
        raise UserError(
            f"{listing}: no such file; expected the list of photos id_tweet,path of {text_file}, "
            "or there a column of photos, 'images' or --columns=images=COLUMN"
        )
    return listing, root


def _list_files(files: list[pathlib.Path], columns: Mapping[str, str] | None, lost: Lost) -> Listed:
    if not columns and table_suffix(files[0]) == ".jsonl":
        headers = (table_columns(file) for file in files)
        if "data" in next(filter(None, headers), ()):
            return read_twitter(files, lost)
    return read_columns(files, columns or {}, lost)


def _list_dataset(name: str) -> Listed:
    source = open_source(name)
    if "text" not in source.data.__getitems__([0])[0]:
        raise UserError(f"{name}: its records have no text to label")
    texts, photos = Rows(TEXT_ROWS), Rows(PHOTO_ROWS)
    for row, record in enumerate(source.records()):
        where = f"{name}: {source.data.place(row)}"
        texts.add(where, record.group, record.text, None, None)
        photos.add(where, row, record.group, record.id, None, None, record.human_label)
    return Listed(texts.frame(), photos.frame(), several_rows=True)
