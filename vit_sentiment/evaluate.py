"""Evaluates trained models on a labelled split and writes predictions, metrics and a report.

  python -m vit_sentiment.evaluate --workdir=runs/demo/train --data=runs/demo/data/distilled
  python -m vit_sentiment.evaluate --weights=model.npz --data=photos.csv --out=runs/evaluation
  python -m vit_sentiment.evaluate --workdir=runs/small,runs/b32 --data=tweets

The data is the folder or name of a dataset, a table with columns path and label, or a folder with a
folder of photos for each class. A student of a text teacher is scored against human labels, and its
teacher beside it. Several workdirs are compared: a folder of seed-* workdirs, or workdirs that
differ in nothing but their seed, are one system with mean and deviation; every two systems are
tested against each other on the same photos.
"""

import dataclasses
import functools
import pathlib

from absl import flags

from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

WORKDIR = flags.DEFINE_multi_string(
    "workdir",
    None,
    "Workdir of a training run, or a folder of seed-* workdirs; several with commas between.",
)
WEIGHTS = flags.DEFINE_string("weights", None, "An .npz file instead of a workdir.")
CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "best", "Of a workdir: best, latest or a step; best-ema: its moving average."
)
GELU = flags.DEFINE_enum("gelu", None, ["tanh", "exact"], "GELU, where the weights cannot tell.")
NUM_HEADS = flags.DEFINE_integer("num_heads", None, "Heads, where the weights cannot tell.")
IMAGE_SIZE = flags.DEFINE_string(
    "image_size", None, "HEIGHTxWIDTH in pixels, where the weights cannot tell."
)
DATA = flags.DEFINE_string("data", None, "Dataset, table or folder of photos.", required=True)
DATA_DIR = flags.DEFINE_string("data_dir", "runs/data", "Where datasets are found by name.")
SPLIT = flags.DEFINE_string("split", None, "Split of a dataset (default: test, or the only one).")
IMAGES = flags.DEFINE_string("images", None, "Folder that a table's paths are relative to.")
LABEL = flags.DEFINE_enum(
    "label",
    None,
    ["human_label", "teacher_label"],
    "What to score against (default: human_label where there are any).",
)
OUT = flags.DEFINE_string(
    "out",
    None,
    "Folder of the results (default: evaluation/ below the workdir or runs/); of several workdirs, "
    "of the comparison alone.",
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Photos at a time.", lower_bound=1)
ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "Unusable photos: fail, or leave out and count."
)
REPORT_IMAGES = flags.DEFINE_bool(
    "report_images", False, "Embed the most confident mistakes in the report."
)


def main() -> None:
    workdirs = [name for text in WORKDIR.value or [] for name in text.split(",") if name]
    if bool(workdirs) == (WEIGHTS.value is not None):
        raise UserError("give either --workdir or --weights")

    import jax

    from input_pipeline.problems import Problems
    from vit_sentiment.evaluation import judge
    from vit_sentiment.evaluation.single import Settings
    from vit_sentiment.runtime import accelerator
    from vit_sentiment.training import recipes

    accelerator.prepare()
    one = len(workdirs) <= 1 and not any(map(recipes.is_seed_folder, workdirs))
    if one:
        models = workdirs or [WEIGHTS.value]
    else:
        systems = recipes.systems(workdirs)
        models = [workdir for system in systems for workdir in system.workdirs]
    problems = Problems(ON_ERROR.value)
    source = _open(_load(models[0]).description.classes, problems)
    _check(models, source)
    devices = jax.local_device_count()
    batch_size = -(-BATCH_SIZE.value // devices) * devices
    label = LABEL.value or judge.default_label(source)
    settings = Settings(label, batch_size, REPORT_IMAGES.value)
    if one:
        out = pathlib.Path(OUT.value) if OUT.value else _usual_place(models[0], source)
        _one(models[0], source, out, settings, problems)
    else:
        _several(systems, workdirs, source, settings, problems)


def _one(name, source, out, settings, problems) -> None:
    from vit_sentiment.evaluation import report
    from vit_sentiment.evaluation.single import REPORT_FILE
    from vit_sentiment.reporting.terminal import print_table

    _, result = _evaluate(name, source, out, settings, problems)
    print(f"{_load(name).source} on {source.name} {source.split}, against {result['label']}")
    print_table(*report.summary(result))
    print(report.ONE_SEED)
    print_table(*report.per_class(result))
    print(f"report: {out / REPORT_FILE}")


def _several(systems, names, source, settings, problems) -> None:
    """Each workdir as if it were alone, then all of them beside each other."""
    from vit_sentiment.evaluation import comparison_report, several
    from vit_sentiment.evaluation.single import REPORT_FILE, facts_of
    from vit_sentiment.reporting.terminal import print_table

    together = "+".join(pathlib.Path(name).resolve().name for name in names)
    usual = pathlib.Path("runs", "evaluation", together, _data_name(source))
    out = pathlib.Path(OUT.value) if OUT.value else usual
    out.mkdir(parents=True, exist_ok=True)
    total, done, evaluated = sum(len(system.workdirs) for system in systems), 0, {}
    for system in systems:
        evaluated[system.name] = []
        for workdir, seed in zip(system.workdirs, system.seeds, strict=True):
            done += 1
            say(f"{workdir} ({done} of {total})")
            noted = dataclasses.replace(problems, rows=[*problems.rows])
            place = _usual_place(workdir, source)
            predicted, result = _evaluate(workdir, source, place, settings, noted)
            run = several.Run(workdir, _load(workdir).source, seed, predicted, result)
            evaluated[system.name].append(run)
    grouping = {system.name: system.grouping for system in systems}
    compared = several.compare(source, evaluated, grouping, settings.label)
    comparison_report.write(out, compared, facts_of(source))
    print(f"on {source.name} {source.split}, against {compared['label']}")
    print_table(*comparison_report.systems(compared))
    print()
    print_table(*comparison_report.grouping(compared))
    if compared["pairs"]:
        print()
        print_table(*comparison_report.pairs(compared))
    print(f"report: {out / REPORT_FILE}")


@functools.lru_cache(maxsize=1)  # Several models may not fit into memory together.
def _load(name):
    from vit_sentiment.inference.model import load

    return load(
        name,
        checkpoint=CHECKPOINT.value,
        gelu=GELU.value,
        num_heads=NUM_HEADS.value,
        image_size=startup.size(IMAGE_SIZE),
    )


def _check(names, source) -> None:
    """All models, so that the last one's mistake is not told when the others have been run."""
    from vit_sentiment.evaluation import judge

    for name in names:
        judge.check_classes(_load(name), source)


def _evaluate(name, source, out, settings, problems):
    from vit_sentiment.evaluation import single
    from vit_sentiment.reporting import metric_log

    return single.evaluate(
        _load(name),
        source,
        out,
        settings,
        problems,
        title=f"{name} on {source.name} {source.split}".strip(),
        log=[] if WEIGHTS.value else metric_log.read(pathlib.Path(name)),
        warnings=_warnings(name, source),
    )


def _open(classes, problems):
    from input_pipeline.records import CLASSES
    from input_pipeline.sources import open_source, split_names

    splits = split_names(DATA.value, DATA_DIR.value)
    split = SPLIT.value or ("test" if "test" in splits else "")
    return open_source(
        DATA.value,
        split,
        data_dir=DATA_DIR.value,
        images=IMAGES.value,
        classes=classes or CLASSES,
        problems=problems,
    )


def _warnings(name, source) -> list[str]:
    from vit_sentiment.evaluation.judge import leak_warnings
    from vit_sentiment.training.workdir import GROUPS_FILE

    folder = pathlib.Path(name).parent if WEIGHTS.value else pathlib.Path(name)
    consequence = "these figures do not measure generalisation"
    warnings = leak_warnings(folder / GROUPS_FILE, source, consequence)
    calibration = _load(name).description.calibration
    if calibration is not None and calibration.fingerprint == source.fingerprint:
        flattered = "log-loss and calibration error are flattered"
        warnings.append(f"the model was calibrated on these photos; {flattered}")
    return warnings


def _data_name(source) -> str:
    return "-".join(filter(None, [pathlib.Path(source.name).stem, source.split]))


def _usual_place(name, source) -> pathlib.Path:
    if WEIGHTS.value:
        return pathlib.Path("runs", "evaluation", pathlib.Path(name).stem, _data_name(source))
    return pathlib.Path(name, "evaluation", _data_name(source))


if __name__ == "__main__":
    startup.run(main, __doc__)
