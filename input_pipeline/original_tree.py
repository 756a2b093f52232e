"""The `dataset/` tree of the original system (T4SA 2.0): which lists it has and how to read them.

Lists and folders are named as in the repository codiceSpaghetti/T4SA-2.0; there the T4SA lists
come without photos, which this project expects in `t4sa 1.0/images/data/...` and
`t4sa 2.0/images/...` (or all below one folder, as the original's training script has them).
"""

import dataclasses
import pathlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from input_pipeline.problems import Problems
from input_pipeline.tables import Entry, Row, label_codes, table_entries, usable_rows
from vit_sentiment.runtime.errors import UserError

PARTS = {"train": "train", "validation": "val", "test": "test"}
"""Our names of the parts and the ones in the original's file names."""

KNOWN_CORRUPTED = frozenset({"data/78439/784393626990194689-4.jpg"})
"""Photos of B-T4SA that are corrupted in the release itself; the original skipped them, too."""

_REPOSITORY = "https://github.com/codiceSpaghetti/T4SA-2.0, folder dataset/"
_B_T4SA = f"{_REPOSITORY} (lists, without train); http://www.t4sa.it (b-t4sa_imgs, train list)"
_T4SA_2 = f"{_REPOSITORY} (lists of val and test); train lists and photos from the authors"

BINARY = {0: 0, 1: 2}
FI = {0: 0, 2: 2}
THREE = {0: 0, 1: 1, 2: 2}
"""The lists' class codes and our classes (negative, neutral, positive)."""


@dataclasses.dataclass(frozen=True)
class ListedSet:
    """Some lists of the tree that belong together.

    Attributes:
      lists: split name to file below the tree.
      images: folder of the photos below the tree, by how the paths in the list begin.
      codes: the lists' numeric labels and our class indices.
      origin: where lists and photos come from.
      delimiter: between the fields of a line.
      header: names of the columns where the lists have no line with them.
      teacher: whether a text teacher gave the labels, else humans who saw the photo.
      leave_out: ids of photos that are known to be corrupted.
    """

    lists: Mapping[str, str]
    images: Mapping[str, str]
    codes: Mapping[int, int]
    origin: str
    delimiter: str = ","
    header: tuple[str, ...] | None = None
    teacher: bool = False
    leave_out: frozenset[str] = frozenset()


def _benchmark(folder: str, codes: Mapping[int, int], lists: Mapping[str, str]) -> ListedSet:
    folder = f"benchmark/{folder}"
    files = {split: f"{folder}/{name}" for split, name in lists.items()}
    return ListedSet(files, {"": f"{folder}/images"}, codes, f"{_REPOSITORY} (lists and photos)")


def _one_list(folder: str, codes: Mapping[int, int], *names: str) -> dict[str, ListedSet]:
    return {name: _benchmark(folder, codes, {"test": f"{name}.csv"}) for name in names}


def _fi_split(number: int) -> ListedSet:
    files = {part: f"split_{number}/FI_{short}.csv" for part, short in PARTS.items()}
    return _benchmark("FI", FI, files)


BENCHMARKS: Mapping[str, ListedSet] = {
    **_one_list("Twitter Testing Dataset I", BINARY, "5agree", "4agree", "3agree"),
    **_one_list("Twitter Testing Dataset II", BINARY, "twitter_testing_2"),
    **_one_list(
        "EmotionROI", BINARY, "emotion_ROI_test", "emotion_ROI_train", "emotion_ROI_complete"
    ),
    **_one_list("FI", FI, "FI_complete"),
    **{f"FI_split_{number}": _fi_split(number) for number in range(1, 6)},
}
"""Photos that humans labelled as negative or positive; a set of one list has the split `test`."""

_OLD_IMAGES = "t4sa 1.0/images"
_NEW_IMAGES = "t4sa 2.0/images"


def _b_t4sa(folder: str, suffix: str, delimiter: str, header: tuple[str, ...] | None) -> ListedSet:
    return ListedSet(
        {part: f"t4sa 1.0/{folder}/b-t4sa_{short}{suffix}" for part, short in PARTS.items()},
        {"": _OLD_IMAGES},
        THREE,
        _B_T4SA,
        delimiter,
        header,
        teacher=True,
        leave_out=KNOWN_CORRUPTED,
    )


def _t4sa_2(name: str, images: Mapping[str, str]) -> ListedSet:
    return ListedSet(
        {part: f"t4sa 2.0/{name}/{name}_{short}.csv" for part, short in PARTS.items()},
        images,
        THREE,
        _T4SA_2,
        teacher=True,
        leave_out=KNOWN_CORRUPTED,
    )


_UPDATED = "dataset with new labels/b-t4sa1.0 updated"

T4SA: Mapping[str, ListedSet] = {
    "b_t4sa_1_0": _b_t4sa("original dataset/b-t4sa 1.0", ".txt", " ", ("path", "label")),
    "b_t4sa_1_0_upd": _b_t4sa(_UPDATED, ".tsv", "\t", None),
    "b_t4sa_1_0_upd_filt": _b_t4sa(f"{_UPDATED} and filtered", ".tsv", "\t", None),
    "unb": _t4sa_2("unb_T4SA2.0", {"": _NEW_IMAGES}),
    "bal": _t4sa_2("bal_T4SA2.0", {"": _NEW_IMAGES}),
    "bal_flat": _t4sa_2("bal_flat_T4SA2.0", {"": _NEW_IMAGES}),
    "merged": _t4sa_2("merged_T4SA", {"data/": _OLD_IMAGES, "": _NEW_IMAGES}),
}
"""Photos of tweets under the labels that a text teacher gave to the tweets."""

MERGED_OF = ("unb", "b_t4sa_1_0_upd_filt")
"""The sets that the original joined, in this order, before it split `merged` anew."""


def read_set(
    listed: ListedSet,
    root: str,
    splits: Collection[str],
    problems: Problems,
    *,
    name: str,
    images: str | None = None,
    keep_missing: bool = False,
) -> list[Row]:
    """Reads the lists of `splits`, one after the other, as one list.

    Args:
      root: the `dataset/` folder.
      images: folder that all paths are relative to, instead of the set's own.
      keep_missing: see `tables.usable_rows`.

    Raises:
      UserError: files are missing, told with all that are expected and where they come from; or
        nothing usable is there.
    """
    check_files(listed, root, splits, name=name, images=images)
    codes = ", ".join(map(str, listed.codes))
    return usable_rows(
        _entries(listed, pathlib.Path(root), splits, problems, images),
        problems,
        labels=label_codes(listed.codes),
        known=codes,
        name=name,
        leave_out=listed.leave_out,
        keep_missing=keep_missing,
    )


def check_files(
    listed: ListedSet, root: str, splits: Collection[str], *, name: str, images: str | None = None
) -> None:
    """Raises UserError that lists every expected file unless all are there."""
    lists = [pathlib.Path(root, listed.lists[split]) for split in splits]
    folders = [images] if images else [f"{root}/{folder}" for folder in listed.images.values()]
    missing = [path for path in lists if not path.is_file()]
    missing += [path for path in map(pathlib.Path, folders) if not path.is_dir()]
    if missing:
        expected: Sequence[pathlib.Path] = [*lists, *map(pathlib.Path, folders)]
        lines = [f"{name}: {len(missing)} of {len(expected)} files and folders are missing"]
        lines += [f"  {'missing' if p in missing else 'found'}: {p}" for p in expected]
        raise UserError("\n".join([*lines, f"  from: {listed.origin}"]))


def _entries(
    listed: ListedSet,
    root: pathlib.Path,
    splits: Collection[str],
    problems: Problems,
    images: str | None,
) -> Iterator[Entry]:
    folders = {start: pathlib.Path(images or root / to) for start, to in listed.images.items()}

    def locate(path: str) -> pathlib.Path:
        return next(folder for start, folder in folders.items() if path.startswith(start)) / path

    for split in splits:
        yield from table_entries(
            root / listed.lists[split],
            problems,
            locate,
            delimiter=listed.delimiter,
            header=listed.header,
        )
