"""A miniature of the original's `dataset/` tree: every list with its own form, and drawn faces.

Names, separators, headers, column names and class codes are those of the original's files; the
rows are few. Faces show the mood of their label (frown, flat, smile), so that models can learn.
"""

import io
import itertools
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from input_pipeline.demo_tweets.drawing import draw_tweets

Rows = list[tuple[str, int]]
"""Path and class (0 negative, 1 neutral, 2 positive) of each photo of a list."""

CORRUPTED = "data/78439/784393626990194689-4.jpg"
FI_EMOTIONS = {
    "amusement": 2, "anger": 0, "awe": 2, "contentment": 2,
    "disgust": 0, "excitement": 2, "fear": 0, "sadness": 0,
}  # fmt: skip
ROI_EMOTIONS = {"anger": 0, "disgust": 0, "fear": 0, "joy": 2, "sadness": 0, "surprise": 2}
BINARY = {0: 0, 2: 1}
"""Class to the code in the lists of Twitter I and II and EmotionROI."""


def write(root: pathlib.Path) -> dict[str, Rows]:
    """Writes the tree; returns what each list says: `5agree`, `FI_split_1/train`, `bal/test` ..."""
    faces = _Faces()
    lists = _twitter_1(root, faces) | _twitter_2(root, faces) | _emotion_roi(root, faces)
    return lists | _fi(root, faces) | _t4sa(root, faces)


def break_photos(root: pathlib.Path) -> dict[str, str]:
    """Breaks photos of 5agree, FI and bal; returns a part of what is told of each, by its path."""
    lists = {
        "benchmark/Twitter Testing Dataset I": ("5agree.csv", (1, "gone"), (4, "cut")),
        "benchmark/FI": ("FI_complete.csv", (0, "text")),
        "t4sa 2.0": ("bal_T4SA2.0/bal_T4SA2.0_train.csv", (2, "empty")),
    }
    told = {"gone": "no such file", "cut": "damaged", "text": "known format", "empty": "empty file"}
    broken = {}
    for folder, (name, *damages) in lists.items():
        paths = [line.split(",")[0] for line in (root / folder / name).read_text().split()[1:]]
        for number, damage in damages:
            file = root / folder / "images" / paths[number]
            if damage == "gone":
                file.unlink()
            else:
                data = {"cut": _encoded(_noise(), "JPEG")[:300], "text": b"<html>", "empty": b""}
                file.write_bytes(data[damage])
            broken[paths[number]] = told[damage]
    return broken


class _Faces:
    """Draws and writes photos, no two alike."""

    def __init__(self) -> None:
        drawn = list(draw_tweets(330, seed=0, size=16))
        self._by_mood = {
            mood: iter([t.image for t in drawn if t.mood == mood]) for mood in (0, 1, 2)
        }

    def write(self, folder: pathlib.Path, rows: Rows, forms: tuple[str, ...] = ("JPEG",)) -> None:
        """Writes the photos of `rows`, their formats in turn, whatever the names say."""
        for (path, mood), form in zip(rows, itertools.cycle(forms)):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_encoded(next(self._by_mood[mood]), form))


def _encoded(image: np.ndarray, form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form)
    return buffer.getvalue()


def _noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def _list(
    path: pathlib.Path, rows: Rows, *, codes: dict[int, object] | None = None,
    header: str | None = "path,class", delimiter: str = ",", end: str = "\n",
) -> None:  # fmt: skip
    lines = [header] if header else []
    lines += [f"{file}{delimiter}{codes[label] if codes else label}" for file, label in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(end.join([*lines, ""]), newline="")


def _twitter_1(root: pathlib.Path, faces: _Faces) -> dict[str, Rows]:
    """Lists that hold one another; `3agree` has the notebooks' column and pandas' floats."""
    folder = root / "benchmark/Twitter Testing Dataset I"
    labels = [2, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2]
    rows = [
        (f"{100 + n}_4282{n:02d}659240579072_BfFq8ns{n}.jpg", label)
        for n, label in enumerate(labels)
    ]
    faces.write(folder / "images", rows, ("JPEG", "PNG", "JPEG", "GIF"))
    lists = {"5agree": rows[:12], "4agree": rows[:14], "3agree": rows}
    _list(folder / "5agree.csv", lists["5agree"], codes=BINARY)
    _list(folder / "4agree.csv", lists["4agree"], codes=BINARY, end="\r\n")
    _list(folder / "3agree.csv", rows, codes={0: "0.0", 2: "1.0"}, header="path,label")
    return lists


def _twitter_2(root: pathlib.Path, faces: _Faces) -> dict[str, Rows]:
    folder = root / "benchmark/Twitter Testing Dataset II"
    rows = [(f"0_{n}_5287376490{n}_B1Z0.{'png' if n == 2 else 'jpg'}", 0) for n in range(6)]
    rows += [(f"{n}_5282534334{n}.{'png' if n == 7 else 'jpg'}", 2) for n in range(6, 13)]
    faces.write(folder / "images", [row for row in rows if row[0].endswith("jpg")])
    faces.write(folder / "images", [row for row in rows if row[0].endswith("png")], ("PNG",))
    _list(folder / "twitter_testing_2.csv", rows, codes=BINARY)
    return {"twitter_testing_2": rows}


def _emotion_roi(root: pathlib.Path, faces: _Faces) -> dict[str, Rows]:
    folder = root / "benchmark/EmotionROI"
    rows = [(f"{name}/{n}.jpg", label) for n in range(1, 6) for name, label in ROI_EMOTIONS.items()]
    faces.write(folder / "images", rows)
    lists = {"train": rows[:18], "test": rows[18:], "complete": rows}
    for part, part_rows in lists.items():
        _list(folder / f"emotion_ROI_{part}.csv", part_rows, codes=BINARY)
    return {f"emotion_ROI_{part}": part_rows for part, part_rows in lists.items()}


def _fi(root: pathlib.Path, faces: _Faces) -> dict[str, Rows]:
    """Codes 0 and 2; each split is a partition of the complete list."""
    folder = root / "benchmark/FI"
    rows = [
        (f"{name}/{name}_{n:04d}.jpg", label)
        for n in range(5)
        for name, label in FI_EMOTIONS.items()
    ]
    faces.write(folder / "images", rows)
    _list(folder / "FI_complete.csv", rows)
    lists = {"FI_complete": rows}
    for split in range(1, 6):
        turned = rows[8 * split :] + rows[: 8 * split]
        parts = {"train": turned[12:], "val": turned[:4], "test": turned[4:12]}
        for part, part_rows in parts.items():
            _list(folder / f"split_{split}/FI_{part}.csv", part_rows)
            lists[f"FI_split_{split}/{part}"] = part_rows
    return lists


def _t4sa(root: pathlib.Path, faces: _Faces) -> dict[str, Rows]:
    """B-T4SA with three generations of labels, T4SA 2.0 in three versions, and both merged."""
    old = list(_tweets("data/78{0:03d}/78{0:03d}362699{0:07d}", 45, first_photo=1))
    new = list(_tweets("15{0:03d}/15{0:03d}73804{0:09d}", 45, first_photo=0))
    faces.write(root / "t4sa 1.0/images", old)
    faces.write(root / "t4sa 2.0/images", new, ("JPEG", "JPEG", "PNG"))
    corrupted = root / "t4sa 1.0/images" / CORRUPTED
    corrupted.parent.mkdir(parents=True, exist_ok=True)
    corrupted.write_bytes(_encoded(_noise(), "JPEG")[:300])

    lists: dict[str, Rows] = {}
    original = _parts(old)
    original["test"].insert(1, (CORRUPTED, 1))
    # The new teacher changes its mind about every tenth tweet; the filter drops every ninth photo.
    updated = {
        part: [(path, (label + (int(path[7:10]) % 10 == 9)) % 3) for path, label in rows]
        for part, rows in original.items()
    }
    filtered = {
        part: [row for n, row in enumerate(rows) if n % 9 != 8] for part, rows in updated.items()
    }
    labels = root / "t4sa 1.0/dataset with new labels"
    for part in ("train", "val", "test"):
        first = root / f"t4sa 1.0/original dataset/b-t4sa 1.0/b-t4sa_{part}.txt"
        _list(first, original[part], header=None, delimiter=" ")
        for name, rows in (("", updated), (" and filtered", filtered)):
            file = labels / f"b-t4sa1.0 updated{name}/b-t4sa_{part}.tsv"
            _list(file, rows[part], header="path\tlabel", delimiter="\t")
        lists[f"b_t4sa_1_0/{part}"] = original[part]
        lists[f"b_t4sa_1_0_upd/{part}"] = updated[part]
        lists[f"b_t4sa_1_0_upd_filt/{part}"] = filtered[part]
    versions = {
        "unb": (_parts(new), "path,label"),
        "bal": (_parts(new[:48]), "path,label"),
        "bal_flat": (_parts(new[12:]), "path,label"),
        "merged": (_parts([*new, *itertools.chain(*filtered.values())]), "path,class"),
    }
    for name, (parts, header) in versions.items():
        folder = f"{name}_T4SA" if name == "merged" else f"{name}_T4SA2.0"
        for part, rows in parts.items():
            _list(root / f"t4sa 2.0/{folder}/{folder}_{part}.csv", rows, header=header)
            lists[f"{name}/{part}"] = rows
    return lists


def _tweets(form: str, count: int, first_photo: int) -> Iterator[tuple[str, int]]:
    """Photos of `count` tweets of all classes; every third one has two."""
    for n in range(count):
        for photo in range(1 + (n % 3 == n // 3 % 3)):
            yield f"{form.format(n)}-{first_photo + photo}.jpg", n % 3


def _parts(rows: Rows) -> dict[str, Rows]:
    """About 80/10/10 in order, so that photos of a tweet may be parted, as in the original."""
    tenth = len(rows) // 10
    val, test = len(rows) - 2 * tenth - 1, len(rows) - tenth
    return {"train": rows[:val], "val": rows[val:test], "test": rows[test:]}
