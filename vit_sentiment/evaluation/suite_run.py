"""Running models over benchmarks, and scoring files of predictions."""

import collections
import csv
import difflib
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from input_pipeline import benchmarks
from input_pipeline.original_tree import KNOWN_CORRUPTED
from input_pipeline.problems import Problems
from input_pipeline.sources import Source
from vit_sentiment.evaluation import judge, prediction_files, suite
from vit_sentiment.evaluation.suite import Scored
from vit_sentiment.inference.model import Model
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

ORIGINAL_SUITE = (
    "5agree",
    "4agree",
    "3agree",
    "twitter_testing_2",
    "emotion_ROI_test",
    "FI_complete",
)
"""The benchmarks that the original's README offers; `all` stands for them."""
PREDICTIONS_FOLDER = "predictions"


def expand(names: Sequence[str]) -> list[str]:
    """Benchmarks by name, `all` being those of the original; each once, in the order given.

    Raises:
      UserError: a name is unknown.
    """
    expanded = [n for name in names for n in (ORIGINAL_SUITE if name == "all" else [name])]
    for name in expanded:
        if name not in benchmarks.names():
            near = difflib.get_close_matches(name, benchmarks.names(), 3, 0.0)
            raise UserError(f"--benchmark={name}: unknown; nearest: {', '.join(near)}")
    return list(dict.fromkeys(expanded))


def is_predictions(name: str) -> bool:
    """Whether FILE or NAME=FILE is a file of predictions, by its ending."""
    return pathlib.Path(file_of(name)).suffix in prediction_files.SUFFIXES


def file_of(name: str) -> str:
    """FILE of NAME=FILE, unless there is a file of this very name."""
    _, separator, file = name.partition("=")
    return file if separator and not pathlib.Path(name).exists() else name


def system_name(model: str) -> str:
    """How a model is named in tables and files: NAME of NAME=FILE, the last part of a path."""
    if file_of(model) != model:
        return model.partition("=")[0]
    return pathlib.Path(model).name or model


def system_names(systems: Iterable[str]) -> dict[str, str]:
    """The name of each; those that would share one are told apart by their whole path.

    Raises:
      UserError: a system is given twice, or two have the same NAME.
    """
    short = {}
    places = set()
    for system in systems:
        label = system_name(system) if file_of(system) != system else ""
        place = label, os.path.realpath(file_of(system))
        if place in places:
            raise UserError(f"{system} is given twice; a system is compared with others")
        places.add(place)
        short[system] = system_name(system)
    shared = {name for name, count in collections.Counter(short.values()).items() if count > 1}
    names = {
        system: system if name in shared and file_of(system) == system else name
        for system, name in short.items()
    }
    for name, count in collections.Counter(names.values()).items():
        if count > 1:
            raise UserError(f"two systems are named {name}; NAME=FILE gives them different names")
    return names


def predictions_file(system: str, benchmark: str) -> str:
    """The original's name, `<model>_<benchmark>.csv`, without what file systems dislike."""
    return re.sub(r"[^\w.+-]+", "-", f"{system}_{benchmark}").lstrip("-.") + ".csv"


def run_models(
    models: Iterable[str],
    names: Sequence[str],
    *,
    load: Callable[[str], Model],
    open_benchmark: Callable[[str, Problems], Source],
    out: pathlib.Path,
    batch_size: int,
    on_error: str,
    file_format: str,
    file_name: str | None = None,
    called: Mapping[str, str] | None = None,
) -> list[Scored]:
    """Scores every model on every benchmark and writes its predictions below `out`.

    Args:
      models: names, files or workdirs; one is in memory at a time.
      names: of the benchmarks.
      load, open_benchmark: by these names.
      file_format: `ours` or `original`.
      file_name: of the predictions of a single model and benchmark, instead of the usual one.
      called: the models' names in tables and files; default: `system_name`.

    Raises:
      UserError: a benchmark or model cannot be used; told before the first photo is read.
    """
    models = list(models)
    opened = {}
    for benchmark in names:
        problems = Problems(on_error)
        opened[benchmark] = open_benchmark(benchmark, problems), problems
    if len(models) > 1:
        for name, (source, _) in ((n, o) for n in models for o in opened.values()):
            judge.check_classes(load(name), source)
    results = []
    for name in models:
        model = load(name)
        system = called[name] if called else system_name(name)
        for benchmark, (source, noted) in opened.items():
            problems = Problems(on_error, [*noted.rows])
            judge.check_classes(model, source)
            say(f"{name} on {benchmark}: {len(source)} photos")
            predicted = judge.predictions(model, source, batch_size=batch_size, on_error=on_error)
            judge.note_unreadable(source, predicted, problems)
            path = out / PREDICTIONS_FOLDER / (file_name or predictions_file(system, benchmark))
            if file_format == "original":
                prediction_files.write_original(path, predicted.probs, predicted.readable)
            else:
                judge.write_predictions(path, source, predicted)
            problems.write(path.with_suffix(".problems.csv"))
            results.append(suite.score(system, benchmark, source, predicted))
    return results


def read_predictions(
    paths: Iterable[str],
    names: Sequence[str],
    open_benchmark: Callable[[str, Problems], Source],
    called: Mapping[str, str] | None = None,
) -> list[Scored]:
    """Scores files of predictions, each of which must be for every one of the benchmarks.

    Args:
      paths: FILE or NAME=FILE.
      called: their names in tables; default: `system_name`.
    """
    results = []
    for path in paths:
        system = called[path] if called else system_name(path)
        for benchmark in names:
            problems = Problems("skip")
            source = open_benchmark(benchmark, problems)
            _, is_binary = suite.gold_labels(source)
            found = prediction_files.read(
                file_of(path),
                source.index["id"].to_list(),
                binary=is_binary,
                left_out=_left_out(problems),
            )
            predicted = judge.Predictions(found.probs, found.known)
            results.append(suite.score(system, benchmark, source, predicted, graded=found.graded))
    return results


def _left_out(problems: Problems) -> list[str]:
    """The ids of known corrupted photos that a list has."""
    noted = [path for _, path, _ in problems.rows]
    return [id_ for id_ in KNOWN_CORRUPTED if any(path.endswith(id_) for path in noted)]


def pairs(
    results: Sequence[Scored],
    open_benchmark: Callable[[str, Problems], Source],
    members: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Paired tests between every two systems of each benchmark; a single system has none.

    Args:
      results: of all systems; those of others than `members` are left out.
      members: see `suite.compare`.
    """
    if len(members) < 2:
        return {}
    wanted = {name for names in members.values() for name in names}
    found = {}
    for benchmark, scored in suite.by_benchmark(results).items():
        own = [result for result in scored if result.system in wanted]
        found[benchmark] = suite.compare(own, open_benchmark(benchmark, Problems("skip")), members)
    return found


def write_csv(path: str, table: suite.Table) -> None:
    """A table with numbers in full."""
    header, rows = table
    with (
        files.replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
