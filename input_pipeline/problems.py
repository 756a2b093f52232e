"""What to do with a row that cannot be used: fail at once, or skip, count and list."""

import csv
import dataclasses
import os

from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

POLICIES = ("fail", "skip")


@dataclasses.dataclass
class Problems:
    """Collects unusable rows; under the policy `fail` the first one raises.

    Attributes:
      on_error: `fail` or `skip`.
      rows: (where, path, problem) of each skipped row; `where` is file:line.
    """

    on_error: str = "fail"
    rows: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)

    def add(self, where: str, path: str, problem: str) -> None:
        """Notes a bad row; raises UserError under the policy `fail`."""
        if self.on_error == "fail":
            place = f"{where}: {path}" if path else where
            raise UserError(f"{place}: {problem}; --on_error=skip lists and skips such rows")
        self.note(where, path, problem)

    def note(self, where: str, path: str, problem: str) -> None:
        """Notes a row that is left out under either policy."""
        self.rows.append((where, path, problem))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the list as CSV and says how many there are; nothing when there are none."""
        if not self.rows:
            return
        with files.replacing(path) as temporary, open(temporary, "w", newline="") as file:
            csv.writer(file).writerows([("where", "path", "problem"), *self.rows])
        say(f"skipped {len(self.rows)} unusable rows; listed in {os.path.basename(path)}")
