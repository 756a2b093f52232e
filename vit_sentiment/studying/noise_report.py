"""The table of the study of noise, and the report and the CSV that hold it."""

import csv
import pathlib
from typing import Any

from vit_sentiment.reporting import figures, html, manifest
from vit_sentiment.runtime import files
from vit_sentiment.studying.methods import METHODS

RESULT_FILE = "noise.json"
TABLE_FILE = "noise.csv"
REPORT_FILE = "noise.html"

_MINUS = "\N{MINUS SIGN}"

Table = tuple[list[str], list[list[Any]]]


def table(found: dict[str, Any]) -> Table:
    """Accuracies on human labels, a row for each method below its noise; see `noise.collect`."""
    header = ["noise", "method", "mean", "worst", "deviation", "95 % interval"]
    header += [f"{_MINUS} hard", "95 % interval", "p, Holm"]
    rows = []
    for noise in found["noises"]:
        for method in noise["methods"]:
            accuracy, against = method["accuracy"], method["against_hard"]
            row = [noise["noise"], method["method"], accuracy["mean"], accuracy["worst"]]
            row += [accuracy["deviation"], _shown(method["interval_95"])]
            if against:
                test = against["accuracy"]
                difference = f"{test['difference']:+.4f}"
                row += [difference, _shown(test["interval_95"], "+"), test["p_holm"]]
            rows.append(row + [None] * (len(header) - len(row)))
        for name in ("teacher", "majority"):
            mean = sum(noise[name]) / len(noise[name])
            rows.append([noise["noise"], name, mean, min(noise[name]), *[None] * 5])
    return header, rows


def _shown(interval: list[float] | None, sign: str = "") -> str | None:
    return interval and " to ".join(f"{value:{sign}.4f}" for value in interval)


def notes(found: dict[str, Any]) -> list[str]:
    """What a reader of the table must know."""
    texts = []
    if found["incomplete"]:
        texts.append(f"Not complete, and so not in the table: {', '.join(found['incomplete'])}.")
    if len(found["seeds"]) == 1:
        texts.append("One seed: the order of the rows may be luck. Give more, such as 0,1,2.")
    for noise in found["noises"]:
        for seed, estimate in zip(found["seeds"], noise["estimated"], strict=False):
            texts.append(
                f"{noise['noise']}, seed {seed}: the estimated noise matrix is off by at most "
                f"{estimate['largest_error']:.3f} in an entry."
            )
    return texts


def report(found: dict[str, Any], facts: dict[str, Any]) -> str:
    """The whole document.

    Args:
      found: see `noise.collect`.
      facts: shown at the end.
    """
    told = (
        f"{_best(found)}Accuracy is on the human labels of the test split, {found['count']:,} "
        f"tweets drawn for each of the seeds {', '.join(map(str, found['seeds']))}. Intervals of a "
        "method are of the mean over seeds, by Student's t; those of a difference to hard are of a "
        "paired bootstrap over the test tweets of all seeds, and p-values are corrected by Holm "
        "for the number of methods."
    )
    parts = [html.table(*table(found)), *(html.paragraph(text) for text in notes(found))]
    for noise in found["noises"]:
        methods = {method["method"]: method["accuracy"]["values"] for method in noise["methods"]}
        teacher = sum(noise["teacher"]) / len(noise["teacher"])
        svg = figures.seeds(methods, teacher)
        parts.append(html.figure(svg, f"{noise['noise']}: {noise['what']}. A point is a seed."))
    names = html.table(["method", "what"], [(name, how.what) for name, how in METHODS.items()])
    sections = [("Accuracy", parts), ("Methods", [names])]
    return html.page("Learning from noisy teachers", told, sections, facts)


def _best(found: dict[str, Any]) -> str:
    """The method with the greatest mean accuracy under each noise."""
    texts = []
    for noise in found["noises"]:
        means = {each["method"]: each["accuracy"]["mean"] for each in noise["methods"]}
        if means:
            name = max(means, key=means.__getitem__)
            texts.append(f"{noise['noise']}: {name} is best with a mean of {means[name]:.4f}. ")
    return "".join(texts)


def write(folder: pathlib.Path, found: dict[str, Any], config: str) -> None:
    """Writes `noise.json`, `noise.csv`, `noise.html` and the manifest; `config` names the file."""
    facts = {"config file": config, "count": found["count"], "seeds": found["seeds"]}
    files.write_json(folder / RESULT_FILE, {**found, "notes": notes(found)})
    _write_csv(folder / TABLE_FILE, found)
    manifest.write(folder, facts)
    files.write_text(folder / REPORT_FILE, report(found, facts))


def _write_csv(path: pathlib.Path, found: dict[str, Any]) -> None:
    """One row for each method; empty where there is nothing."""
    seeds = found["seeds"]
    header = ["noise", "method", "mean", "worst", "deviation", "low_95", "high_95"]
    header += ["minus_hard", "minus_hard_low_95", "minus_hard_high_95", "p_holm"]
    header += [f"seed_{seed}" for seed in seeds]
    rows = []
    for noise in found["noises"]:
        for method in noise["methods"]:
            accuracy, against = method["accuracy"], method["against_hard"]
            test = against["accuracy"] if against else None
            compared = [test["difference"], *test["interval_95"], test["p_holm"]] if test else []
            rows.append([noise["noise"], method["method"], accuracy["mean"], accuracy["worst"]])
            rows[-1] += [accuracy["deviation"], *(method["interval_95"] or [None] * 2)]
            rows[-1] += compared or [None] * 4
            rows[-1] += accuracy["values"]
        for name in ("teacher", "majority"):
            values = noise[name]
            rows.append([noise["noise"], name, sum(values) / len(values), min(values)])
            rows[-1] += [*[None] * 7, *values]
    with (
        files.replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([header, *rows])
