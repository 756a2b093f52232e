"""The photos that the words of a command line name."""

import glob
import io
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence

from PIL import Image

from input_pipeline import pixels
from vit_sentiment.inference.photos import Photo
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

STANDARD_INPUT = "-"
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif"}
)
"""What is taken for a photo in a folder, in any case; files named one by one may have any."""

_WILD = frozenset("*?[")


def photos(words: Sequence[str]) -> list[tuple[str, Photo]]:
    """Names and photos of files, folders, patterns and standard input, in the order given.

    A folder stands for the photos in it and below, a pattern such as `photos/**/*.jpg` for the
    files and folders that match it, `-` for standard input: one photo, or paths, one a line. A file
    that is not there is a photo that cannot be read, which is told with its prediction.

    Raises:
      UserError: a folder, a pattern or standard input holds no photo.
    """
    return [item for word in words for item in _photos(word)]


def _photos(word: str) -> Iterator[tuple[str, Photo]]:
    if word == STANDARD_INPUT:
        yield from _standard_input()
    elif os.path.isdir(word):
        yield from _folder(word)
    elif _WILD.isdisjoint(word) or os.path.lexists(word):
        yield word, word
    else:
        matches = sorted(glob.glob(word, recursive=True))
        found = [item for match in matches if not os.path.isdir(match) for item in _photos(match)]
        # `**` matches folders as well as what is in them.
        folders = [match for match in matches if os.path.isdir(match)]
        if not found:
            found = [item for folder in folders for item in _folder(folder)]
        if not found:
            raise UserError(f"{word}: no file matches")
        yield from found


def _folder(name: str) -> Iterator[tuple[str, Photo]]:
    found, others = [], 0
    for folder, folders, files in os.walk(name, followlinks=False):
        folders[:] = sorted(below for below in folders if not below.startswith("."))
        for file in sorted(file for file in files if not file.startswith(".")):
            if pathlib.Path(file).suffix.lower() in SUFFIXES:
                found.append(os.path.join(folder, file))
            else:
                others += 1
    if not found:
        raise UserError(f"{name}: no photos there ({', '.join(sorted(SUFFIXES))})")
    if others:
        say(f"{name}: {others} files that are not photos by their names are left out")
    yield from zip(found, found, strict=True)


def _standard_input() -> Iterator[tuple[str, Photo]]:
    data = sys.stdin.buffer.read()
    if _is_image(data):
        yield STANDARD_INPUT, data
        return
    # Names of files need not be UTF-8; this is how Python writes and reads such names.
    lines = [os.fsdecode(line.rstrip(b"\r")) for line in data.split(b"\n")]
    paths = [line for line in lines if line]
    if not paths:
        raise UserError("standard input: expected a photo or paths, one a line, found nothing")
    yield from zip(paths, paths, strict=True)


def _is_image(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=pixels.FORMATS):
            return True
    except Image.UnidentifiedImageError:
        return False
    except Exception:  # It is one, and damaged or too big; decoding tells.
        return True
