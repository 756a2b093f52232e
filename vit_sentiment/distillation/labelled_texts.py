"""Tweets whose sentiment somebody labelled by their text: what a teacher is scored on."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, UNKNOWN
from input_pipeline.table_files import read_table, table_suffix
from input_pipeline.tables import label_indices
from vit_sentiment.runtime.errors import UserError

LABELS = ("text_label", "human_label")
"""Of a dataset: the first that any of its records has."""
_CODES = label_indices(CLASSES)
_TEXTS, _LABELS, _MAPPING = "_text.txt", "_labels.txt", "mapping.txt"


@dataclasses.dataclass(frozen=True)
class Columns:
    """Names of a table's columns; `id` need not be there."""

    id: str = "id"
    text: str = "text"
    label: str = "label"


DEFAULT_COLUMNS = Columns()


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """Tweets, in order.

    Attributes:
      ids: unique; numbers from 1 where the data has none.
      texts: as people wrote them.
      labels: class indices, int64 [N].
      label: what the labels are called in the data.
      unlabelled: rows that were left out since they have no label.
    """

    ids: list[str]
    texts: list[str]
    labels: np.ndarray
    label: str
    unlabelled: int = 0

    def take(self, rows: np.ndarray) -> "LabelledTexts":
        """Those of these numbers, in this order."""
        return dataclasses.replace(
            self,
            ids=[self.ids[row] for row in rows],
            texts=[self.texts[row] for row in rows],
            labels=self.labels[rows],
        )


_Rows = Iterator[tuple[str, str, str, str]]
"""Where, id, text and label."""


def read_labelled(
    data: str,
    problems: Problems,
    *,
    split: str | None = None,
    columns: Columns = Columns(),
    data_dir: str = "",
) -> LabelledTexts:
    """Reads labelled tweets.

    Args:
      data: a table, see `read_table`; a folder as TweetEval has it (Barbieri et al., 2020),
        with SPLIT_text.txt, SPLIT_labels.txt and mapping.txt; or a dataset with texts, by its
        folder or its name below `data_dir`.
      split: default: test, or the only one.
      problems: takes rows without a text, or with an unknown label, or listed twice.

    Raises:
      UserError: nothing of the kind is there; no usable row is left.
    """
    path = pathlib.Path(data)
    if table_suffix(path):
        if split:
            raise UserError(f"{data}: a table has no splits, found --split={split}")
        return _usable(data, _table(path, columns, problems), columns.label, _CODES, problems)
    if path.is_dir() and (splits := _splits(path)):
        split = split or ("test" if "test" in splits or len(splits) > 1 else splits[0])
        if split not in splits:
            raise UserError(f"{data}: no split {split!r}; there are: {', '.join(splits)}")
        codes = _mapping(path / _MAPPING) if (path / _MAPPING).exists() else _CODES
        return _usable(data, _lines(path, split), split + _LABELS, codes, problems)
    return _dataset(data, split, data_dir, problems)


def _table(path: pathlib.Path, columns: Columns, problems: Problems) -> _Rows:
    rows = read_table(path, problems, required=(columns.text, columns.label))
    for number, (where, row) in enumerate(rows, 1):
        yield where, row.get(columns.id, str(number)), row[columns.text], row[columns.label]


def _splits(folder: pathlib.Path) -> list[str]:
    return sorted(path.name.removesuffix(_TEXTS) for path in folder.glob(f"*{_TEXTS}"))


def _lines(folder: pathlib.Path, split: str) -> _Rows:
    path = folder / (split + _TEXTS)
    texts, labels = _read_lines(path), _read_lines(folder / (split + _LABELS))
    if len(texts) != len(labels):
        raise UserError(f"{path}: has {len(texts)} lines for {len(labels)} of {split}{_LABELS}")
    for number, (text, label) in enumerate(zip(texts, labels, strict=True), 1):
        yield f"{path}:{number}", str(number), text, label


def _read_lines(path: pathlib.Path) -> list[str]:
    """Lines that end in a line feed alone: tweets may hold what else Unicode counts as an end."""
    try:
        return path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from error


def _mapping(path: pathlib.Path) -> dict[str, int]:
    """Class indices by the codes of a mapping.txt: lines of a code and a name."""
    lines = [line.split() for line in _read_lines(path)]
    codes = {line[0]: line[1].lower() for line in lines if len(line) == 2}
    if sorted(codes.values()) != sorted(CLASSES):
        raise UserError(
            f"{path}: expected a code and a name for each of {', '.join(CLASSES)}, found "
            f"{', '.join(codes.values()) or 'none'}"
        )
    return {code: CLASSES.index(name) for code, name in codes.items()}


def _usable(
    data: str, rows: _Rows, label: str, codes: Mapping[str, int], problems: Problems
) -> LabelledTexts:
    ids: dict[str, None] = {}
    texts, labels = [], []
    for where, id_, text, name in rows:
        if not text.strip():
            problems.add(where, id_, "no text")
        elif (code := codes.get(name.strip().lower())) is None:
            known = ", ".join(CLASSES)
            problems.add(where, id_, f"unknown label {name!r}; classes: {known}, or 0, 1, 2")
        elif id_ in ids:
            problems.add(where, id_, "listed twice; the first is kept")
        else:
            ids[id_] = None
            texts.append(text)
            labels.append(code)
    if not ids:
        raise UserError(f"{data}: no row has a text and a label")
    return LabelledTexts([*ids], texts, np.array(labels, np.int64), label)


def _dataset(name: str, split: str | None, data_dir: str, problems: Problems) -> LabelledTexts:
    from input_pipeline.sources import choose_split, open_source

    source = open_source(name, choose_split(name, split, "test", data_dir), data_dir=data_dir)
    if source.classes != CLASSES or "text" not in source.data.__getitems__([0])[0]:
        raise UserError(f"{name}: its records have no text of the classes {', '.join(CLASSES)}")
    rows = {}
    for record in source.records():  # Photos of a tweet share its text.
        rows.setdefault(record.group, (record.text, record.text_label, record.human_label))
    for place, label in enumerate(LABELS, 1):
        if labelled := {id_: row for id_, row in rows.items() if row[place] != UNKNOWN}:
            found = ((name, id_, row[0], str(row[place])) for id_, row in labelled.items())
            read = _usable(name, found, label, _CODES, problems)
            return dataclasses.replace(read, unlabelled=len(rows) - len(labelled))
    raise UserError(f"{name}: no record has a {' or a '.join(LABELS)}")
