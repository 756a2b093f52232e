"""Fine-tunes a model on folds of a small benchmark, or on FI's given splits, and judges each.

  python -m vit_sentiment.cross_validate -m boosted_model=boosted_model.h5 -b 5agree --folds=5
  python -m vit_sentiment.cross_validate -m ViT_L16 -b FI --splits=given --config.seed=1
  python -m vit_sentiment.cross_validate -m runs/b32 -b emotion_ROI_complete --epochs=6

Every fold is a run in a workdir of its own, from the same weights, head included. Folds are
scikit-learn's StratifiedKFold over the rows of the benchmark in their order; neutral is masked out,
and the last weights are judged. FI's splits are trained without a mask, and the weights that are
best on the validation part are judged. Ctrl-C or SIGTERM saves; the same command goes on.
"""

import pathlib
import shlex
import sys

from absl import flags
from ml_collections import config_flags

from checkpoints import weight_flags
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training.stopping import stop_requests

_CONFIG_FILE = pathlib.Path(__file__).parents[1] / "configs" / "cross_validate.py"

CONFIG = config_flags.DEFINE_config_file(
    "config",
    str(_CONFIG_FILE),
    "Recipe FILE.py[:arg], `:original` for the original's order of the data.",
    lock_config=True,
)
MODEL = flags.DEFINE_string(
    "model", None, "Name, NAME=FILE, file or workdir to start from.", short_name="m", required=True
)
BENCHMARK = flags.DEFINE_string(
    "benchmark", None, "Its name; FI for FI's five splits.", short_name="b", required=True
)
ROOT = flags.DEFINE_string("root", "dataset", "The original's dataset/ folder.")
IMAGES = flags.DEFINE_string("images", None, "Folder of the photos, if not in the tree's places.")
SPLITS = flags.DEFINE_enum(
    "splits", "generated", ["generated", "given"], "Folds that are drawn, or the given splits."
)
FOLDS = flags.DEFINE_integer("folds", 5, "How many folds to draw.", lower_bound=2)
EPOCHS = flags.DEFINE_float("epochs", None, "Passes over a fold (default: 12; given splits: 5).")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Photos of a step.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 42, "Of the folds and of training.", lower_bound=0)
AT_ONCE = flags.DEFINE_enum(
    "at_once", "never", ["auto", "always", "never"], "Folds in one vmapped step."
)
ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "Unusable photos: fail, or mask and list."
)
FORMAT = flags.DEFINE_enum(
    "format", "ours", ["ours", "original"], "Of the prediction files: the original's has no paths."
)
OUT = flags.DEFINE_string(
    "out", None, "Folder of all runs and results (default: below runs/cross_validate)."
)
flags.adopt_module_key_flags(weight_flags)

GIVEN = ("FI",)


def main() -> None:
    recipe = startup.config_value(CONFIG)
    given = SPLITS.value == "given"
    if given != (BENCHMARK.value in GIVEN):
        raise UserError(
            f"--benchmark={BENCHMARK.value} --splits={SPLITS.value}: splits are given for "
            f"{', '.join(GIVEN)} alone, which has no other"
        )
    with stop_requests() as should_stop:
        from input_pipeline.problems import Problems
        from vit_sentiment.evaluation.suite_run import system_name
        from vit_sentiment.inference.model import load
        from vit_sentiment.runtime import accelerator
        from vit_sentiment.training import folds, run

        accelerator.prepare()
        model = load(MODEL.value, **weight_flags.hints())
        system = system_name(MODEL.value)
        out = pathlib.Path(OUT.value or f"runs/cross_validate/{system}_{BENCHMARK.value}")
        problems = Problems(ON_ERROR.value)
        parts = _splits(problems) if given else _folds(problems)
        mask = () if given else folds.FOLD_MASK
        config = folds.complete_config(recipe, model.description, MODEL.value, mask=mask)
        _set(config, given)
        problems.write(out / "problems.csv")
        jobs = [
            run.Job(config, out / f"{part.kind}-{part.name}", f"{part.kind} {part.name}", part.data)
            for part in parts
        ]
        complete = run.train_jobs(jobs, AT_ONCE.value, should_stop)
    if not complete:
        command = shlex.join(["python", "-m", "vit_sentiment.cross_validate", *sys.argv[1:]])
        print(f"resume with: {command}")
        return
    _judge(system, parts, out)


def _set(config, given) -> None:
    epochs = EPOCHS.value or (5.0 if given else 12.0)
    if len(config.stages) != 1:
        raise UserError(f"config.stages: expected one for --epochs, found {len(config.stages)}")
    with config.unlocked():
        config.stages[0].epochs = epochs
        config.seed = SEED.value
        config.data.batch_size = BATCH_SIZE.value
        config.validation.batch_size = BATCH_SIZE.value
        config.data.on_error = ON_ERROR.value
        if given:
            from vit_sentiment.training.folds import FI_EVERY_STEPS

            config.validation.every_steps = FI_EVERY_STEPS
            config.validation.every_epochs = 1


def _folds(problems):
    from input_pipeline.benchmarks import has_human_labels, open_benchmark
    from vit_sentiment.training.folds import make_folds

    if not has_human_labels(BENCHMARK.value):
        raise UserError(f"--benchmark={BENCHMARK.value}: is a test set that no human labelled")
    source = open_benchmark(BENCHMARK.value, ROOT.value, images=IMAGES.value, problems=problems)
    return make_folds(source, FOLDS.value, SEED.value)


def _splits(problems):
    from input_pipeline.benchmarks import open_benchmark
    from vit_sentiment.training.folds import given_splits

    def open_part(name, split):
        return open_benchmark(name, ROOT.value, split=split, images=IMAGES.value, problems=problems)

    return given_splits(BENCHMARK.value, open_part)


def _judge(system, parts, out) -> None:
    from vit_sentiment.evaluation import fold_report, suite, suite_run
    from vit_sentiment.reporting.terminal import print_table

    results = []
    for part in parts:
        workdir = out / f"{part.kind}-{part.name}"
        (scored,) = suite_run.run_models(
            [str(workdir)],
            [BENCHMARK.value],
            load=lambda name, part=part: _load(name, part.checkpoint),
            open_benchmark=lambda name, problems, part=part: part.test,
            out=out,
            batch_size=BATCH_SIZE.value,
            on_error=ON_ERROR.value,
            file_format=FORMAT.value,
            file_name=f"fine_tune_{BENCHMARK.value}_{part.name}.csv",
        )
        results.append(scored)
    summary = fold_report.write(out, system, BENCHMARK.value, parts, results)
    print_table(*fold_report.table(summary))
    print_table(*suite.table(results))
    print(f"report: {out / fold_report.REPORT_FILE}")


def _load(name, checkpoint):
    from vit_sentiment.inference.model import load

    return load(name, checkpoint=checkpoint)


if __name__ == "__main__":
    startup.run(main, __doc__)
