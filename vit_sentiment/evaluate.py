"""Evaluates trained models on a labelled split and writes predictions, metrics and a report.

  python -m vit_sentiment.evaluate --workdir=runs/demo/train --data=runs/demo/data/distilled
  python -m vit_sentiment.evaluate -m ViT_L16 -b 5agree --root=dataset

The data is the folder or name of a dataset, a table with columns path and label, or a folder with a
folder of photos for each class. A student of a text teacher is scored against human labels, and its
teacher beside it. Several workdirs are compared: a folder of seed-* workdirs, or workdirs that
differ in nothing but their seed, are one system with mean and deviation; every two systems are
tested against each other on the same photos.

With --benchmark models and files of predictions are scored on the original's benchmarks, by its
protocol and beside what was published; every two are tested against each other, or those that
--compare names. Benchmarks are read from the original's dataset/ folder, or, where it lacks them,
packed from below --data_dir.

With --reproduce exit code 1 also means that a published figure was not reached.
"""

from absl import flags

from checkpoints import weight_flags
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError

WORKDIR = flags.DEFINE_multi_string(
    "workdir",
    None,
    "Workdir of a training run, or a folder of seed-* workdirs; several with commas between.",
)
WEIGHTS = flags.DEFINE_string("weights", None, "A weight file instead of a workdir.")
MODEL = flags.DEFINE_list(
    "model",
    [],
    "For benchmarks: names, NAME=FILE, weight files or workdirs, with commas between.",
    short_name="m",
)
DATA = flags.DEFINE_string("data", None, "Dataset, table or folder of photos.")
BENCHMARK = flags.DEFINE_list(
    "benchmark",
    [],
    "Names of benchmarks with commas between, or all: the six of the original.",
    short_name="b",
)
ROOT = flags.DEFINE_string("root", "dataset", "The original's dataset/ folder.")
PREDICTIONS = flags.DEFINE_multi_string(
    "predictions", [], "FILE or NAME=FILE of predictions, of any system."
)
COMPARE = flags.DEFINE_string(
    "compare", None, "Two systems A B to test, files of predictions or models."
)
REPRODUCE = flags.DEFINE_bool(
    "reproduce", False, "Exit with 1 unless every published cell is within 0.1 point."
)
FORMAT = flags.DEFINE_enum(
    "format",
    "ours",
    ["ours", "original"],
    "Of the predictions on benchmarks: the original's has no paths.",
)
FOLD = flags.DEFINE_integer(
    "fold",
    None,
    "The test rows of this one of the original's five folds alone, 0 to 4.",
    lower_bound=0,
    upper_bound=4,
)
JSON = flags.DEFINE_string("json", None, "Benchmarks: file for all figures.")
CSV = flags.DEFINE_string("csv", None, "Benchmarks: file for the table.")
HTML = flags.DEFINE_string("html", None, "Benchmarks: file for the report.")
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
    "of the comparison alone; of benchmarks (default: runs/benchmarks), of the predictions.",
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Photos at a time.", lower_bound=1)
ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "Unusable photos: fail, or leave out and count."
)
PROBES = flags.DEFINE_string(
    "probes", "runs/probe", "Folder whose probes of the same photos stand beside the model."
)
REPORT_IMAGES = flags.DEFINE_bool(
    "report_images", False, "Embed the most confident mistakes in the report."
)
flags.adopt_module_key_flags(weight_flags)

GROUPS = {
    "Model": (WORKDIR, WEIGHTS, MODEL, *weight_flags.GROUP),
    "Data": (DATA, DATA_DIR, SPLIT, IMAGES, LABEL),
    "Benchmarks": (BENCHMARK, ROOT, FOLD, PREDICTIONS, COMPARE, REPRODUCE),
    "Results": (OUT, PROBES, REPORT_IMAGES, FORMAT, JSON, CSV, HTML),
    "Running": (BATCH_SIZE, ON_ERROR),
}

OF_BENCHMARKS = (MODEL, ROOT, PREDICTIONS, COMPARE, REPRODUCE, FORMAT, FOLD, JSON, CSV, HTML)
OF_DATA = (DATA, SPLIT, LABEL, PROBES, REPORT_IMAGES)


def main(*words: str) -> None:
    if not BENCHMARK.value and DATA.value is None:
        raise UserError("give --data or --benchmark; see --help")
    names = _compared(words)
    this, others = ("--benchmark", OF_DATA) if BENCHMARK.value else ("--data", OF_BENCHMARKS)
    if unused := [flag.name for flag in others if flag.present]:
        raise UserError(f"--{unused[0]} does not go with {this}")
    if BENCHMARK.value:
        _on_benchmarks(names)
    else:
        _on_data()


def _on_data() -> None:
    from vit_sentiment.evaluating import on_data

    options = on_data.Options(
        data=DATA.value,
        split=SPLIT.value,
        data_dir=DATA_DIR.value,
        images=IMAGES.value,
        label=LABEL.value,
        out=OUT.value,
        batch_size=BATCH_SIZE.value,
        on_error=ON_ERROR.value,
        probes=PROBES.value,
        report_images=REPORT_IMAGES.value,
        hints=weight_flags.hints(),
    )
    on_data.evaluate(_workdirs(), WEIGHTS.value, options)


def _on_benchmarks(compared) -> None:
    from vit_sentiment.evaluating import on_benchmarks

    options = on_benchmarks.Options(
        root=ROOT.value,
        images=IMAGES.value,
        fold=FOLD.value,
        data_dir=DATA_DIR.value,
        out=OUT.value or "runs/benchmarks",
        batch_size=BATCH_SIZE.value,
        on_error=ON_ERROR.value,
        file_format=FORMAT.value,
        hints=weight_flags.hints(),
        json=JSON.value,
        csv=CSV.value,
        html=HTML.value,
        reproduce=REPRODUCE.value,
    )
    systems = [*MODEL.value, *([WEIGHTS.value] if WEIGHTS.value else [])]
    on_benchmarks.evaluate(
        BENCHMARK.value, systems, _workdirs(), PREDICTIONS.value, compared, options
    )


def _compared(words) -> list[str]:
    """The two systems of `--compare A B` or `--compare=A,B`."""
    if COMPARE.value is None:
        if words:
            raise UserError(f"unexpected argument {words[0]!r}; options are written --name=value")
        return []
    names = [*COMPARE.value.split(","), *words]
    if len(names) != 2:
        raise UserError(f"--compare: expected two systems, A B, found {' '.join(names)}")
    return names


def _workdirs() -> list[str]:
    return [name for text in WORKDIR.value or [] for name in text.split(",") if name]


if __name__ == "__main__":
    startup.run(main, __doc__, arguments=("SYSTEM...",), groups=GROUPS)
