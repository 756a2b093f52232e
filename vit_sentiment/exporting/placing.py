"""Outputs of several files that appear together, or not at all."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

from vit_sentiment.runtime.errors import UserError


@contextlib.contextmanager
def together(out: pathlib.Path, names: Sequence[pathlib.Path]) -> Iterator[pathlib.Path]:
    """Yields the path to write instead of `out`; what lies beside it then goes to where `out` is.

    Args:
      names: all that may be written, `out` among it.

    Raises:
      UserError: one of them exists; nothing is overwritten.
    """
    for path in names:
        if path.exists():
            raise UserError(f"{path}: exists, and is not overwritten")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        yield pathlib.Path(folder, out.name)
        for path in sorted(pathlib.Path(folder).iterdir()):
            path.rename(out.parent / path.name)
