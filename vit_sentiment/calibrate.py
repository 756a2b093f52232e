"""Calibrates a trained model on a labelled split: its probabilities, and when to trust them.

  python -m vit_sentiment.calibrate --workdir=runs/demo/train --data=runs/demo/data/distilled
  python -m vit_sentiment.calibrate --weights=model.npz --data=photos.csv --nostore

Fits the temperature that its logits are divided by, and writes it into the model description with
the class shares and the accuracy of the surest photos; every command then uses it. The data is the
folder or name of a dataset, a table with columns path and label, or a folder with a folder of
photos for each class. The model must not have been trained on it.
"""

import pathlib

from absl import flags

from checkpoints import weight_flags
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a training run.")
WEIGHTS = flags.DEFINE_string("weights", None, "An .npz file instead of a workdir.")
DATA = flags.DEFINE_string("data", None, "Dataset, table or folder of photos.", required=True)
DATA_DIR = flags.DEFINE_string("data_dir", "runs/data", "Where datasets are found by name.")
SPLIT = flags.DEFINE_string(
    "split", None, "Split of a dataset (default: validation, or the only one)."
)
IMAGES = flags.DEFINE_string("images", None, "Folder that a table's paths are relative to.")
LABEL = flags.DEFINE_enum(
    "label",
    None,
    ["human_label", "teacher_label"],
    "What to calibrate against (default: human_label where there are any).",
)
OUT = flags.DEFINE_string(
    "out", None, "Folder of the results (default: calibration/ below the workdir or runs/)."
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Photos at a time.", lower_bound=1)
ON_ERROR = flags.DEFINE_enum(
    "on_error", "fail", ["fail", "skip"], "Unusable photos: fail, or leave out and count."
)
STORE = flags.DEFINE_bool(
    "store", True, "Write the calibration into the model description; --nostore only reports."
)
flags.adopt_module_key_flags(weight_flags)

GROUPS = {
    "Model": (WORKDIR, WEIGHTS, *weight_flags.GROUP),
    "Data": (DATA, DATA_DIR, SPLIT, LABEL, IMAGES),
    "Results": (OUT, STORE),
    "Running": (BATCH_SIZE, ON_ERROR),
}

RESULT_FILE = "calibration.json"
REPORT_FILE = "report.html"
PROBLEMS_FILE = "problems.csv"


def main() -> None:
    if (WORKDIR.value is None) == (WEIGHTS.value is None):
        raise UserError("give either --workdir or --weights")
    _check_place()

    import dataclasses

    import jax

    from input_pipeline.problems import Problems
    from input_pipeline.records import UNKNOWN
    from vit_sentiment.evaluation import calibration_report, judge
    from vit_sentiment.evaluation.calibration import fit, make_calibration
    from vit_sentiment.inference.model import load
    from vit_sentiment.reporting import manifest
    from vit_sentiment.reporting.terminal import print_table
    from vit_sentiment.runtime import accelerator, files

    accelerator.prepare()
    model = load(WORKDIR.value or WEIGHTS.value, **weight_flags.hints())
    problems = Problems(ON_ERROR.value)
    source = _open(model.description.classes, problems)
    devices = jax.local_device_count()
    batch_size = -(-BATCH_SIZE.value // devices) * devices
    judge.check_classes(model, source)
    out = _out(source)
    out.mkdir(parents=True, exist_ok=True)  # Before the work, not after it.
    label = LABEL.value or judge.default_label(source)
    predicted = judge.predictions(model, source, batch_size=batch_size, on_error=ON_ERROR.value)
    judge.note_unreadable(source, predicted, problems)
    used = predicted.readable & (source.labels(label) != UNKNOWN)
    gold = source.labels(label)[used]
    fitted = fit(
        predicted.logits[used],  # Raw: an earlier calibration does not add up.
        gold,
        source.index["group"].to_numpy()[used],
        source.classes,
        model.description.output_mask,
    )
    data = {"data": source.name, "split": source.split, "fingerprint": source.fingerprint}
    calibration = make_calibration(fitted, gold, **data, label=label, step=model.step)
    result = calibration_report.result_of(fitted, gold, source.classes, calibration)
    result["warnings"] = [*_leaks(source), *fitted.warnings]
    for text in result["warnings"]:
        say(f"warning: {text}")

    facts = {
        "model": model.source,
        "model_id": model.model_id,
        "data": source.name,
        "split": source.split,
        "data fingerprint": source.fingerprint,
        "label": label,
        "photos used": len(gold),
        "unlabelled": int((source.labels(label) == UNKNOWN).sum()),
        "unreadable": int((~predicted.readable).sum()),
        "commit": manifest.commit(),
    }
    title = f"Calibration of {WORKDIR.value or WEIGHTS.value} on {source.name} {source.split}"
    page = calibration_report.report(title.strip(), result, fitted, gold, facts)
    problems.write(out / PROBLEMS_FILE)
    files.write_json(out / RESULT_FILE, {**result, "calibration": dataclasses.asdict(calibration)})
    files.write_text(out / REPORT_FILE, page)
    manifest.write(out, facts)
    print(f"{model.source} on {source.name} {source.split}, {len(gold)} photos against {label}")
    print_table(*calibration_report.before_and_after(result))
    print_table(*calibration_report.coverage_table(result))
    print_table(*calibration_report.class_table(result))
    if STORE.value:
        _store(model, calibration)
    print(f"report: {out / REPORT_FILE}")


def _check_place() -> None:
    """Before the work: whether there is a model description to write into."""
    if not STORE.value:
        return
    if WORKDIR.value and weight_flags.CHECKPOINT.value.endswith("-ema"):
        raise UserError(
            f"--checkpoint={weight_flags.CHECKPOINT.value}: {WORKDIR.value} holds one calibration, "
            "that of the raw parameters; calibrate best.npz of a run that selects by the average, "
            "or give --nostore"
        )
    if WEIGHTS.value and not pathlib.Path(WEIGHTS.value).is_file():
        raise UserError(
            f"--weights={WEIGHTS.value}: no file that a description can lie beside; give an .npz "
            "file or --nostore"
        )


def _open(classes, problems):
    from input_pipeline.records import CLASSES
    from input_pipeline.sources import choose_split, open_source

    split = choose_split(DATA.value, SPLIT.value, "validation", DATA_DIR.value)
    return open_source(
        DATA.value,
        split,
        data_dir=DATA_DIR.value,
        images=IMAGES.value,
        classes=classes or CLASSES,
        problems=problems,
    )


def _leaks(source) -> list[str]:
    from vit_sentiment.evaluation.judge import leak_warnings
    from vit_sentiment.training.workdir import GROUPS_FILE

    folder = pathlib.Path(WORKDIR.value or pathlib.Path(WEIGHTS.value).parent)
    consequence = "the model is surer of them than of others, and the temperature too low"
    return leak_warnings(folder / GROUPS_FILE, source, consequence)


def _store(model, calibration) -> None:
    """Into `model.json` of a workdir, and beside its `best.npz` if that holds the same weights."""
    from checkpoints import google_npz
    from checkpoints.orbax_store import DESCRIPTION_FILE
    from vit_sentiment.runtime import files
    from vit_sentiment.training.workdir import BEST_FILE

    description = model.description.replace(calibration=calibration)
    if WEIGHTS.value:
        beside = google_npz.description_path(WEIGHTS.value)
        if not beside.exists():
            say(f"{beside}: made, with what was derived and assumed of {WEIGHTS.value}")
        google_npz.write_description(WEIGHTS.value, model.model_id, description)
        print(f"stored: {beside}")
        return
    path = pathlib.Path(WORKDIR.value, DESCRIPTION_FILE)
    files.write_json(path, description.to_json())
    print(f"stored: {path}, for step {model.step}")
    best = pathlib.Path(WORKDIR.value, BEST_FILE)
    beside = google_npz.description_path(best)
    if best.exists() and beside.exists():
        saved = files.read_json(beside)
        if isinstance(saved, dict) and saved.get("model_id") == model.model_id:
            google_npz.write_description(best, model.model_id, description)
            print(f"stored: {beside}")
        else:
            say(f"{beside}: left as it is, since {BEST_FILE} holds other weights")


def _out(source) -> pathlib.Path:
    if OUT.value:
        return pathlib.Path(OUT.value)
    name = "-".join(filter(None, [pathlib.Path(source.name).stem, source.split]))
    if WORKDIR.value:
        return pathlib.Path(WORKDIR.value, "calibration", name)
    return pathlib.Path("runs", "calibration", pathlib.Path(WEIGHTS.value).stem, name)


if __name__ == "__main__":
    startup.run(main, __doc__, groups=GROUPS)
