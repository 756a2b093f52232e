"""Builder of `labelled_images`: a table, or a folder per class, for each split."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import tensorflow_datasets as tfds

from input_pipeline.builder import RecordBuilder, records_of_rows
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, Record
from input_pipeline.tables import DEFAULT_COLUMNS, Columns, Row, read_rows
from vit_sentiment.runtime.progress import say


@dataclasses.dataclass(eq=False)
class LabelledImagesConfig(tfds.core.BuilderConfig):
    """Where the lists are and how to read them, see `tables.read_rows`.

    Attributes:
      splits: split name to table or folder.
      images: folder that paths are relative to, or None for the table's own.
      columns: column names.
      classes: class names in the order of the labels.
      teacher: whether the labels are a teacher's, so that a student may train on them.
      on_error: `fail` or `skip`.
    """

    splits: Mapping[str, str] = dataclasses.field(default_factory=dict)
    images: str | None = None
    columns: Columns = DEFAULT_COLUMNS
    classes: Sequence[str] = CLASSES
    teacher: bool = False
    on_error: str = "fail"


class LabelledImages(RecordBuilder):
    """Photos with one label each, from a table or a folder per class."""

    def __init__(self, *, config: LabelledImagesConfig, **kwargs) -> None:
        super().__init__(config=config, **kwargs)
        self.problems = Problems(config.on_error)
        self._rows: dict[str, list[Row]] = {}

    @property
    def classes(self) -> Sequence[str]:
        return self.builder_config.classes

    def splits_to_write(self) -> Sequence[str]:
        config = self.builder_config
        self._rows = {
            split: read_rows(
                path,
                self.problems,
                images=config.images,
                columns=config.columns,
                classes=config.classes,
            )
            for split, path in config.splits.items()
        }
        files = [{row.path.resolve() for row in rows} for rows in self._rows.values()]
        shared = sum(map(len, files)) - len(set().union(*files))
        if shared:
            say(f"warning: {shared} photo files are in more than one split; figures will flatter")
        return list(self._rows)

    def count(self, split: str) -> int:
        return len(self._rows[split])

    def records(self, split: str) -> Iterator[Record]:
        config = self.builder_config
        return records_of_rows(
            self._rows[split],
            self.problems,
            teacher=config.teacher,
            num_classes=len(config.classes),
        )
