"""Opening a split for reading: a written dataset, a table of photo files or a folder per class."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl
import tensorflow_datasets as tfds

from input_pipeline import photos, pixels
from input_pipeline.builder import INDEX_FILE, INDEX_SCHEMA, row_labels
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, UNKNOWN, Record
from input_pipeline.tables import Row, read_rows
from vit_sentiment.runtime.errors import UserError

LABELS = ("teacher_label", "human_label")

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class RandomAccess(Protocol):
    """Examples by number, as dicts with the field names of `Record`; picklable.

    Instead of `image` there may be a DecodeError that says why the file cannot be read.
    """

    def __len__(self) -> int: ...

    def __getitems__(self, numbers: Sequence[int]) -> Sequence[dict[str, Any]]: ...

    def place(self, number: int) -> str:
        """Where the example is, for a person who looks for it."""
        ...


@dataclasses.dataclass(frozen=True)
class Source:
    """One split of one dataset.

    Attributes:
      name: path or name it was opened by.
      split: its split.
      classes: class names in the order of the labels.
      data: the examples; photos are encoded bytes.
      index: one row an example, in order: id, group, teacher_label, human_label, and sha256 of
        photo and teacher's probabilities (null for photo files that nothing has read yet).
    """

    name: str
    split: str
    classes: tuple[str, ...]
    data: RandomAccess
    index: pl.DataFrame

    def __len__(self) -> int:
        return len(self.index)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of ids, groups, labels and, in a written dataset, photos and teacher's
        probabilities: 16 hex digits."""
        digest = hashlib.sha256()
        for part in self.index.iter_slices(65536):
            digest.update(part.write_csv(include_header=False).encode())
        return digest.hexdigest()[:16]

    def labels(self, kind: str) -> np.ndarray:
        """int32 [N] of `teacher_label` or `human_label`; -1 where there is none."""
        return self.index[kind].to_numpy()

    def labels_required(self, kind: str) -> np.ndarray:
        """The same; raises UserError where a record has none."""
        labels = self.labels(kind)
        if missing := int(np.sum(labels == UNKNOWN)):
            first = self.index["id"][int(np.argmax(labels == UNKNOWN))]
            raise UserError(
                f"{self.name}, split {self.split}: {missing} of {len(labels)} records have no "
                f"{kind}, the first is {first!r}"
            )
        return labels

    def group_hashes(self) -> np.ndarray:
        """Sorted unique uint64 hashes of the groups."""
        digests = (hashlib.sha256(group.encode()).digest() for group in self.index["group"])
        hashes = [int.from_bytes(digest[:8], "big") for digest in digests]
        return np.unique(np.array(hashes, np.uint64))

    def take(self, numbers: np.ndarray, split: str) -> "Source":
        """The rows of these numbers, in this order, as a split of another name."""
        data = _Taken(self.data, tuple(int(number) for number in numbers))
        return dataclasses.replace(self, split=split, data=data, index=self.index[numbers])

    def records(self, window: int = 256) -> Iterator[Record]:
        """All records in order."""
        for start in range(0, len(self), window):
            numbers = range(start, min(start + window, len(self)))
            for example in self.data.__getitems__(numbers):
                # TFDS gives labels as numpy scalars.
                yield Record(**{k: int(v) if "label" in k else v for k, v in example.items()})


@dataclasses.dataclass(frozen=True)
class _Taken:
    """Some of the examples."""

    data: RandomAccess
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitems__(self, numbers: Sequence[int]) -> Sequence[dict[str, Any]]:
        return self.data.__getitems__([self.numbers[number] for number in numbers])

    def place(self, number: int) -> str:
        return self.data.place(self.numbers[number])


class _TfdsExamples:
    """ArrayRecord examples with their text fields decoded."""

    TEXT = ("id", "group", "text")

    def __init__(self, data: Any) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        examples = self._data.__getitems__(list(numbers))
        for example in examples:
            for name in self.TEXT:
                if name in example:
                    example[name] = example[name].decode()
        return examples

    def place(self, number: int) -> str:
        return f"record {number}"


@dataclasses.dataclass(frozen=True)
class _FileExamples:
    """Photo files named by a table; read when asked for."""

    rows: Sequence[Row]
    num_classes: int
    teacher: bool

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        return [self._example(self.rows[number]) for number in numbers]

    def place(self, number: int) -> str:
        return self.rows[number].where

    def _example(self, row: Row) -> dict[str, Any]:
        try:
            image = photos.read(row.path)
        except pixels.DecodeError as error:  # It was there when the table was read.
            image = error
        return {
            "image": image,
            "id": row.id,
            "group": row.group,
            **row_labels(row, self.teacher, self.num_classes),
        }


def open_source(
    name: str,
    split: str = "",
    *,
    data_dir: str = "",
    images: str | None = None,
    classes: Sequence[str] = CLASSES,
    problems: Problems | None = None,
) -> Source:
    """Opens `name` for reading.

    Args:
      name: the folder of a written dataset, or the name of one below `data_dir`; or a .csv, .tsv
        or .parquet table with columns path and label; or a folder with a folder for each class.
      split: of a written dataset; may be empty when there is only one. TFDS slices such as
        `train[:100]` work.
      images: folder that a table's paths are relative to.
      classes: class names, for a table or folder.
      problems: what to do with a table's bad rows; default: fail.

    Raises:
      UserError: nothing readable is there, or there is no such split.
    """
    path = _locate(name, data_dir)
    folder = _dataset_folder(path)
    if folder is not None:
        return _open_dataset(name, folder, split)
    if split:
        raise UserError(f"{name}: a table or folder of photos has no splits, found {split!r}")
    rows = read_rows(path, problems or Problems(), images=images, classes=classes)
    return source_of_rows(rows, name, split, classes)


def source_of_rows(
    rows: Sequence[Row], name: str, split: str, classes: Sequence[str], *, teacher: bool = False
) -> Source:
    """Photo files under the labels of a human, or of a teacher; files are read when asked for."""
    label, other = LABELS if teacher else LABELS[::-1]
    values = {
        "id": [row.id for row in rows],
        "group": [row.group for row in rows],
        label: [row.label for row in rows],
        other: [UNKNOWN] * len(rows),
    }
    schema = {field: kind for field, kind in INDEX_SCHEMA.items() if field != "split"}
    nothing = [None] * len(rows)
    index = pl.DataFrame({field: values.get(field, nothing) for field in schema}, schema)
    examples = _FileExamples(rows, len(classes), teacher)
    return Source(name, split, tuple(classes), examples, index)


def choose_split(name: str, wanted: str | None, usual: str, data_dir: str = "") -> str:
    """The split that is wanted, else the usual one if `name` has it, else none in particular."""
    return wanted or (usual if usual in split_names(name, data_dir) else "")


def split_names(name: str, data_dir: str = "") -> list[str]:
    """The splits of a written dataset; none for a table or a folder of photos."""
    folder = dataset_folder(name, data_dir)
    if folder is None:
        return []
    return list(tfds.builder_from_directory(os.fspath(folder)).info.splits)


def dataset_folder(name: str, data_dir: str = "") -> pathlib.Path | None:
    """The folder with the files of a written dataset; None for a table or a folder of photos.

    Raises:
      UserError: nothing is there, or several datasets.
    """
    return _dataset_folder(_locate(name, data_dir))


def _locate(name: str, data_dir: str) -> pathlib.Path:
    path = pathlib.Path(name)
    if not path.exists() and data_dir:
        path = pathlib.Path(data_dir) / name
    if not path.exists():
        raise UserError(
            f"{name}: no such dataset, table or folder" + (data_dir and f", nor {path}")
        )
    return path


def _dataset_folder(path: pathlib.Path) -> pathlib.Path | None:
    """The folder with `dataset_info.json` at `path` or the only, newest one below it."""
    if not path.is_dir():
        return None
    depths = ("", "*/", "*/*/", "*/*/*/")
    found = [p.parent for depth in depths for p in path.glob(f"{depth}dataset_info.json")]
    found = [p for p in found if not any(part.startswith("incomplete.") for part in p.parts)]
    parents = {p.parent if _VERSION.fullmatch(p.name) else p for p in found}
    if len(parents) > 1:
        names = ", ".join(sorted(str(p) for p in parents))
        raise UserError(f"{path}: holds several datasets; name one of: {names}")
    versions = sorted(found, key=lambda p: [int(n) for n in re.findall(r"\d+", p.name)])
    return versions[-1] if versions else None


def _open_dataset(name: str, folder: pathlib.Path, split: str) -> Source:
    builder = tfds.builder_from_directory(os.fspath(folder))
    splits = list(builder.info.splits)
    if not split and len(splits) == 1:
        split = splits[0]
    base, *others = {part.split("[")[0].strip() for part in split.split("+")}
    if others:
        raise UserError(f"{name}: split {split!r}: unions of splits cannot be read; name one")
    if base not in splits:
        wanted = f"no split {split!r}" if split else "several splits"
        raise UserError(f"{name}: {wanted}; there are: {', '.join(splits)}")
    features = builder.info.features
    expected = ("image", "id", "group", "teacher_probs", "teacher_label", "human_label")
    if missing := [field for field in expected if field not in features]:
        raise UserError(f"{folder}: not one of our datasets; it lacks the features {missing}")
    decoders = {"image": tfds.decode.SkipDecoding()}
    try:
        data = builder.as_data_source(split, decoders=decoders)
        numbers = _slice_numbers(builder, split, base)
    except ValueError as error:
        raise UserError(f"{name}: split {split!r}: {' '.join(str(error).split())}") from error
    if not numbers:
        raise UserError(f"{name}: split {split!r} has no records")
    index_path = folder / INDEX_FILE
    if not index_path.exists():
        raise UserError(f"{folder}: lacks {INDEX_FILE}; was the dataset copied completely?")
    index = pl.read_parquet(index_path).filter(pl.col("split") == base).drop("split")
    if split != base:
        index = index[numbers]
    if len(index) != len(data):
        raise UserError(f"{folder}: {INDEX_FILE} has {len(index)} rows for {len(data)} records")
    classes = tuple(features["teacher_label"].names)
    return Source(name, split, classes, _TfdsExamples(data), index)


def _slice_numbers(builder: Any, split: str, base: str) -> list[int]:
    """Row numbers within `base` that a TFDS slice such as `train[10%:20%]` stands for."""
    lengths = builder.info.splits[base].shard_lengths
    starts = np.cumsum([0, *lengths])
    numbers: list[int] = []
    for part in builder.info.splits[split].file_instructions:
        shard = int(re.search(r"-(\d{5})-of-\d{5}", part.filename)[1])
        first = int(starts[shard]) + part.skip
        take = lengths[shard] - part.skip if part.take == -1 else part.take
        numbers.extend(range(first, first + take))
    return numbers
