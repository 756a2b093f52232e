"""Rows and photos for tests of what is written."""

import dataclasses
import time

import cv2
import numpy as np
import polars as pl

from vit_sentiment.distillation.tables import PhotoFiles
from vit_sentiment.distillation.written_shard import ROWS


def make(folder, count=40, seed=0):
    """JPEGs of noise and edges, each two of a tweet, and the splits that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths, rows = [], []
    for number in range(count):
        tweet = str(810000000000 + number // 2)
        name = f"{tweet}-{number % 2}.jpg"
        image = cv2.resize(rng.integers(0, 256, (8, 9, 3), np.uint8), (54 + number, 48))
        cv2.imwrite(str(folder / name), image)
        paths.append(str(folder / name))
        probs = rng.dirichlet([1, 1, 1]).astype(np.float32)
        rows.append((name, tweet, tweet, *probs, int(probs.argmax()), number % 4 - 1, number))
    table = pl.DataFrame(rows, ROWS, orient="row")
    cuts = {"train": slice(0, count - 8), "validation": slice(-8, -4), "test": slice(-4, None)}
    return {split: table[part] for split, part in cuts.items()}, PhotoFiles(pl.Series(paths))


def contents(folder):
    """The bytes of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@dataclasses.dataclass(frozen=True)
class Slow:
    """Photos that take their time."""

    files: PhotoFiles

    def take(self, numbers):
        return Slow(self.files.take(numbers))

    def read(self, number):
        time.sleep(0.03)
        return self.files.read(number)
