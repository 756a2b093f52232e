"""Reading the layout of a T4SA crawl: a table of texts and a list of photos."""

import pathlib

from input_pipeline.table_files import read_table
from vit_sentiment.distillation.listing import (
    PHOTO_ROWS,
    TEXT_ROWS,
    Listed,
    Lost,
    Rows,
    photo_row,
)

TEXTS_FILE = "raw_tweets_text.csv"
PHOTOS_FILE = "all_imgs.csv"


def read_crawl(texts_file: pathlib.Path, photos_file: pathlib.Path, lost: Lost) -> Listed:
    """Reads texts `id,text` and photos `id_tweet,path`; a path may be a URL.

    Raises:
      UserError: a file is missing or lacks a column.
    """
    texts, photos = Rows(TEXT_ROWS), Rows(PHOTO_ROWS)
    rows = read_table(texts_file, lost.problems, required=("id", "text"), only_required=True)
    for where, row in rows:
        texts.add(where, row["id"], row["text"], None, None)
    rows = read_table(photos_file, lost.problems, required=("id_tweet", "path"), only_required=True)
    for where, row in rows:
        if row["path"]:
            photos.add(*photo_row(where, None, row["id_tweet"], row["path"]))
        else:
            lost.add("photos without a path", where, row["id_tweet"], "no path")
    return Listed(texts.frame(), photos.frame())


def photo_list(folder: pathlib.Path, images: str | None) -> tuple[pathlib.Path, pathlib.Path]:
    """The list of photos and the folder that its paths are relative to.

    Args:
      folder: of the texts.
      images: the list, or the folder that the paths are relative to; default: `all_imgs.csv`
        beside the texts, and `images/` beside it.
    """
    if images is None:
        listing = folder / PHOTOS_FILE
    elif not pathlib.Path(images).is_dir():
        listing = pathlib.Path(images)
    elif (pathlib.Path(images) / PHOTOS_FILE).exists():
        listing = pathlib.Path(images) / PHOTOS_FILE
    else:
        return folder / PHOTOS_FILE, pathlib.Path(images)
    return listing, photo_folder(listing.parent)


def photo_folder(folder: pathlib.Path) -> pathlib.Path:
    """`images/` in it where there is such a folder, else the folder itself."""
    return folder / "images" if (folder / "images").is_dir() else folder
