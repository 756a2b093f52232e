"""The report of a training run, or of its seeds, from the files in the workdir alone.

So it is of the whole run, however often that was stopped and resumed.
"""

import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from vit_sentiment.reporting import curves, html, manifest
from vit_sentiment.runtime import files
from vit_sentiment.training.run_facts import Found, read

REPORT_FILE = "report.html"

_CURVES = f"{curves.CAPTION} The dotted line is the best checkpoint."
_CHOSEN = (
    "The validation split chose the best step, so its figures are optimistic: `evaluate` tells "
    "those of photos that had no part in it."
)
_OF_SEEDS = (
    "Figures of the validation split, which chose each run's best step; the deviation is that of a "
    "sample. `evaluate --workdir` of this folder judges the seeds on photos that had no part in it."
)


def write(workdir: pathlib.Path, total: int, complete: bool) -> pathlib.Path:
    """Writes `report.html` into a workdir and returns its path.

    Args:
      total: steps of the whole schedule.
      complete: whether nothing is left to be done.
    """
    found = read(workdir)
    label = found.config["data"]["label"].replace("_", " ")
    best = "No validation so far."
    if found.best:
        step, value = found.best
        best = (
            f"Best validation {_shown(found.metric)} {value:.4f} at step {step:,}, against the "
            f"{label} of {found.made['validation']['rows']:,} photos."
        )
    state = "complete" if complete else "stopped, and goes on with the same command"
    told = (
        f"{best} Trained {found.steps:,} of at most {total:,} steps on "
        f"{found.made['train']['rows']:,} photos; the run is {state}. One seed, "
        f"{found.config['seed']}: another gives other figures."
    )
    step = found.best[0] if found.best else None
    drawn = [
        html.figure(curves.training_curves(found.log, step), _CURVES),
        html.figure(curves.pace(found.log), "Speed leaves out validation and saving."),
    ]
    sections = [
        ("Validation", [html.table(*_scores(found)), html.paragraph(_CHOSEN)]),
        ("Curves", drawn),
        ("Data", [html.table(*_data(found))]),
        ("Config", [html.table(*_config(found.config), kind="facts")]),
    ]
    title = f"Training of {workdir.name}"
    page = html.page(title, told, sections, _facts(found), made=found.made)
    files.write_text(workdir / REPORT_FILE, page)
    return workdir / REPORT_FILE


def _scores(found: Found) -> tuple[list[str], list[list[Any]]]:
    """Header and rows: metrics at the best and the last validation."""
    steps = [found.best[0]] if found.best else []
    steps += found.validated()[-1:]
    rows = [found.at(step) for step in steps]
    names = [name for name in (rows[0] if rows else {}) if name != "step"]
    words = ["best", "last"][-len(steps) :] if steps else []
    header = ["", *(f"{word}, step {step:,}" for word, step in zip(words, steps, strict=True))]
    table = [[_shown(name), *(row.get(name) for row in rows)] for name in names]
    table.append(["photos/s, median", *[found.speed and round(found.speed)] * len(steps)])
    return header, table


def _shown(name: str) -> str:
    part, _, metric = name.partition("/")
    words = metric.replace("macro_f1", "macro-F1").replace("_", " ")
    return f"{words}, moving average" if part == "validation_ema" else words


def _data(found: Found) -> tuple[list[str], list[list[Any]]]:
    """Header and rows: photos and shares of the classes, for training and validation."""
    parts = {name: found.made[name] for name in ("train", "validation")}
    classes = [*parts["train"].get("classes", {})]
    header = ["", "dataset", "split", "photos", "fingerprint", *classes]
    rows = []
    for name, part in parts.items():
        counts = part.get("classes", {})
        shares = (f"{counts[c] / max(part['rows'], 1):.1%}" for c in classes)
        first = [name, part["name"], part["split"], part["rows"], part["fingerprint"]]
        rows.append([*first, *shares])
    return header, rows


def _config(config: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    assumed = set(config.get("assumed", ()))
    rows = [
        [f"{name} (assumed)" if name in assumed else name, str(value)]
        for name, value in manifest.leaves(config).items()
        if name != "assumed"
    ]
    return ["field", "value"], rows


def _facts(found: Found) -> dict[str, Any]:
    facts = {
        "seed": found.config["seed"],
        "initial weights": found.made.get("initial_weights"),
        "unreadable photos, masked": found.unreadable,
    }
    for part in found.made.get("resumed", ()):
        told = manifest.told(part)
        words = (told["date"], told["commit"], told["hardware"])
        facts[f"resumed at step {part['step']:,}"] = ", ".join(filter(None, words))
    return facts


def write_seeds(
    folder: pathlib.Path, workdirs: Sequence[pathlib.Path], complete: bool
) -> pathlib.Path:
    """Writes `report.html` of several seeds into their common folder and returns its path.

    Args:
      workdirs: of the seeds that were begun.
    """
    runs = {workdir.name: read(workdir) for workdir in workdirs}
    any_run = next(iter(runs.values()))
    best = [run.best[1] for run in runs.values() if run.best]
    words = f"validation {_shown(any_run.metric)}"
    shown = "No validation so far."
    if best:
        spread = f" ± {statistics.stdev(best):.4f}" if len(best) > 1 else ""
        worst = max(best) if any_run.metric.endswith("log_loss") else min(best)
        shown = f"Best {words} {statistics.fmean(best):.4f}{spread}, worst {worst:.4f}."
    state = "all are complete" if complete else "stopped, and goes on with the same command"
    names = [name for name in any_run.at(any_run.best[0]) if name != "step"] if best else []
    rows = []
    for name, run in runs.items():
        at = run.at(run.best[0]) if run.best else {}
        speed = run.speed and round(run.speed)
        rows.append([name, run.best and run.best[0], *(at.get(n) for n in names), run.steps, speed])
    header = ["run", "best step", *map(_shown, names), "steps", "photos/s"]
    svg = curves.seeds({name: run.log for name, run in runs.items()}, any_run.metric, words)
    sections = [
        ("Seeds", [html.table(header, rows), html.paragraph(_OF_SEEDS)]),
        ("Curves", [html.figure(svg, f"{words} of each seed over its steps.")]),
        ("Data", [html.table(*_data(any_run))]),
    ]
    told = f"{shown} {len(runs)} seeds of one recipe; {state}."
    facts = {"seeds": ", ".join(str(run.config["seed"]) for run in runs.values())}
    page = html.page(f"Seeds of {folder.name}", told, sections, facts, made=any_run.made)
    files.write_text(folder / REPORT_FILE, page)
    return folder / REPORT_FILE
