"""The summary of a scored list, for machines, for the terminal and as a page."""

import pathlib
from collections.abc import Mapping
from typing import Any

from vit_sentiment.reporting import html, manifest
from vit_sentiment.reporting.terminal import print_table
from vit_sentiment.runtime import files
from vit_sentiment.runtime.progress import say

SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
_KINDS = {
    "labels": "share of labels",
    "probability": "mean probability",
    "corrected": "corrected share",
}
_MOST_REASONS = 10
"""Shown; the JSON file has more."""

Table = tuple[list[str], list[list[Any]]]


def show(summary: Mapping[str, Any]) -> None:
    """Prints the tables of a summary to stdout, and tells what it lacks."""
    print_table(*class_table(summary))
    if summary["failed"]:
        print_table(*failure_table(summary))
    for note in summary["notes"]:
        say(f"note: {note}")
    say(counted(summary))


def write(folder: pathlib.Path, summary: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Writes `summary.json`, `report.html` and `manifest.json`; `facts` close the report."""
    files.write_json(folder / SUMMARY_FILE, summary)
    files.write_text(folder / REPORT_FILE, report(summary, facts))
    manifest.write(folder, facts)


def counted(summary: Mapping[str, Any]) -> str:
    """How many photos there are of each kind, in one line."""
    kinds = ("readable", "failed", "unlabelled")
    named = {"readable": "read", "failed": "not readable", "unlabelled": "without a label"}
    told = ", ".join(f"{summary[kind]:,} {named[kind]}" for kind in kinds if summary[kind])
    return f"{summary['rows']:,} photos: {told}"


def class_table(summary: Mapping[str, Any]) -> Table:
    """Header and rows: the classes, and their shares with 95 % intervals."""
    shares = summary["shares"]
    header = ["class", "photos"]
    for kind in shares:
        header += [_KINDS[kind], "95 % interval"]
    rows = []
    for name, count in summary["labels"].items():
        row = [name, count]
        for values in shares.values():
            row += [values[name]["share"], "{low:.4f} to {high:.4f}".format(**values[name])]
        rows.append(row)
    return header, rows


def failure_table(summary: Mapping[str, Any]) -> Table:
    """Header and rows: why photos could not be read, the most frequent reasons first."""
    shown = summary["failures"][:_MOST_REASONS]
    rows = [[found["reason"], found["rows"], found["example"]] for found in shown]
    return ["not readable because", "photos", "for example"], rows


def report(summary: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The whole document."""
    meaning = html.paragraph(
        "Labels count what the model says; where it takes one class for another more often "
        "than the other way, their shares are off. Mean probabilities are right as far as the "
        "model is calibrated and these photos have the class shares of its calibration set. "
        "Corrected shares drop the latter: they are the ones that make these photos likeliest "
        "(Saerens et al. 2002). Intervals are for photos drawn at random; mistakes of the "
        "model are not in them."
    )
    sections = [("Classes", [html.table(*class_table(summary)), meaning])]
    if summary["failed"]:
        sections.append(("Not readable", [html.table(*failure_table(summary))]))
    return html.page(
        "Scores of a list of photos",
        f"{counted(summary)}.",
        sections,
        facts,
        warnings=summary["notes"],
    )
