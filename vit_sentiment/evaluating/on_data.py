"""Models on a labelled split, each with a report, and several beside each other."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES
from input_pipeline.sources import Source, choose_split, open_source
from vit_sentiment.evaluation import (
    comparison_report,
    judge,
    probing,
    report,
    several,
    single,
)
from vit_sentiment.evaluation.single import REPORT_FILE, Settings, facts_of
from vit_sentiment.inference.model import Model, load
from vit_sentiment.reporting import metric_log
from vit_sentiment.reporting.terminal import print_table
from vit_sentiment.runtime import accelerator
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say
from vit_sentiment.training import model_card, recipes
from vit_sentiment.training.workdir import GROUPS_FILE, averages


@dataclasses.dataclass(frozen=True)
class Options:
    """What models are scored on, how they run, and where results go.

    Attributes:
      data: dataset, table or folder of photos; see `sources.open_source` for this and the next.
      split: of a dataset; None for `test`, or the only one.
      data_dir, images: where datasets are found by name; where a table's photos are.
      label: what to score against; None for human labels where there are any.
      out: folder of the results (of several workdirs, of the comparison alone), or None.
      batch_size: photos at a time, over all local devices.
      on_error: `fail` or `skip`.
      probes: folder whose probes of the same photos stand beside the model.
      report_images: embeds the most confident mistakes in the report.
      hints: what weights cannot tell; see `inference.model.load`.
    """

    data: str
    split: str | None
    data_dir: str
    images: str | None
    label: str | None
    out: str | None
    batch_size: int
    on_error: str
    probes: str
    report_images: bool
    hints: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class _Evaluation:
    """What the steps share: the options, the data, and how models are loaded."""

    options: Options
    load: Callable[[str], Model]
    is_file: bool
    source: Source
    settings: Settings


def evaluate(workdirs: Sequence[str], weights: str | None, options: Options) -> None:
    """Evaluates a weight file, or one or several workdirs; prints and writes the results.

    Raises:
      UserError: models or data cannot be used.
    """
    if bool(workdirs) == (weights is not None):
        raise UserError("give either --workdir or --weights")
    accelerator.prepare()

    @functools.lru_cache(maxsize=1)  # Several models may not fit into memory together.
    def load_model(name: str) -> Model:
        return load(name, **options.hints)

    one = len(workdirs) <= 1 and not any(map(recipes.is_seed_folder, workdirs))
    if one:
        models = list(workdirs) or [weights]
    else:
        systems = recipes.systems(workdirs)
        models = [workdir for system in systems for workdir in system.workdirs]
    problems = Problems(options.on_error)
    source = _open(options, load_model(models[0]).description.classes, problems)
    for name in models:  # So that the last one's mistake is not told when the others have been run.
        judge.check_classes(load_model(name), source)
    devices = jax.local_device_count()
    batch_size = -(-options.batch_size // devices) * devices
    label = options.label or judge.default_label(source)
    settings = Settings(label, batch_size, options.report_images)
    shared = _Evaluation(options, load_model, weights is not None, source, settings)
    if one:
        _one(shared, models[0], problems)
    else:
        _several(shared, systems, workdirs, problems)


def _open(options: Options, classes: Sequence[str], problems: Problems) -> Source:
    return open_source(
        options.data,
        choose_split(options.data, options.split, "test", options.data_dir),
        data_dir=options.data_dir,
        images=options.images,
        classes=classes or CLASSES,
        problems=problems,
    )


def _one(shared: _Evaluation, name: str, problems: Problems) -> None:
    out = pathlib.Path(shared.options.out) if shared.options.out else _usual_place(shared, name)
    _, result = _evaluate(shared, name, out, problems)
    if not result["probes"]:
        say(report.NO_PROBE)
    source = shared.source
    model = shared.load(name).source
    print(f"{model} on {source.name} {source.split}, against {result['label']}")
    print_table(*report.summary(result))
    print(report.ONE_SEED)
    print_table(*report.per_class(result))
    print(f"report: {out / REPORT_FILE}")


def _several(
    shared: _Evaluation,
    systems: Sequence[recipes.System],
    names: Sequence[str],
    problems: Problems,
) -> None:
    """Each workdir as if it were alone, then all of them beside each other."""
    source = shared.source
    together = "+".join(pathlib.Path(name).resolve().name for name in names)
    usual = pathlib.Path("runs", "evaluation", together, _data_name(source))
    out = pathlib.Path(shared.options.out) if shared.options.out else usual
    out.mkdir(parents=True, exist_ok=True)
    total, done, evaluated = sum(len(system.workdirs) for system in systems), 0, {}
    for system in systems:
        evaluated[system.name] = []
        for workdir, seed in zip(system.workdirs, system.seeds, strict=True):
            done += 1
            say(f"{workdir} ({done} of {total})")
            noted = dataclasses.replace(problems, rows=[*problems.rows])
            place = _usual_place(shared, workdir)
            predicted, result = _evaluate(shared, workdir, place, noted)
            run = several.Run(workdir, shared.load(workdir).source, seed, predicted, result)
            evaluated[system.name].append(run)
    grouping = {system.name: system.grouping for system in systems}
    compared = several.compare(source, evaluated, grouping, shared.settings.label)
    comparison_report.write(out, compared, facts_of(source))
    print(f"on {source.name} {source.split}, against {compared['label']}")
    print_table(*comparison_report.systems(compared))
    print()
    print_table(*comparison_report.grouping(compared))
    if compared["pairs"]:
        print()
        print_table(*comparison_report.pairs(compared))
    print(f"report: {out / REPORT_FILE}")


def _evaluate(
    shared: _Evaluation, name: str, out: pathlib.Path, problems: Problems
) -> tuple[judge.Predictions, dict[str, Any]]:
    source, settings = shared.source, shared.settings
    probes = pathlib.Path(shared.options.probes)
    evaluated = single.evaluate(
        shared.load(name),
        source,
        out,
        settings,
        problems,
        title=f"{name} on {source.name} {source.split}".strip(),
        log=[] if shared.is_file else metric_log.read(pathlib.Path(name)),
        warnings=_warnings(shared, name),
        average=_average(shared, name),
        probes=probing.found(probes, source.fingerprint, settings.label),
    )
    if out.is_relative_to(name):
        model_card.write(pathlib.Path(name))
    return evaluated


def _average(shared: _Evaluation, name: str) -> Model | None:
    """The model with the moving average of its parameters, of a run that keeps one."""
    hints = shared.options.hints
    if shared.is_file or hints["checkpoint"].endswith("-ema") or not averages(pathlib.Path(name)):
        return None
    return load(name, **{**hints, "checkpoint": hints["checkpoint"] + "-ema"})


def _warnings(shared: _Evaluation, name: str) -> list[str]:
    folder = pathlib.Path(name).parent if shared.is_file else pathlib.Path(name)
    consequence = "these figures do not measure generalisation"
    warnings = judge.leak_warnings(folder / GROUPS_FILE, shared.source, consequence)
    calibration = shared.load(name).description.calibration
    if calibration is not None and calibration.fingerprint == shared.source.fingerprint:
        flattered = "log-loss and calibration error are flattered"
        warnings.append(f"the model was calibrated on these photos; {flattered}")
    return warnings


def _data_name(source: Source) -> str:
    return "-".join(filter(None, [pathlib.Path(source.name).stem, source.split]))


def _usual_place(shared: _Evaluation, name: str) -> pathlib.Path:
    folder = _data_name(shared.source)
    if shared.is_file:
        return pathlib.Path("runs", "evaluation", pathlib.Path(name).stem, folder)
    return pathlib.Path(name, "evaluation", folder)
