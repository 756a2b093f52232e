"""Scored photos as Parquet shards with checksums.

A shard's checksum is there before the shard is, in the format of `sha256sum`; once all shards are,
one file has them all. So a shard that is there with its checksum is finished, and any other is made
again. Its bytes depend on its rows, the model and the settings alone.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vit_sentiment.evaluation.judge import COLUMNS
from vit_sentiment.inference.decision import ABSTAINED
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

CHECKSUMS = "SHA256SUMS"
METADATA = b"vit_sentiment"
"""Key of the Parquet metadata: JSON of what the shard was made from."""

_OTHERS = ("path", "label", "confidence", "error", "features")
_LEVEL = 3
"""Of zstd: its default, written out since bytes must stay the same."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """What the model says of some photos, in order; rows with an error mean nothing.

    Attributes:
      probs: float32 [N, C].
      label: class number [N], or `ABSTAINED`.
      confidence: float32 [N].
      errors: why a photo cannot be read, or None [N].
      features: float32 [N, D], or None where they are not wanted.
    """

    probs: np.ndarray
    label: np.ndarray
    confidence: np.ndarray
    errors: Sequence[str | None]
    features: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Shards:
    """The files of a folder that hold a list, some rows in each.

    Attributes:
      folder: of them.
      total: how many there are when all are made.
      classes: names, in the order of the probabilities.
      facts: JSON values that they are made from; stands in each.
    """

    folder: pathlib.Path
    total: int
    classes: tuple[str, ...]
    facts: Mapping[str, Any]

    def __post_init__(self) -> None:
        names = [*class_columns(self.classes), *_OTHERS]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"the model has a class {twice[0]!r}, which is a column of the shards")

    def path(self, number: int) -> pathlib.Path:
        """The file of a shard."""
        return self.folder / f"part-{number:05}-of-{self.total:05}.parquet"

    def write(self, number: int, paths: Sequence[str], scored: Scored) -> None:
        """Writes the checksum of a shard, then the shard."""
        with files.replacing(self.path(number)) as temporary:
            pq.write_table(
                self._table(paths, scored),
                temporary,
                compression="zstd",
                compression_level=_LEVEL,
                use_dictionary=["label", "error"],
            )
            _write_checksums(self._checksum(number), {self.path(number).name: _hash(temporary)})

    def whole(self, numbers: Sequence[int]) -> Iterator[bool]:
        """Whether each of some shards, which must be there, is as it was written."""
        known = self.checksums()
        for number in numbers:
            path = self.path(number)
            yield known.get(path.name) == _hash(path)

    def checksums(self) -> dict[str, str]:
        """The known checksum of each file by name."""
        known = _read_checksums(self.folder / CHECKSUMS)
        for number in range(self.total):
            known |= _read_checksums(self._checksum(number))
        return known

    def seal(self) -> None:
        """Puts the checksums of all shards, which must be there, into one file."""
        names = [self.path(number).name for number in range(self.total)]
        known = self.checksums()
        _write_checksums(self.folder / CHECKSUMS, {name: known[name] for name in names})
        for number in range(self.total):
            self._checksum(number).unlink(missing_ok=True)

    def _checksum(self, number: int) -> pathlib.Path:
        return self.path(number).with_suffix(".sha256")

    def _table(self, paths: Sequence[str], scored: Scored) -> pa.Table:
        bad = np.array([error is not None for error in scored.errors])
        unlabelled = bad | (scored.label == ABSTAINED)
        columns = {"path": pa.array(map(_as_text, paths), pa.string())}
        for number, name in enumerate(class_columns(self.classes)):
            columns[name] = pa.array(scored.probs[:, number], pa.float32(), mask=bad)
        labels = np.array(self.classes, object)[scored.label]
        columns["label"] = pa.array(labels, pa.string(), mask=unlabelled)
        columns["confidence"] = pa.array(scored.confidence, pa.float32(), mask=bad)
        columns["error"] = pa.array(scored.errors, pa.string())
        if scored.features is not None:
            columns["features"] = pa.FixedSizeListArray.from_arrays(
                pa.array(scored.features.ravel(), pa.float32()),
                scored.features.shape[1],
                mask=pa.array(bad),
            )
        return pa.table(columns, metadata={METADATA: json.dumps(dict(self.facts)).encode()})


def class_columns(classes: Sequence[str]) -> list[str]:
    """Names of the columns of probabilities: those of our files of predictions."""
    return [COLUMNS.get(name, name) for name in classes]


def _as_text(path: str) -> str:
    """A name that is not UTF-8 with a question mark for what is not."""
    return path.encode(errors="replace").decode()


def _hash(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_checksums(path: pathlib.Path, known: Mapping[str, str]) -> None:
    files.write_text(path, "".join(f"{value}  {name}\n" for name, value in known.items()))


def _read_checksums(path: pathlib.Path) -> dict[str, str]:
    """Name to checksum; a damaged line vouches for nothing."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {name: value for value, _, name in (line.partition("  ") for line in lines)}
