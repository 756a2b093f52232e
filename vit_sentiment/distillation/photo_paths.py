"""Finding out which of millions of photo files are there."""

import os
import pathlib

import polars as pl

from input_pipeline import photos
from input_pipeline.text_files import is_text
from vit_sentiment.runtime.progress import progress


def exist(paths: pl.Series) -> pl.Series:
    """Boolean [N]: which paths are files; null paths are not.

    Folders are listed, which is far quicker than a look at each of their files. Only a name that
    its folder does not list as such is looked at itself: a file system may have other spellings
    for it (case, Unicode forms), or refuse to list the folder.
    """
    table = pl.DataFrame({"path": paths.rename("path")}).with_columns(
        folder=pl.col("path").str.extract("^(.*/)").fill_null("")
    )
    folders = table.group_by("folder", maintain_order=True).len()
    listed, unlisted = [pl.Series("path", [], pl.String)], []
    with progress("look for photos", len(table), "photos") as tick:
        for folder, number in folders.iter_rows():
            names = _files(folder)
            if names is None:
                unlisted.append(folder)
            else:
                listed.append(folder + pl.Series("path", names, pl.String))
            tick(number)
    there = table["path"].is_in(pl.concat(listed).implode()).fill_null(False)
    unsure = table.with_row_index("number").filter(
        ~there & pl.col("path").is_not_null() & ~pl.col("folder").is_in(unlisted)
    )
    found = [n for n, path, _ in unsure.iter_rows() if photos.exists(pathlib.Path(path))]
    return there.scatter(found, True) if found else there


def _files(folder: str) -> list[str] | None:
    """Names of the files in it; None where there is no such folder."""
    try:
        with os.scandir(folder or ".") as entries:
            # Names of bytes that are no text are in no table.
            return [e.name for e in entries if is_text(e.name) and e.is_file()]
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError:
        return []
