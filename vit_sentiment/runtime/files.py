"""Outputs appear under their name only when they are complete."""

import contextlib
import json
import os
import pathlib
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from vit_sentiment.runtime.errors import UserError

_UMASK = threading.Lock()
"""The umask is the process's: to read it is to set it, and threads write files too."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside `path` and renames it to `path` when the block succeeds.

    Of a symbolic link what it points to is replaced.

    Raises:
      UserError: `path` is a folder, a pipe or a device such as /dev/stdout.
    """
    target = pathlib.Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "a pipe or a device"
        raise UserError(f"{path or '.'}: {kind}, expected the name of a file")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix
    )
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        with _UMASK:
            umask = os.umask(0)
            os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only the owner reads.
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes indented JSON atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads JSON; raises UserError with file and line where it is broken."""
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON: {error}") from error
