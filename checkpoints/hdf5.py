"""HDF5 files of strangers: the arrays in them, and nothing that leads out of the file."""

import contextlib
import dataclasses
import os
from collections.abc import Collection, Iterator, Mapping

import h5py
import numpy as np

from vit_sentiment.runtime.errors import UserError

SUFFIXES = (".h5", ".hdf5")
SIGNATURE = b"\x89HDF\r\n\x1a\n"
LONGEST_TEXT = 1 << 24
"""Bytes of an attribute; the description of the largest ViT takes 2e4."""
MOST_UNPACKED = 16
"""Bytes that a byte of a file may unpack to; weights hardly compress at all."""


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is below a group; names are '/'-joined paths from it.

    Attributes:
      arrays: datasets of numbers, not yet read.
      groups: names of the groups.
      problems: what is neither, a line each: links, other types, data in other files.
    """

    arrays: Mapping[str, h5py.Dataset]
    groups: frozenset[str]
    problems: tuple[str, ...]


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether a file starts as HDF5 files do."""
    try:
        with open(path, "rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """The file, for reading.

    Raises:
      UserError: one line with the file's name if it is missing, no HDF5 file, truncated or
        damaged; also where the damage shows while the file is in use.
    """
    with open(path, "rb") as plain:
        head = plain.read(len(SIGNATURE))
    if head != SIGNATURE:
        found = f"it starts with {head!r}" if head else "the file is empty"
        raise UserError(f"{path}: not an HDF5 file: {found}")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # h5py has no type of its own.
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: damaged or unsupported HDF5 file: {reason}") from error


def member(group: h5py.Group, name: str) -> h5py.Group | None:
    """A group in a group, which must not be a link to elsewhere; None where there is none."""
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink) or not isinstance(group[name], h5py.Group):
        raise UserError(f"{name}: expected a group, found a link or data")
    return group[name]


def contents(group: h5py.Group, *, leave_out: Collection[str] = ()) -> Contents:
    """Lists what is below a group, without its members named in `leave_out`.

    Only hard links are followed: soft and external ones may lead anywhere.
    """
    arrays: dict[str, h5py.Dataset] = {}
    groups: set[str] = set()
    problems: list[str] = []
    pending = [(name, group) for name in group if name not in leave_out]
    seen = {h5py.h5o.get_info(group.id).addr}  # A hard link may lead back to where we are.
    while pending:
        path, parent = pending.pop()
        name = path.rpartition("/")[2]
        if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
            problems.append(f"link, which is not followed: {path}")
            continue
        item = parent[name]
        address = h5py.h5o.get_info(item.id).addr
        if isinstance(item, h5py.Group):
            groups.add(path)
            if address not in seen:
                seen.add(address)
                pending += [(f"{path}/{below}", item) for below in item]
        elif not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu" or not item.shape:
            problems.append(f"not an array of numbers: {path}")
        elif item.external or item.is_virtual:
            problems.append(f"data in another file, which is not opened: {path}")
        else:
            arrays[path] = item
    return Contents(arrays, frozenset(groups), tuple(sorted(problems)))


def read_arrays(arrays: Mapping[str, h5py.Dataset], size: int) -> dict[str, np.ndarray]:
    """The arrays as float32.

    Args:
      size: of the file in bytes; arrays that were never written, or are packed like no weights
        are, would be far larger.
    """
    unpacked = sum(array.nbytes for array in arrays.values())
    if unpacked > MOST_UNPACKED * size:
        raise UserError(f"its arrays would be {unpacked:,} bytes, the file is {size:,}")
    return {name: array[()].astype(np.float32) for name, array in arrays.items()}


def text(file: h5py.File, name: str) -> str | None:
    """A text attribute of a file; None where it has none."""
    if name not in file.attrs:
        return None
    attribute = file.attrs.get_id(name)
    if attribute.shape != () or attribute.get_storage_size() > LONGEST_TEXT:
        raise UserError(f"attribute {name}: expected one text of at most {LONGEST_TEXT:,} bytes")
    value = file.attrs[name]
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise UserError(f"attribute {name}: expected one text of at most {LONGEST_TEXT:,} bytes")
    return value
