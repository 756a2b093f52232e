"""The tables of a comparison, and the report and the CSV that hold them."""

import csv
import pathlib
from typing import Any

from vit_sentiment.evaluation.comparison import SPREAD, TESTED
from vit_sentiment.evaluation.single import REPORT_FILE
from vit_sentiment.reporting import figures, html, manifest
from vit_sentiment.runtime import files

COMPARISON_FILE = "comparison.json"
TABLE_FILE = "comparison.csv"

_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "macro_recall": "macro recall",
    "roc_auc": "ROC-AUC",
    "log_loss": "log-loss",
    "calibration_error": "calibration error",
}
_MINUS = "\N{MINUS SIGN}"

Table = tuple[list[str], list[list[Any]]]


def systems(compared: dict[str, Any]) -> Table:
    """Mean and deviation of each system's seeds; teacher and majority class below them."""
    header = ["mean ± deviation", *(_NAMES[name] for name in SPREAD), "worst accuracy"]
    rows = []
    for system in compared["systems"]:
        seeds = _count(len(system["runs"]))
        rows.append(_row(f"{system['name']}, {seeds}", system))
        if system["ema"]:
            rows.append(_row(f"{system['name']}, moving average, {seeds}", system["ema"]))
    rows += [
        [probe["name"], *(probe[name] for name in SPREAD), None] for probe in compared["probes"]
    ]
    if teacher := compared["teacher"]:
        rows.append(["teacher (text)", *(teacher.get(name) for name in SPREAD), None])
    rows.append(["majority class", compared["majority"], *[None] * len(SPREAD)])
    return header, rows


def _row(name: str, spread: dict[str, Any]) -> list[Any]:
    figures_ = (_mean_and_deviation(spread[figure]) for figure in SPREAD)
    return [name, *figures_, spread["accuracy"]["worst"]]


def _count(seeds: int) -> str:
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


def _mean_and_deviation(values: dict[str, Any]) -> str | None:
    if values["mean"] is None:
        return None
    return f"{html.cell(values['mean'])} ± {html.cell(values['deviation'])}"


def runs(compared: dict[str, Any]) -> Table:
    """The figures of each run."""
    rows = [
        [run["model"], run["seed"], *(system[name]["values"][number] for name in SPREAD)]
        for system in compared["systems"]
        for number, run in enumerate(system["runs"])
    ]
    return ["run", "seed", *(_NAMES[name] for name in SPREAD)], rows


def grouping(compared: dict[str, Any]) -> Table:
    """Which runs make a system, and why."""
    rows = [
        [
            system["name"],
            ", ".join(run["workdir"] for run in system["runs"]),
            ", ".join(str(run["seed"]) for run in system["runs"]),
            system["grouping"],
        ]
        for system in compared["systems"]
    ]
    return ["system", "workdirs", "seeds", "grouped by"], rows


def pairs(compared: dict[str, Any]) -> Table:
    """The paired tests; p-values are corrected for the number of pairs where there are several."""
    corrected = len(compared["pairs"]) > 1
    header = [f"first {_MINUS} second", "figure", "difference", "95 % interval", "p"]
    rows = []
    for pair in compared["pairs"]:
        name = f"{pair['first']} {_MINUS} {pair['second']}"
        for metric in TESTED:
            test = pair[metric]
            low, high = test["interval_95"]
            shown = f"{low:+.4f} to {high:+.4f}"
            rows.append([name, _NAMES[metric], f"{test['difference']:+.4f}", shown, test["p"]])
            rows[-1] += [test["p_holm"]] * corrected
        if test := pair["mcnemar"]:
            alone = f"right alone: {test['only_first']:,} and {test['only_second']:,}"
            rows.append([name, "McNemar", None, alone, test["p"]])
            rows[-1] += [test["p_holm"]] * corrected
    return header + ["p, Holm"] * corrected, rows


def report(title: str, compared: dict[str, Any], facts: dict[str, Any]) -> str:
    """The whole document.

    Args:
      compared: see `several.compare`.
      facts: what the manifest tells, shown at the end.
    """
    shown = "; ".join(
        f"{system['name']} {html.cell(system['accuracy']['mean'])}"
        for system in compared["systems"]
    )
    told = (
        f"Mean accuracy: {shown}. {compared['scored']:,} photos of {compared['data']} "
        f"{compared['split']}, scored against their {compared['label'].replace('_', ' ')}; "
        f"{compared['unlabelled']:,} without a label and {compared['unreadable']:,} that not every "
        "model could read are left out."
    )
    found = [
        html.table(*systems(compared)),
        html.paragraph(
            "Mean and sample standard deviation over the seeds of a system; one seed has none, and "
            "its figures vary with the seed."
        ),
    ]
    sections = [
        ("Systems", found),
        ("Runs", [html.table(*runs(compared)), html.table(*grouping(compared))]),
    ]
    if compared["pairs"]:
        tests = [
            html.table(*pairs(compared)),
            html.paragraph(
                "Differences are of means over seeds. Interval and p-value come from a paired "
                "bootstrap over tweets: they tell what other photos might have changed, not what "
                "other seeds might. McNemar's exact test is for single runs and takes photos for "
                "independent. Holm's correction is for the number of pairs, for each figure."
            ),
            *(html.figure(_forest(compared, name), _NAMES[name]) for name in TESTED),
        ]
        sections.append(("Differences", tests))
    return html.page(title, told, sections, facts, warnings=compared["warnings"])


def _forest(compared: dict[str, Any], metric: str) -> str:
    tests = [pair[metric] for pair in compared["pairs"]]
    names = [f"{pair['first']} {_MINUS} {pair['second']}" for pair in compared["pairs"]]
    return figures.differences(
        names, [t["difference"] for t in tests], [t["interval_95"] for t in tests]
    )


def write(folder: pathlib.Path, compared: dict[str, Any], facts: dict[str, Any]) -> None:
    """Writes `comparison.json`, `comparison.csv`, the report and the manifest into a folder.

    Args:
      compared, facts: see `report`.
    """
    names = [system["name"] for system in compared["systems"]]
    files.write_json(folder / COMPARISON_FILE, compared)
    _write_csv(folder / TABLE_FILE, compared)
    manifest.write(folder, {**facts, "label": compared["label"], "systems": names})
    title = f"{', '.join(names)} on {compared['data']} {compared['split']}".strip()
    files.write_text(folder / REPORT_FILE, report(title, compared, facts))


def _write_csv(path: pathlib.Path, compared: dict[str, Any]) -> None:
    """One row for each system, the teacher and the majority class; empty where there is none."""
    parts = ("mean", "deviation", "worst")
    header = ["system", "seeds", *(f"{figure}_{part}" for figure in SPREAD for part in parts)]
    rows = [
        [s["name"], len(s["runs"]), *(s[figure][part] for figure in SPREAD for part in parts)]
        for s in compared["systems"]
    ]
    majority = {"accuracy": compared["majority"]}
    for name, values in (("teacher", compared["teacher"]), ("majority", majority)):
        if values:
            means = {f"{figure}_mean": values.get(figure) for figure in SPREAD}
            rows.append([name, *(means.get(column) for column in header[1:])])
    with (
        files.replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([header, *rows])
