"""Models and files of predictions on benchmarks, by the original's protocol."""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from input_pipeline import benchmarks
from input_pipeline.benchmark.benchmark_dataset_builder import config_name
from input_pipeline.problems import Problems
from input_pipeline.sources import Source, open_source
from vit_sentiment.evaluation import comparison_report, judge, suite, suite_report, suite_run
from vit_sentiment.inference.model import Model, load
from vit_sentiment.reporting.terminal import print_table
from vit_sentiment.runtime import accelerator
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say
from vit_sentiment.training import folds, recipes
from vit_sentiment.training.workdir import GROUPS_FILE

ORIGINAL_FOLDS, ORIGINAL_SEED = 5, 42
"""Of the original's StratifiedKFold (5_fold_cross.py)."""
_LEAK = "these figures do not measure generalisation"


@dataclasses.dataclass(frozen=True)
class Options:
    """Where benchmarks are, how models run on them, and what is written.

    Attributes:
      root: the original's `dataset/` folder.
      images: folder of the photos, if they are not in the tree's places.
      fold: number of the original's fold whose test rows are scored, or None for all rows.
      data_dir: where packed benchmarks are found when the tree lacks them.
      out: folder below which predictions are written.
      batch_size: photos at a time, over all local devices.
      on_error: `fail` or `skip`.
      file_format: of the predictions: `ours` or `original`.
      hints: what weights cannot tell; see `inference.model.load`.
      json, csv, html: files to write, or None.
      reproduce: whether a published cell that is not reproduced is an error.
    """

    root: str
    images: str | None
    fold: int | None
    data_dir: str
    out: str
    batch_size: int
    on_error: str
    file_format: str
    hints: Mapping[str, Any]
    json: str | None
    csv: str | None
    html: str | None
    reproduce: bool


def evaluate(
    names: Sequence[str],
    systems: Sequence[str],
    workdirs: Sequence[str],
    predictions: Sequence[str],
    compared: Sequence[str],
    options: Options,
) -> None:
    """Scores systems on benchmarks, prints the tables and writes the files.

    Args:
      names: of the benchmarks; see `suite_run.expand`.
      systems: models, folders of seeds and files of predictions.
      workdirs: of training runs; seeds of one recipe are a system.
      predictions: files of predictions, whatever their names end in.
      compared: the two systems that are tested against each other; default: every two.

    Raises:
      UserError: something cannot be used; or, with `reproduce`, a published cell differs.
    """
    names = suite_run.expand(names)
    given = [*systems, *predictions, *workdirs]
    others = [name for name in compared if name not in given]
    members = _members([*systems, *predictions, *others], workdirs)
    if not members:
        raise UserError("give --model, --workdir, --weights or --predictions; see --help")
    runs = [run for own in members.values() for run in own]
    called = suite_run.system_names(runs)
    called |= {run: run for own in members.values() if len(own) > 1 for run in own}
    files = [run for run in runs if run in predictions or suite_run.is_predictions(run)]
    results = suite_run.read_predictions(files, names, _opener(options, photos=False), called)
    weights: dict[str, dict[str, str]] = {}
    if models := [run for run in runs if run not in files]:
        results += _run(models, names, called, weights, options)
    order = list(called.values())
    results.sort(key=lambda result: order.index(result.system))

    keys = {name: called[own[0]] if len(own) == 1 else name for name, own in members.items()}
    if unknown := [name for name in compared if name not in keys]:
        raise UserError(f"--compare: {unknown[0]} is a run of a system of several, compare that")
    shown = {keys[name]: [called[run] for run in own] for name, own in members.items()}
    tested = {keys[name]: shown[keys[name]] for name in compared or members}
    pairs = suite_run.pairs(results, _opener(options, photos=False), tested)
    _report(results, pairs, shown, weights, options)
    if options.reproduce:
        _reproduce(results)


def _members(names: Sequence[str], workdirs: Sequence[str]) -> dict[str, Sequence[str]]:
    """The runs of each system; a model or a file is the only one of its own."""
    found: dict[str, Sequence[str]] = {}
    for name in names:
        if name in found:
            raise UserError(f"{name} is given twice; a system is compared with others")
        seeds = recipes.is_seed_folder(name)
        found[name] = recipes.systems([name])[0].workdirs if seeds else [name]
    if len(workdirs) == 1 and not recipes.is_seed_folder(workdirs[0]):
        return found | {workdirs[0]: workdirs}
    return found | {system.name: system.workdirs for system in recipes.systems(workdirs)}


def _opener(options: Options, *, photos: bool) -> Callable[[str, Problems], Source]:
    """Opens a benchmark: the tree's, or the packed one where the tree's files are missing.

    Files of predictions need the list alone: without `photos` the tree's may be elsewhere.
    """
    images = options.images or (None if photos else options.root)

    def open_whole(name: str, problems: Problems) -> Source:
        packed = pathlib.Path(options.data_dir, "benchmark", config_name(name))
        if packed.is_dir():
            try:
                benchmarks.check_benchmark(name, options.root, images=images)
            except UserError:
                return open_source(str(packed), "test")
        return benchmarks.open_benchmark(name, options.root, images=images, problems=problems)

    def open_benchmark(name: str, problems: Problems) -> Source:
        source = open_whole(name, problems)
        if options.fold is None:
            return source
        return folds.make_folds(source, ORIGINAL_FOLDS, ORIGINAL_SEED)[options.fold].test

    return open_benchmark


def _run(
    models: Sequence[str],
    names: Sequence[str],
    called: Mapping[str, str],
    weights: dict[str, dict[str, str]],
    options: Options,
) -> list[suite.Scored]:
    """Results of the models; what their weights are is noted in `weights`."""
    accelerator.prepare()
    devices = jax.local_device_count()

    @functools.lru_cache(maxsize=1)  # Several models may not fit into memory together.
    def load_and_note(name: str) -> Model:
        model = load(name, **options.hints)
        weights[called[name]] = {"source": model.source, "model_id": model.model_id}
        return model

    open_benchmark = _opener(options, photos=True)
    for name, benchmark in itertools.product(models, names):
        groups = pathlib.Path(name, GROUPS_FILE)
        if groups.exists():  # Of our own runs; nothing tells what tweets others were trained on.
            source = open_benchmark(benchmark, Problems("skip"))
            for text in judge.leak_warnings(groups, source, _LEAK):
                say(f"warning: {name} on {benchmark}: {text}")
    return suite_run.run_models(
        models,
        names,
        load=load_and_note,
        open_benchmark=open_benchmark,
        out=pathlib.Path(options.out),
        batch_size=-(-options.batch_size // devices) * devices,
        on_error=options.on_error,
        file_format=options.file_format,
        called=called,
    )


def _report(
    results: Sequence[suite.Scored],
    pairs: Mapping[str, Any],
    members: Mapping[str, Sequence[str]],
    weights: Mapping[str, Mapping[str, str]],
    options: Options,
) -> None:
    seeds = suite_report.spread(results, members)
    print_table(*suite.table(results))
    if seeds[1]:
        print()
        print_table(*seeds)
    for benchmark, tests in pairs.items():
        print(f"\n{benchmark}")
        print_table(*comparison_report.pairs({"pairs": tests}))
    if options.json:
        suite_report.write_json(options.json, results, pairs, weights)
    if options.csv:
        suite_run.write_csv(options.csv, suite_report.rows(results))
    if options.html:
        suite_report.write_html(options.html, results, pairs, seeds)


def _reproduce(results: Sequence[suite.Scored]) -> None:
    cells, reproduced = suite_report.reproduction(results)
    if not cells[1]:
        raise UserError("not reproduced: nothing was published of these models on these benchmarks")
    print()
    print_table(*cells)
    if not reproduced:
        bad = sum(cell[-1] == "NO" for cell in cells[1])
        raise UserError(
            f"not reproduced: {bad} of {len(cells[1])} published cells differ by more than "
            f"{suite_report.TOLERANCE} point"
        )
