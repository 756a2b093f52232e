"""Builder of `t4sa`: the training sets of the original system, as their lists are or split anew."""

import dataclasses
from collections.abc import Iterator, Sequence

import polars as pl
import tensorflow_datasets as tfds

from input_pipeline.builder import RecordBuilder, records_of_rows
from input_pipeline.original_tree import MERGED_OF, PARTS, T4SA, check_files, read_set
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, Record
from input_pipeline.splits import merge, split_groups, split_rows
from input_pipeline.tables import Row
from vit_sentiment.runtime.progress import say

SPLITS_BY = ("given", "image", "tweet")

SEED = 42
"""The original's seed of its first split; its second one has none, ours has the same."""


@dataclasses.dataclass(eq=False)
class T4saConfig(tfds.core.BuilderConfig):
    """Which set, and how its rows become parts.

    Attributes:
      listed: one of `original_tree.T4SA`.
      root: the original's `dataset/` folder.
      images: folder that all paths are relative to, or None for the tree's own.
      split_by: `given`: the lists' own train, val and test. `image`: all rows are split anew as
        the original did it, 80/10/10 by label, so photos of a tweet may be parted; `merged` is
        made from its two sources in this way, former B-T4SA test photos in training included.
        `tweet`: no tweet is in two parts; in `merged`, B-T4SA keeps its own parts and only T4SA 2.0
        is split, so nothing that B-T4SA holds out is trained on.
      seed: of `image` and `tweet`.
      on_error: `fail` or `skip`.
    """

    listed: str = ""
    root: str = ""
    images: str | None = None
    split_by: str = "given"
    seed: int = SEED
    on_error: str = "fail"


def config_name(listed: str, split_by: str) -> str:
    """The folder's name: the set's, with the way in which it was split unless that is given."""
    return listed if split_by == "given" else f"{listed}_by_{split_by}"


class T4sa(RecordBuilder):
    """Photos of tweets under the labels that a text teacher gave to the tweets.

    The lists have hard labels only, so `teacher_probs` is one-hot. There are no human labels.
    """

    def __init__(self, *, config: T4saConfig, **kwargs) -> None:
        super().__init__(config=config, **kwargs)
        self.problems = Problems(config.on_error)
        self._rows: dict[str, list[Row]] = {}

    def splits_to_write(self) -> Sequence[str]:
        config = self.builder_config
        if config.split_by not in SPLITS_BY:
            raise ValueError(f"split_by: expected one of {SPLITS_BY}, found {config.split_by!r}")
        for name in self._sources():
            check_files(T4SA[name], config.root, PARTS, name=name, images=config.images)
        if config.split_by == "given":
            self._rows = {part: self._read(config.listed, [part]) for part in PARTS}
        elif config.split_by == "image":
            rows = [row for name in self._sources() for row in self._read(name)]
            parts = split_rows(_table(rows), "label", config.seed)
            self._rows = _select(rows, parts)
        elif config.listed == "merged":
            self._rows = self._merged_by_tweet()
        else:
            self._rows = self._by_tweet(config.listed)
        _warn_of_parted_tweets(self._rows)
        return list(self._rows)

    def count(self, split: str) -> int:
        return len(self._rows[split])

    def records(self, split: str) -> Iterator[Record]:
        return records_of_rows(
            self._rows[split], self.problems, teacher=True, num_classes=len(CLASSES)
        )

    def _sources(self) -> Sequence[str]:
        """Names of the sets whose lists are read."""
        config = self.builder_config
        made = config.listed == "merged" and config.split_by != "given"
        return MERGED_OF if made else (config.listed,)

    def _read(self, listed: str, parts: Sequence[str] = tuple(PARTS)) -> list[Row]:
        config = self.builder_config
        return read_set(
            T4SA[listed], config.root, parts, self.problems, name=listed, images=config.images
        )

    def _by_tweet(self, listed: str) -> dict[str, list[Row]]:
        rows = self._read(listed)
        parts = split_groups(_table(rows), "group", "label", self.builder_config.seed)
        return _select(rows, parts)

    def _merged_by_tweet(self) -> dict[str, list[Row]]:
        new, old = MERGED_OF
        rows = self._read(new)
        sources = [split_groups(_table(rows), "group", "label", self.builder_config.seed), {}]
        for part in PARTS:
            own = self._read(old, [part])
            sources[1][part] = _table(own, len(rows))
            rows += own
        return _select(rows, merge(sources))


def _table(rows: Sequence[Row], first: int = 0) -> pl.DataFrame:
    """What a split looks at; rows have the numbers from `first` on."""
    return pl.DataFrame(
        {
            "number": range(first, first + len(rows)),
            "id": [row.id for row in rows],
            "group": [row.group for row in rows],
            "label": [row.label for row in rows],
        }
    )


def _select(rows: Sequence[Row], parts: dict[str, pl.DataFrame]) -> dict[str, list[Row]]:
    return {part: [rows[number] for number in table["number"]] for part, table in parts.items()}


def _warn_of_parted_tweets(parts: dict[str, list[Row]]) -> None:
    tweets = [{row.group for row in rows} for rows in parts.values()]
    parted = sum(map(len, tweets)) - len(set().union(*tweets))
    if parted:
        say(
            f"warning: {parted} tweets have photos in more than one part, so figures will flatter; "
            "--split_by=tweet keeps them together"
        )
