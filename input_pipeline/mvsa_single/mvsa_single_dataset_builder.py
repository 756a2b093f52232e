"""Builder of `mvsa_single`: the public MVSA-Single release (Niu et al., MMM 2016)."""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds

from input_pipeline import photos, pixels
from input_pipeline.builder import RecordBuilder
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES, Record, no_teacher
from vit_sentiment.runtime.errors import UserError

LABEL_FILES = ("labelResultAll.csv", "labelResultAll.txt")
"""The release's own name ends in .txt; copies that circulate have both."""


@dataclasses.dataclass(eq=False)
class MvsaSingleConfig(tfds.core.BuilderConfig):
    """Where the unpacked release is.

    Attributes:
      release: folder with the label file and `data/<id>.jpg`, `data/<id>.txt`.
      on_error: `fail` or `skip`.
    """

    release: str = ""
    on_error: str = "fail"


class MvsaSingle(RecordBuilder):
    """Tweets with a human label of the text and one of the photo, which is `human_label`."""

    WITH_TEXT = True

    def __init__(self, *, config: MvsaSingleConfig, **kwargs) -> None:
        super().__init__(config=config, **kwargs)
        self.problems = Problems(config.on_error)
        self._labels: list[tuple[str, str, int, int]] = []

    def splits_to_write(self) -> Sequence[str]:
        self._labels = list(read_labels(pathlib.Path(self.builder_config.release), self.problems))
        return ["tweets"]

    def count(self, split: str) -> int:
        return len(self._labels)

    def records(self, split: str) -> Iterator[Record]:
        data = pathlib.Path(self.builder_config.release) / "data"
        files = photos.examine([data / f"{id_}.jpg" for _, id_, _, _ in self._labels])
        for (where, id_, text_label, image_label), image in zip(self._labels, files, strict=True):
            if isinstance(image, pixels.DecodeError):
                self.problems.add(where, f"{data}/{id_}.jpg", str(image))
                continue
            text = data / f"{id_}.txt"
            try:
                words = decode_text(photos.read(text))
            except ValueError as error:
                self.problems.add(where, str(text), str(error))
                continue
            yield Record(
                image=image,
                id=f"{id_}-0",
                group=id_,
                teacher_probs=no_teacher(len(CLASSES)),
                human_label=image_label,
                text=words,
                text_label=text_label,
            )


def read_labels(release: pathlib.Path, problems: Problems) -> Iterator[tuple[str, str, int, int]]:
    """Yields (file:line, id, text label, image label) of the release's label file.

    Its lines read `ID<TAB>text,image`; some copies have commas throughout. The first line is a
    header.
    """
    files = [release / name for name in LABEL_FILES if (release / name).is_file()]
    if not files:
        raise UserError(f"{release}: expected {' or '.join(LABEL_FILES)} and a folder data/")
    seen: dict[str, str] = {}
    try:
        lines = decode_text(files[0].read_bytes()).splitlines()
    except ValueError as error:
        raise UserError(f"{files[0]}: neither UTF-8 nor GB18030") from error
    for number, line in enumerate(lines[1:], 2):
        where = f"{files[0]}:{number}"
        fields = [field.strip() for field in re.split(r"[\t,]", line)]
        if not line.strip():
            continue
        if len(fields) != 3 or not set(fields[1:]) <= set(CLASSES):
            known = ", ".join(CLASSES)
            problems.add(where, line, f"expected an id and two labels of {known}")
        elif fields[0] in seen:
            problems.add(where, fields[0], f"duplicate of {seen[fields[0]]}")
        else:
            seen[fields[0]] = where
            yield where, fields[0], CLASSES.index(fields[1]), CLASSES.index(fields[2])


def decode_text(data: bytes) -> str:
    """UTF-8, or GB18030 where it is not; raises ValueError where it is neither."""
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return data.decode("gb18030").strip()
