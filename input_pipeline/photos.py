"""Reading photo files and finding out, in threads, which of them decode."""

import concurrent.futures
import errno
import os
import pathlib
import stat
from collections.abc import Iterator, Sequence

from input_pipeline import pixels

WINDOW = 256
"""Photos in memory at a time."""


def cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read(path: pathlib.Path) -> bytes:
    """The bytes of a file; raises DecodeError where it cannot be read."""
    try:
        mode = path.stat().st_mode
        # A pipe may have no end, or nobody who writes into it.
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(errno.EINVAL, "a pipe or a device, expected a file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise pixels.DecodeError("no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name.
        reason = getattr(error, "strerror", None) or error
        raise pixels.DecodeError(f"cannot be read: {reason}") from error


def read_or_nothing(path: pathlib.Path) -> bytes:
    """The bytes of a file; none where it cannot be read."""
    try:
        return read(path)
    except pixels.DecodeError:
        return b""


def exists(path: pathlib.Path) -> bool:
    """Whether there is such a file; names that no file can have are not an error."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def examine(paths: Sequence[pathlib.Path]) -> Iterator[bytes | pixels.DecodeError]:
    """The bytes of each file, in order, or what is wrong with it."""

    def load(path: pathlib.Path) -> bytes | pixels.DecodeError:
        try:
            data = read(path)
            pixels.decode(data)
        except pixels.DecodeError as error:
            return error
        return data

    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(paths), WINDOW):
            yield from pool.map(load, paths[start : start + WINDOW])
