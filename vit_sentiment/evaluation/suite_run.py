"""Running models over benchmarks, and the files that come out of it."""

import csv
import difflib
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from input_pipeline import benchmarks
from input_pipeline.problems import Problems
from input_pipeline.sources import Source
from vit_sentiment.evaluation import comparison_report, judge, prediction_files, suite
from vit_sentiment.evaluation.suite import Scored
from vit_sentiment.inference.model import Model
from vit_sentiment.reporting import html, manifest
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
FORMATS = ("ours", "original")


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
    """Whether a system is a file of predictions, by its ending."""
    return "=" not in name and pathlib.Path(name).suffix in (".csv", ".tsv", ".parquet")


def system_name(model: str) -> str:
    """How a model is named in tables and files: NAME of NAME=FILE, the last part of a path."""
    name, separator, _ = model.partition("=")
    return name if separator else pathlib.Path(model).name or model


def predictions_file(system: str, benchmark: str) -> str:
    """The original's name, `<model>_<benchmark>.csv`, without what file systems dislike."""
    return re.sub(r"[^\w.+-]+", "-", f"{system}_{benchmark}") + ".csv"


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
) -> list[Scored]:
    """Scores every model on every benchmark and writes its predictions below `out`.

    Args:
      models: names, files or workdirs; one is in memory at a time.
      names: of the benchmarks.
      load, open_benchmark: by these names.
      file_format: `ours` or `original`.
      file_name: of the predictions of a single model and benchmark, instead of the usual one.
    """
    results = []
    for name in models:
        model = load(name)
        for benchmark in names:
            problems = Problems(on_error)
            source = open_benchmark(benchmark, problems)
            judge.check_classes(model, source)
            say(f"{name} on {benchmark}: {len(source)} photos")
            predicted = judge.predictions(model, source, batch_size=batch_size, on_error=on_error)
            judge.note_unreadable(source, predicted, problems)
            system = system_name(name)
            path = out / PREDICTIONS_FOLDER / (file_name or predictions_file(system, benchmark))
            if file_format == "original":
                prediction_files.write_original(path, predicted.probs)
            else:
                judge.write_predictions(path, source, predicted)
            problems.write(path.with_suffix(".problems.csv"))
            results.append(suite.score(system, benchmark, source, predicted))
    return results


def read_predictions(
    paths: Iterable[str],
    names: Sequence[str],
    open_benchmark: Callable[[str, Problems], Source],
) -> list[Scored]:
    """Scores files of predictions, each of which must be for every one of the benchmarks."""
    results = []
    for path in paths:
        for benchmark in names:
            source = open_benchmark(benchmark, Problems("skip"))
            probs = prediction_files.read(path, source.index["id"].to_list())
            readable = np.ones(len(source), np.bool_)
            found = judge.Predictions(probs, readable)
            results.append(suite.score(path, benchmark, source, found))
    return results


def pairs(
    results: Sequence[Scored], open_benchmark: Callable[[str, Problems], Source]
) -> dict[str, Any]:
    """Paired tests between every two systems of each benchmark; without pairs it is left out."""
    return {
        benchmark: suite.compare(scored, open_benchmark(benchmark, Problems("skip")))
        for benchmark, scored in suite.by_benchmark(results).items()
        if len(scored) > 1
    }


def write_json(path: str, results: Sequence[Scored], pairs: dict[str, Any]) -> None:
    """All figures, and the paired tests by benchmark."""
    rows = [{"model": r.system, "benchmark": r.benchmark, **r.figures} for r in results]
    files.write_json(
        path, {"results": rows, "pairs": pairs, "made_from": {"commit": manifest.commit()}}
    )


def write_csv(path: str, table: suite.Table) -> None:
    """The table as it is printed, numbers in full."""
    header, rows = table
    with (
        files.replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def write_html(path: str, results: Sequence[Scored], pairs: dict[str, Any]) -> None:
    """One self-contained page: our figures, the paired tests, and all that was published."""
    names = list(dict.fromkeys(result.benchmark for result in results))
    parts = [
        html.paragraph(
            "Benchmarks of negative and positive photos: the neutral probability is dropped, the "
            "greater of the others wins, a tie is negative. The test sets of T4SA have three "
            "classes, labelled by a text teacher. Intervals are bootstrapped over photos."
        ),
        html.table(*suite.table(results)),
    ]
    for benchmark, tests in pairs.items():
        parts += [
            html.heading(f"Differences on {benchmark}"),
            html.table(*comparison_report.pairs({"pairs": tests})),
        ]
    header, rows = suite.others(names)
    parts += [html.heading("Published"), html.table(header, rows)]
    parts += [
        html.heading("Made from"),
        html.table(["fact", "value"], [["commit", manifest.commit()]]),
    ]
    files.write_text(path, html.page("Benchmarks", parts))
