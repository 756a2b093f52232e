"""Builder of `benchmark`: one benchmark of the original system, packed once."""

import dataclasses
import re
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds

from input_pipeline import benchmarks
from input_pipeline.builder import RecordBuilder, records_of_rows
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, Record
from input_pipeline.tables import Row


@dataclasses.dataclass(eq=False)
class BenchmarkConfig(tfds.core.BuilderConfig):
    """Which benchmark, and where its files are.

    Attributes:
      benchmark: one of `benchmarks.names()`.
      root: the original's `dataset/` folder.
      images: folder that the paths are relative to, or None for the tree's own.
      on_error: `fail` or `skip`.
    """

    benchmark: str = ""
    root: str = benchmarks.ROOT
    images: str | None = None
    on_error: str = "fail"


def config_name(benchmark: str) -> str:
    """The folder's name: `t4sa/bal:test` is written to `t4sa_bal_test`."""
    return re.sub(r"\W", "_", benchmark)


class Benchmark(RecordBuilder):
    """A benchmark of the original system, record by record as its list has them.

    With `on_error=skip` a photo that is missing or damaged is listed and keeps its place, so that
    a record's number is its row in the list; readers mask it.
    """

    def __init__(self, *, config: BenchmarkConfig, **kwargs) -> None:
        super().__init__(config=config, **kwargs)
        self.problems = Problems(config.on_error)
        self._rows: dict[str, list[Row]] = {}

    def splits_to_write(self) -> Sequence[str]:
        config = self.builder_config
        benchmarks.check_benchmark(config.benchmark, config.root, images=config.images)
        self._rows = {
            split: benchmarks.read_benchmark(
                config.benchmark, config.root, split, self.problems, images=config.images
            )
            for split in benchmarks.splits_of(config.benchmark)
        }
        return list(self._rows)

    def count(self, split: str) -> int:
        return len(self._rows[split])

    def records(self, split: str) -> Iterator[Record]:
        return records_of_rows(
            self._rows[split],
            self.problems,
            teacher=not benchmarks.has_human_labels(self.builder_config.benchmark),
            num_classes=len(CLASSES),
            keep_broken=True,
        )
