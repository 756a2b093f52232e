"""Writing splits of any size in the order in which they come.

TFDS collects a split before it writes it: up to a gigabyte in memory, beyond that in files that it
opens through TensorFlow, and sorts. Our records are in order already, so one plain file will do.
"""

import contextlib
import pathlib
import struct
import tempfile
from collections.abc import Iterator
from typing import Any
from unittest import mock

from tensorflow_datasets.core import shuffle

_LENGTH = struct.Struct("<Q")


class Spool:
    """Takes the place of TFDS' `Shuffler` and gives the examples back in order."""

    def __init__(self, dirpath: Any, **_: Any) -> None:
        # Unlinked at once: it is gone when the process is.
        self._file = tempfile.TemporaryFile(dir=pathlib.Path(dirpath))  # noqa: SIM115
        self.size = 0
        self.num_examples = 0

    @property
    def bucket_lengths(self) -> list[int]:
        """All examples are in one place."""
        return [self.num_examples]

    def add(self, key: int, data: bytes) -> None:
        """Appends a serialized example; keys count up from 0."""
        if key != self.num_examples:
            raise ValueError(f"example {key} came as number {self.num_examples}")
        self._file.write(_LENGTH.pack(len(data)))
        self._file.write(data)
        self.size += len(data)
        self.num_examples += 1

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        self._file.seek(0)
        for key in range(self.num_examples):
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            yield key, self._file.read(length)
        self._file.close()


def in_order() -> contextlib.AbstractContextManager[Any]:
    """While this is open, TFDS writes through a `Spool`."""
    return mock.patch.object(shuffle, "Shuffler", Spool)
