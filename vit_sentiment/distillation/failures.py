"""The photos that could not be fetched, kept beside those that could."""

import pathlib
import time

import numpy as np
import polars as pl

from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

FAILURES = {
    "id": pl.String,
    "tweet": pl.String,
    "url": pl.String,
    "attempts": pl.Int32,  # Of the run that tried last; 0: nothing was asked for.
    "status": pl.Int32,  # Of the last answer; null: there was none.
    "error": pl.String,
    "final": pl.Boolean,  # Asking again will not help.
}
"""One row a photo that has a URL and did not come."""

FAILURES_FILE = "failures.parquet"
SAVE_SECONDS = 30.0
"""Between two savings of the failures; what a killed run lost of them is asked for again."""


class Failures:
    """Of this run and earlier ones, those of other photos included."""

    def __init__(self, path: pathlib.Path, wanted: pl.DataFrame, here: np.ndarray) -> None:
        self._path, self._wanted, self._here = path, wanted, here
        self._table = pl.DataFrame(schema=FAILURES)
        if path.exists():
            try:
                self._table = pl.read_parquet(path).select(*FAILURES).cast(FAILURES)
            except (OSError, pl.exceptions.PolarsError) as error:
                reason = " ".join(str(error).split())
                raise UserError(f"{path}: not readable ({reason}); delete it") from error
        self._new: list[tuple] = []
        self._saved = time.monotonic()

    def final(self) -> np.ndarray:
        """Which of the wanted photos failed for good at the same URL: bool [N]."""
        known = self._table.filter("final").select("id", "url", known=True)
        joined = self._wanted.join(known, on=["id", "url"], how="left", maintain_order="left")
        return joined["known"].fill_null(False).to_numpy()

    def add(self, *row: object) -> None:
        """The values of `FAILURES`."""
        self._new.append(row)
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """The last failure of each photo that is not on disk."""
        new, self._new = pl.DataFrame(self._new, FAILURES, orient="row"), []
        table = pl.concat([self._table, new]).unique("id", keep="last", maintain_order=True)
        arrived = self._wanted.filter(self._here)
        self._table = table.join(arrived, on="id", how="anti", maintain_order="left")
        if len(self._table) or self._path.exists():
            with files.replacing(self._path) as temporary:
                self._table.write_parquet(temporary)
        self._saved = time.monotonic()

    def of_wanted(self) -> pl.DataFrame:
        """Those of the wanted photos, in their order."""
        wanted = self._wanted.select("id")
        return wanted.join(self._table, on="id", how="inner", maintain_order="left")
