"""Removes tweets from a dataset that `distill` wrote, and from what it left beside it.

  python -m vit_sentiment.distill purge runs/data/tweets --ids=deleted.txt --dry_run
  python -m vit_sentiment.distill purge runs/data/tweets --ids=deleted.txt

Afterwards no photo, id, label, probability or group name of these tweets is in the dataset or in
the tables of its folder; all other records stay as they are, byte for byte. The card tells how many
went on which day. An interrupted purge is run again.

Exit code 1 also means that a file that is no table still names one of these tweets.
"""

import datetime
import pathlib

from absl import flags

IDS = flags.DEFINE_string(
    "ids",
    None,
    "Ids of tweets or photos: one a line (.txt), or a table with a column tweet or id.",
    required=True,
)
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Tell what would go, and change nothing.")

GROUPS = {
    "Data": (IDS,),
    "Running": (DRY_RUN,),
}

ARGUMENTS = ("DATASET",)


def main(dataset: str) -> None:
    from vit_sentiment.distillation import purging

    ids = _read_ids(pathlib.Path(IDS.value))
    today = datetime.date.today().isoformat()
    counts = purging.purge(purging.find(dataset), ids, today, DRY_RUN.value)
    for name, count in counts.items():
        print(f"{name:26} {count:>9,}")


def _read_ids(path: pathlib.Path) -> list[str]:
    from input_pipeline.problems import Problems
    from input_pipeline.table_files import read_table, table_suffix
    from vit_sentiment.runtime.errors import UserError

    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if table_suffix(path):
        rows = [row for _, row in read_table(path, Problems())]
        columns = [name for name in ("tweet", "id") if rows and name in rows[0]]
        if rows and not columns:
            raise UserError(f"{path}: no column 'tweet' or 'id'; found: {', '.join(rows[0])}")
        ids = [row[columns[0]] for row in rows]
    else:
        try:
            ids = path.read_text(encoding="utf-8-sig").split()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: expected a text file in UTF-8; {error}") from error
    ids = [name for name in ids if name]
    if not ids:
        raise UserError(f"{path}: no ids in it")
    return ids
