"""The benchmarks of the original system by name, read from its `dataset/` tree.

Benchmarks of negative and positive photos come with human labels; the test sets of T4SA,
`t4sa/<set>:test`, have three classes and a text teacher's labels. Record k is line k of the list,
counted from 0 behind the header; photos of T4SA that are known to be corrupted are left out.
"""

from input_pipeline.original_tree import BENCHMARKS, T4SA, ListedSet, check_files, read_set
from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES
from input_pipeline.sources import Source, source_of_rows
from input_pipeline.tables import Row
from vit_sentiment.runtime.errors import UserError

ROOT = "dataset"
"""Where the original keeps its tree, relative to the working folder."""


def names() -> list[str]:
    """All names that `open_benchmark` takes."""
    return [*BENCHMARKS, *(f"t4sa/{name}:test" for name in T4SA)]


def splits_of(name: str) -> list[str]:
    """Names of a benchmark's splits: train, validation and test of `FI_split_<k>`, else test.

    Raises:
      UserError: there is no such benchmark.
    """
    return list(_find(name)[1])


def has_human_labels(name: str) -> bool:
    """Whether humans labelled the photos, as negative or positive; else a text teacher did."""
    return not _find(name)[0].teacher


def open_benchmark(
    name: str,
    root: str = ROOT,
    *,
    split: str = "test",
    images: str | None = None,
    problems: Problems | None = None,
) -> Source:
    """Opens a benchmark for reading, directly from the tree.

    Args:
      name: one of `names()`.
      root: the `dataset/` folder.
      split: see `splits_of`.
      images: folder that the paths in the list are relative to, instead of the tree's own.
      problems: what to do with bad rows; default: fail. Under `skip` a row whose photo is missing
        or damaged keeps its place and is masked by the loader.

    Raises:
      UserError: no such benchmark or split; files are missing, with a list of those expected and
        where they come from; a row cannot be used (`fail`).
    """
    rows = read_benchmark(name, root, split, problems or Problems(), images=images)
    title = name.removesuffix(":test")
    return source_of_rows(rows, title, split, CLASSES, teacher=not has_human_labels(name))


def read_benchmark(
    name: str, root: str, split: str, problems: Problems, *, images: str | None = None
) -> list[Row]:
    """The rows of a benchmark's split; arguments and errors as of `open_benchmark`."""
    listed, splits = _find(name)
    if split not in splits:
        raise UserError(f"{name}: no split {split!r}; there are: {', '.join(splits)}")
    return read_set(listed, root, [split], problems, name=name, images=images, keep_missing=True)


def check_benchmark(name: str, root: str, *, images: str | None = None) -> None:
    """Raises UserError that lists the files of all splits unless all are there."""
    listed, splits = _find(name)
    check_files(listed, root, splits, name=name, images=images)


def _find(name: str) -> tuple[ListedSet, tuple[str, ...]]:
    if name in BENCHMARKS:
        return BENCHMARKS[name], tuple(BENCHMARKS[name].lists)
    if name in names():
        return T4SA[name.removeprefix("t4sa/").removesuffix(":test")], ("test",)
    raise UserError(f"no benchmark {name!r}; there are: {', '.join(names())}")
