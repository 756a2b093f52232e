"""Evaluates a trained model on a labelled split and writes predictions, metrics and a report.

  python -m vit_sentiment.evaluate --workdir=runs/demo/train --data=runs/demo/data/distilled
  python -m vit_sentiment.evaluate --weights=model.npz --data=photos.csv --out=runs/evaluation

The data is the folder or name of a dataset, a table with columns path and label, or a folder with a
folder of photos for each class. A student of a text teacher is scored against human labels, and its
teacher beside it.
"""

import pathlib

from absl import flags

from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a training run.")
WEIGHTS = flags.DEFINE_string("weights", None, "An .npz file instead of a workdir.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "Of a workdir: best, latest or a step.")
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
    "out", None, "Folder of the results (default: evaluation/ below the workdir or runs/)."
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Photos at a time.", lower_bound=1)
ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "Unusable photos: fail, or leave out and count."
)
REPORT_IMAGES = flags.DEFINE_bool(
    "report_images", False, "Embed the most confident mistakes in the report."
)

PREDICTIONS_FILE = "predictions.csv"
METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
PROBLEMS_FILE = "problems.csv"


def main() -> None:
    if (WORKDIR.value is None) == (WEIGHTS.value is None):
        raise UserError("give either --workdir or --weights")

    import jax

    from input_pipeline.problems import Problems
    from vit_sentiment.evaluation import judge
    from vit_sentiment.evaluation.report import per_class, report, summary
    from vit_sentiment.inference.model import load
    from vit_sentiment.reporting import manifest, metric_log
    from vit_sentiment.reporting.terminal import print_table
    from vit_sentiment.runtime import accelerator, files

    accelerator.prepare()
    model = load(
        WORKDIR.value or WEIGHTS.value,
        checkpoint=CHECKPOINT.value,
        gelu=GELU.value,
        num_heads=NUM_HEADS.value,
        image_size=startup.size(IMAGE_SIZE),
    )
    problems = Problems(ON_ERROR.value)
    source = _open(model.description.classes, problems)
    devices = jax.local_device_count()
    batch_size = -(-BATCH_SIZE.value // devices) * devices
    judge.check_classes(model, source)
    out = _out(source)
    out.mkdir(parents=True, exist_ok=True)  # Before the work, not after it.
    predicted = judge.predictions(model, source, batch_size=batch_size, on_error=ON_ERROR.value)
    judge.note_unreadable(source, predicted, problems)
    result = judge.judge(source, predicted, LABEL.value or judge.default_label(source))
    result["warnings"] = _warnings(source, model)
    for text in result["warnings"]:
        say(f"warning: {text}")

    facts = {
        "model": model.source,
        "model_id": model.model_id,
        "data": source.name,
        "split": source.split,
        "data fingerprint": source.fingerprint,
        "commit": manifest.commit(),
    }
    judge.write_predictions(out / PREDICTIONS_FILE, source, predicted)
    problems.write(out / PROBLEMS_FILE)
    files.write_json(out / METRICS_FILE, result)
    description = model.description.to_json()
    manifest.write(out, {**facts, "label": result["label"], "description": description})
    title = f"{WORKDIR.value or WEIGHTS.value} on {source.name} {source.split}"
    log = metric_log.read(pathlib.Path(WORKDIR.value)) if WORKDIR.value else []
    page = report(
        title.strip(), result, source, predicted, log, facts, with_photos=REPORT_IMAGES.value
    )
    files.write_text(out / REPORT_FILE, page)
    print(f"{model.source} on {source.name} {source.split}, against {result['label']}")
    print_table(*summary(result))
    print_table(*per_class(result))
    print(f"report: {out / REPORT_FILE}")


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


def _warnings(source, model) -> list[str]:
    from vit_sentiment.evaluation.judge import leak_warnings
    from vit_sentiment.training.workdir import GROUPS_FILE

    folder = pathlib.Path(WORKDIR.value or pathlib.Path(WEIGHTS.value).parent)
    consequence = "these figures do not measure generalisation"
    warnings = leak_warnings(folder / GROUPS_FILE, source, consequence)
    calibration = model.description.calibration
    if calibration is not None and calibration.fingerprint == source.fingerprint:
        flattered = "log-loss and calibration error are flattered"
        warnings.append(f"the model was calibrated on these photos; {flattered}")
    return warnings


def _out(source) -> pathlib.Path:
    if OUT.value:
        return pathlib.Path(OUT.value)
    name = "-".join(filter(None, [pathlib.Path(source.name).stem, source.split]))
    if WORKDIR.value:
        return pathlib.Path(WORKDIR.value, "evaluation", name)
    return pathlib.Path("runs", "evaluation", pathlib.Path(WEIGHTS.value).stem, name)


if __name__ == "__main__":
    startup.run(main, __doc__)
