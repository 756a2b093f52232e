"""The TFDS builder that all our datasets share: ArrayRecord, in order, without TensorFlow.

A dataset folder holds what TFDS writes, plus `records.parquet` (one row a record: split, id,
group, labels, sha256 of the photo), so that class counts, groups and fingerprints never need the
photos, plus `problems.csv` when rows were skipped.
"""

import contextlib
import hashlib
import io
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
import tensorflow_datasets as tfds

from input_pipeline import photos, pixels, spool
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, UNKNOWN, Record, no_teacher
from input_pipeline.tables import Row
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress

INDEX_FILE = "records.parquet"
PROBLEMS_FILE = "problems.csv"
INDEX_SCHEMA = {
    "split": pl.String,
    "id": pl.String,
    "group": pl.String,
    "teacher_label": pl.Int32,
    "human_label": pl.Int32,
    "sha256": pl.String,
    "teacher_probs_sha256": pl.String,
}
_CHUNK = 65536
"""Rows of the index that are kept as Python objects before they become columns."""


class RecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes records; subclasses say which splits there are and yield their records in order."""

    VERSION = tfds.core.Version("1.0.0")
    WITH_TEXT = False

    def __init__(self, **kwargs: Any) -> None:
        self.problems = Problems()
        self._index_rows: list[tuple[Any, ...]] = []
        self._index: list[pl.DataFrame] = []
        super().__init__(file_format="array_record", **kwargs)

    @property
    def classes(self) -> Sequence[str]:
        """Class names in the order of the labels."""
        return CLASSES

    def splits_to_write(self) -> Sequence[str]:
        """Names of the splits, in order."""
        raise NotImplementedError

    def count(self, split: str) -> int:
        """How many records `split` has at most; for the progress bar."""
        raise NotImplementedError

    def records(self, split: str) -> Iterator[Record]:
        """Yields the records of `split`."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        label = tfds.features.ClassLabel(names=list(self.classes))
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "id": tfds.features.Text(),
            "group": tfds.features.Text(),
            "teacher_probs": tfds.features.Tensor(shape=(len(self.classes),), dtype=np.float32),
            "teacher_label": label,
            "human_label": label,
        }
        if self.WITH_TEXT:
            features |= {"text": tfds.features.Text(), "text_label": label}
        return tfds.core.DatasetInfo(
            builder=self,
            description=(type(self).__doc__ or "").strip(),
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,  # Predictions come in the order of the table.
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterable[Any]]:
        del dl_manager
        return {split: self._generate_examples(split) for split in self.splits_to_write()}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        written = 0
        with progress(f"write {split}", self.count(split), "photos") as tick:
            for number, record in enumerate(self.records(split)):
                self._note(split, record)
                example = {
                    "image": io.BytesIO(record.image),  # Kept byte for byte.
                    "id": record.id,
                    "group": record.group,
                    "teacher_probs": record.teacher_probs,
                    "teacher_label": record.teacher_label,
                    "human_label": record.human_label,
                }
                if self.WITH_TEXT:
                    example |= {"text": record.text, "text_label": record.text_label}
                yield number, example
                written += 1
                tick()
        if not written:
            raise UserError(f"split {split!r}: no usable photo, so there is nothing to write")

    def _note(self, split: str, record: Record) -> None:
        hashes = (hashlib.sha256(data).hexdigest() for data in (record.image, record.teacher_probs))
        labels = (record.teacher_label, record.human_label)
        self._index_rows.append((split, record.id, record.group, *labels, *hashes))
        if len(self._index_rows) >= _CHUNK:
            self._flush_index()

    def _flush_index(self) -> None:
        self._index.append(pl.DataFrame(self._index_rows, schema=INDEX_SCHEMA, orient="row"))
        self._index_rows = []

    def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        # TFDS renames its temporary folder after this, so the index appears with the records.
        super()._download_and_prepare(*args, **kwargs)
        folder = pathlib.Path(self._data_dir)
        self._flush_index()
        with files.replacing(folder / INDEX_FILE) as temporary:
            pl.concat(self._index).write_parquet(temporary)
        self.problems.write(folder / PROBLEMS_FILE)


def refuse_existing(folder: pathlib.Path) -> pathlib.Path:
    """Returns `folder`; raises UserError if it exists, since nothing is ever overwritten."""
    if folder.exists():
        raise UserError(f"{folder}: exists already; remove it first, or choose another name")
    return folder


def prepare(builder: RecordBuilder) -> pathlib.Path:
    """Writes the dataset and returns its folder.

    Raises:
      UserError: the folder exists already; nothing is ever overwritten.
    """
    folder = refuse_existing(pathlib.Path(builder.data_dir))
    tfds.disable_progress_bar()
    with (
        tempfile.TemporaryDirectory() as downloads,
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),  # TFDS tells of downloads that do not happen.
        spool.in_order(),
    ):
        builder.download_and_prepare(download_dir=downloads)
    return folder


def records_of_rows(
    rows: Sequence[Row],
    problems: Problems,
    *,
    teacher: bool,
    num_classes: int,
    keep_broken: bool = False,
) -> Iterator[Record]:
    """Reads and test-decodes the photos of a table, in order.

    Args:
      teacher: whether the table's labels are a teacher's, else a human's.
      keep_broken: whether a photo that does not decode, once it is listed in `problems`, has a
        record all the same: its bytes, or none where the file is missing.
    """
    files = photos.examine([row.path for row in rows])
    for row, data in zip(rows, files, strict=True):
        if isinstance(data, pixels.DecodeError):
            problems.add(row.where, str(row.path), str(data))
            if not keep_broken:
                continue
            data = photos.read_or_nothing(row.path)
        yield Record(data, row.id, row.group, **row_labels(row, teacher, num_classes))


def row_labels(row: Row, teacher: bool, num_classes: int) -> dict[str, Any]:
    """The labels of a table's row as a record has them; a teacher's hard label is one-hot."""
    probs = no_teacher(num_classes)
    if teacher:
        probs[row.label] = 1.0
    return {
        "teacher_probs": probs,
        "teacher_label": row.label if teacher else UNKNOWN,
        "human_label": UNKNOWN if teacher else row.label,
    }
