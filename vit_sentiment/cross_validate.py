"""Fine-tunes a model on folds of a small benchmark, or on FI's given splits, and judges each.

  python -m vit_sentiment.cross_validate -m boosted_model=boosted_model.h5 -b 5agree --folds=5
  python -m vit_sentiment.cross_validate -m ViT_L16 -b FI --splits=given

Every fold is a run in a workdir of its own, from the same weights, head included. Folds are
scikit-learn's StratifiedKFold over the rows of the benchmark in their order; neutral is masked out,
and the last weights are judged. FI's splits are trained without a mask, and the weights that are
best on the validation part are judged. Ctrl-C or SIGTERM saves; the same command goes on.

Exit code 1 also means that training diverged, or that the memory did not suffice.
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
    None,
    "Recipe (default: the project's configs/cross_validate.py, whose argument `:original` keeps "
    "the original's order of data).",
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
EPOCHS = flags.DEFINE_float(
    "epochs", None, "Passes over a part (default: the config's; 12, given splits 5)."
)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Photos of a step (default: the config's, 32).", lower_bound=1
)
SEED = flags.DEFINE_integer(
    "seed", None, "Of the folds and of training (default: the config's, 42).", lower_bound=0
)
AT_ONCE = flags.DEFINE_enum(
    "at_once", "never", ["auto", "always", "never"], "Folds in one vmapped step."
)
ON_ERROR = flags.DEFINE_enum(
    "on_error", None, ["fail", "skip"], "Unusable photos: fail, or mask and list (default: fail)."
)
FORMAT = flags.DEFINE_enum(
    "format", "ours", ["ours", "original"], "Of the prediction files: the original's has no paths."
)
OUT = flags.DEFINE_string(
    "out", None, "Folder of all runs and results (default: below runs/cross_validate)."
)
flags.adopt_module_key_flags(weight_flags)

GROUPS = {
    "Model": (MODEL, *weight_flags.GROUP),
    "Data": (BENCHMARK, ROOT, IMAGES, SPLITS, FOLDS),
    "Training": (CONFIG, EPOCHS, BATCH_SIZE, SEED),
    "Results": (OUT, FORMAT),
    "Running": (AT_ONCE, ON_ERROR),
}

GIVEN = ("FI",)


def main() -> None:
    given = SPLITS.value == "given"
    _check_flags(given)
    recipe = _recipe()
    with stop_requests() as should_stop:
        from input_pipeline.problems import Problems
        from vit_sentiment.evaluation.suite_run import system_name
        from vit_sentiment.runtime import accelerator
        from vit_sentiment.training import folds, run

        for name in config_flags.get_override_values(flags.FLAGS["config"]):
            if name.removeprefix("model.") in folds.TOLD_FIELDS:
                raise UserError(f"--config.{name}: --model and --splits tell that; leave it out")
        problems = Problems(recipe.data.on_error)
        parts = _splits(problems) if given else _folds(problems, recipe.seed)
        accelerator.prepare()
        description, weights = _start(parts[0].train, recipe)
        config = folds.complete_config(recipe, description, MODEL.value, parts[0].protocol)
        system = system_name(MODEL.value)
        out = pathlib.Path(OUT.value or f"runs/cross_validate/{system}_{BENCHMARK.value}")
        workdirs = [out / f"{part.kind}-{part.name}" for part in parts]
        if config.init_head == "keep":
            folds.check_start(workdirs, weights)
        problems.write(out / "problems.csv")
        jobs = [
            run.Job(config, workdir, f"{part.kind} {part.name}", part.data)
            for workdir, part in zip(workdirs, parts, strict=True)
        ]
        complete = run.train_jobs(jobs, AT_ONCE.value, should_stop)
    if not complete:
        command = shlex.join(["python", "-m", "vit_sentiment.cross_validate", *sys.argv[1:]])
        print(f"resume with: {command}")
        return
    _judge(system, parts, workdirs, config, out)


def _recipe():
    """The config, in which flags that are given take precedence."""
    recipe = startup.config_value(CONFIG)
    if EPOCHS.value is not None:
        if len(recipe.stages) != 1:
            raise UserError(f"--epochs: config.stages has {len(recipe.stages)}, expected one")
        recipe.stages[0].epochs = EPOCHS.value
    if BATCH_SIZE.value is not None:
        recipe.data.batch_size = recipe.validation.batch_size = BATCH_SIZE.value
    if SEED.value is not None:
        recipe.seed = SEED.value
    if ON_ERROR.value is not None:
        recipe.data.on_error = ON_ERROR.value
    return recipe


def _check_flags(given) -> None:
    if given != (BENCHMARK.value in GIVEN):
        raise UserError(
            f"--benchmark={BENCHMARK.value} --splits={SPLITS.value}: {', '.join(GIVEN)} has given "
            "splits, other benchmarks have generated ones"
        )
    if given and FOLDS.present:
        raise UserError(f"--folds={FOLDS.value}: given splits are not drawn; leave it out")
    if weight_flags.CHECKPOINT.value != "best":
        raise UserError(
            f"--checkpoint={weight_flags.CHECKPOINT.value}: training starts from the best one; "
            "checkpoints.convert makes a file of any other"
        )


def _start(source, recipe):
    """Description and hash of the weights to start from, whose head must fit the data."""
    from vit_sentiment.evaluation import judge
    from vit_sentiment.inference.model import load

    hints = weight_flags.hints()
    model = load(MODEL.value, **hints)
    if recipe.init_head == "keep":
        judge.check_classes(model, source)
    if hints["image_size"]:
        recipe.init_image_size = hints["image_size"]
    return model.description, model.model_id


def _folds(problems, seed):
    from input_pipeline.benchmarks import has_human_labels, open_benchmark, splits_of
    from vit_sentiment.training.folds import make_folds

    name = BENCHMARK.value
    if not has_human_labels(name):
        raise UserError(f"--benchmark={name}: is a test set that no human labelled")
    if splits_of(name) != ["test"]:
        raise UserError(f"--benchmark={name}: is split already; see --benchmark=FI --splits=given")
    source = open_benchmark(name, ROOT.value, images=IMAGES.value, problems=problems)
    return make_folds(source, FOLDS.value, seed)


def _splits(problems):
    from input_pipeline.benchmarks import open_benchmark
    from vit_sentiment.training.folds import given_splits

    def open_part(name, split):
        return open_benchmark(name, ROOT.value, split=split, images=IMAGES.value, problems=problems)

    return given_splits(BENCHMARK.value, open_part)


def _judge(system, parts, workdirs, config, out) -> None:
    import jax

    from vit_sentiment.evaluation import fold_report, suite, suite_run
    from vit_sentiment.inference.model import load
    from vit_sentiment.reporting.terminal import print_table
    from vit_sentiment.training.workdir import plain

    devices = jax.local_device_count()
    average = "-ema" if config.validation.weights == "ema" else ""
    results, steps = [], []
    for part, workdir in zip(parts, workdirs, strict=True):
        model = load(workdir, checkpoint=part.protocol.checkpoint + average)
        steps.append(model.step)
        results += suite_run.run_models(
            [str(workdir)],
            [BENCHMARK.value],
            load=lambda name, model=model: model,
            open_benchmark=lambda name, problems, part=part: part.test,
            out=out,
            batch_size=-(-config.validation.batch_size // devices) * devices,
            on_error=config.data.on_error,
            file_format=FORMAT.value,
            file_name=f"fine_tune_{BENCHMARK.value}_{part.name}.csv",
        )
    facts = {"model": system, "benchmark": BENCHMARK.value, "config": plain(config)}
    summary = fold_report.write(out, facts, parts, steps, results)
    print_table(*fold_report.table(summary))
    print_table(*suite.table(results))
    print(f"report: {out / fold_report.REPORT_FILE}")


if __name__ == "__main__":
    startup.run(main, __doc__, config=_CONFIG_FILE, groups=GROUPS)
