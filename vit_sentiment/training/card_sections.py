"""Sections of a model's card that tell of a run: its data, its recipe, its results."""

import pathlib
from collections.abc import Mapping
from typing import Any

from vit_sentiment.evaluation import calibration_report, single
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.reporting import manifest, markdown
from vit_sentiment.runtime import files
from vit_sentiment.training import workdir as workdirs
from vit_sentiment.training.run_facts import Found

_RECIPE = ("model", "augment", "stages", "optimizer", "loss", "ema_decay", "early_stopping")
_SHOWN = ("accuracy", "macro_f1", "macro_recall", "log_loss", "calibration_error")


def name(path_or_name: str) -> str:
    """A dataset or file as it may be told to others: without the folders of somebody's machine."""
    path = pathlib.PurePath(path_or_name)
    return path.name if path.is_absolute() else path_or_name


def data(found: Found) -> str:
    """What it was trained on, and what the dataset's own card told of it."""
    told = found.made["train"].get("card", {})
    rows = []
    for part in ("train", "validation"):
        of = found.made[part]
        shares = [f"{n / max(of['rows'], 1):.1%}" for n in of.get("classes", {}).values()]
        first = [part, name(of["name"]), of["split"], of["rows"], of["fingerprint"]]
        rows.append([*first, *shares])
    header = [
        "",
        "dataset",
        "split",
        "photos",
        "fingerprint",
        *found.made["train"].get("classes", {}),
    ]
    label = found.config["data"]["label"].replace("_", " ")
    teacher = [[f"teacher: {key}", value] for key, value in told.get("teacher", {}).items()]
    if told.get("languages"):
        teacher.append(["languages of the texts", told["languages"]])
    return markdown.section(
        "Data",
        told.get("about", ""),
        f"Trained on each photo's {label}. {found.unreadable:,} unreadable photos were left out.",
        markdown.table(header, rows),
        markdown.table(("what", "value"), teacher),
    )


def training(found: Found, workdir: pathlib.Path) -> str:
    """Steps, seed, best validation and the recipe, field by field."""
    config = found.config
    fields = manifest.leaves({key: config[key] for key in _RECIPE if key in config})
    rows = [[key, value] for key, value in fields.items()]
    rows.append(["data.batch_size", config["data"]["batch_size"]])
    told = f"{found.steps:,} steps with the seed {config['seed']}."
    if found.best:
        told += f" Best validation ({found.metric}) {found.best[1]:.4f} at step {found.best[0]:,}."
    siblings = sorted(
        path.parent.name for path in workdir.parent.glob(f"seed-*/{workdirs.RUN_FILE}")
    )
    if workdir.name in siblings and len(siblings) > 1:
        told += f" It is one of {len(siblings)} runs that differ in their seed: "
        told += f"{', '.join(siblings)}. Judge the recipe by all of them."
    else:
        told += " It is a single run: another seed gives other figures."
    if config.get("assumed"):
        told += (
            f" Assumed, since the original does not document it: {', '.join(config['assumed'])}."
        )
    return markdown.section("Training", told, markdown.table(("field", "value"), rows))


def evaluations(workdir: pathlib.Path, model_id: str | None) -> list[dict[str, Any]]:
    """Evaluations in the workdir that are of these weights; of any where nobody knows the id."""
    found = []
    for path in sorted(workdir.glob(f"evaluation/*/{single.METRICS_FILE}")):
        by = files.read_json(path.parent / manifest.FILE)
        if model_id is None or by["model_id"] == model_id:
            found.append({**files.read_json(path), "data": name(by["data"]), "made": by})
    return found


def index(evaluated: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the hub reads it; for people there is the table."""
    found = []
    for result in evaluated:
        of = {"name": result["data"], "type": result["data"], "split": result["made"]["split"]}
        values = (("accuracy", "accuracy"), ("f1", "macro_f1"))
        metrics = [{"type": type_, "value": result["model"][key]} for type_, key in values]
        found.append({"task": {"type": "image-classification"}, "dataset": of, "metrics": metrics})
    return [{"name": "vit_sentiment", "results": found}] if found else []


def results(evaluated: list[dict[str, Any]]) -> str:
    """The table of `evaluations`: intervals, teacher and majority class; and their warnings."""
    header = ["data", "against", "which", "photos", "accuracy", "95 % interval", *_SHOWN[1:]]
    rows, warnings = [], []
    for result in evaluated:
        where = f"{result['data']} {result['made']['split']}".strip()
        first = [where, result["label"].replace("_", " ")]
        for which, key in (("model", "model"), ("teacher (text)", "teacher")):
            if values := result[key]:
                low, high = values.get("interval_95", {}).get("accuracy", (None, None))
                interval = "" if low is None else f"{low:.4f} to {high:.4f}"
                shown = [_figure(values.get(name)) for name in _SHOWN]
                rows.append([*first, which, values["rows"], shown[0], interval, *shown[1:]])
        majority = _figure(result["model"]["majority"])
        rest = [""] * len(_SHOWN)
        rows.append([*first, "majority class", result["model"]["rows"], majority, *rest])
        warnings += [f"- Warning, {where}: {text}" for text in result["warnings"]]
    none = "The run's folder has no evaluation of these weights: see `evaluate` below."
    interval = "Intervals are bootstrapped over groups (tweets), not over seeds."
    told = interval if rows else none
    return markdown.section("Results", markdown.table(header, rows), "\n".join(warnings), told)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def calibration(workdir: pathlib.Path, description: ModelDescription) -> str:
    """What the description's calibration is of, and what it changed."""
    fitted = description.calibration
    if fitted is None:
        return markdown.section("Calibration", "None: probabilities are the softmax as it is.")
    told = (
        f"Logits are divided by {fitted.temperature:.4f}, fitted on {fitted.rows:,} photos of "
        f"{name(fitted.data)} {fitted.split} by their {fitted.label.replace('_', ' ')}"
        f"{'' if fitted.step is None else f', for step {fitted.step:,}'}."
    )
    for path in sorted(workdir.glob(f"calibration/*/{calibration_report.RESULT_FILE}")):
        found = files.read_json(path)
        if found["calibration"]["fingerprint"] == fitted.fingerprint:
            errors = [
                found["figures"][n]["calibration_error"] for n in ("uncalibrated", "cross_fitted")
            ]
            told += " Calibration error {:.4f} before, {:.4f} after (cross-fitted).".format(*errors)
    return markdown.section("Calibration", told)


def made(by: Mapping[str, Any]) -> str:
    """Surroundings of the run, but for the command: it names folders of somebody's machine."""
    told = {key: value for key, value in manifest.told(by).items() if key != "command"}
    told |= {
        f"resumed at step {part['step']:,}": part.get("date") for part in by.get("resumed", ())
    }
    rows = [(key, value) for key, value in told.items() if value]
    return markdown.section("How this was made", markdown.table(("what", "value"), rows))
