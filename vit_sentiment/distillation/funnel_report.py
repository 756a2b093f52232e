"""What `distill` tells when it is done: the funnel on the terminal, as JSON and in a report."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from ml_collections import ConfigDict

from input_pipeline.problems import Problems
from input_pipeline.records import CLASSES
from vit_sentiment.distillation.pipeline import FUNNEL_FILE, LEFT, Funnel, Result
from vit_sentiment.reporting import figures, html, manifest
from vit_sentiment.runtime import config_fields, files

REPORT_FILE = "report.html"

HEADER = ("stage", "what", "count")


def rows(funnel: Funnel) -> list[tuple[str, str, int]]:
    """The funnel as a table with the columns `HEADER`; a stage is named once."""
    return [
        ("" if number else stage, what, count)
        for stage, counts in funnel.items()
        for number, (what, count) in enumerate(counts.items())
    ]


def write(
    folder: pathlib.Path,
    name: str,
    funnel: Funnel,
    parts: Mapping[str, pl.DataFrame],
    problems: Problems,
    facts: Mapping[str, Any],
) -> None:
    """Writes `funnel.json` and `report.html`.

    Args:
      parts: the rows of each split.
      facts: what the report names of the run, field by field.
    """
    files.write_json(folder / FUNNEL_FILE, funnel)
    left = {stage: counts[LEFT] for stage, counts in funnel.items()}
    first, last = next(iter(left.values())), next(reversed(left.values()))
    told = (
        f"Of {first:,} photos {last:,} are in the dataset. Labels are the text teacher's: what a "
        "tweet says, not what its photo shows. Human labels, where there are any, are for "
        "evaluation alone."
    )
    caption = "Every photo that fell away is counted below."
    svg = figures.funnel(left, "photos")
    sections = [
        ("Funnel", [html.figure(svg, caption), html.table(HEADER, rows(funnel))]),
        ("Classes", [html.table(*class_table(parts))]),
        ("Rows that could not be used", [_problems(problems)]),
    ]
    page = html.page(f"Distilled from {name}", told, sections, facts)
    files.write_text(folder / REPORT_FILE, page)


def card_facts(
    found: Result, source: str, config: ConfigDict, teacher: Mapping[str, Any]
) -> dict[str, Any]:
    """What `card.card` tells of the run; the writer adds what was written."""
    here = manifest.surroundings()
    return {
        "source": pathlib.PurePath(source).name,  # Where it lies is nobody's business.
        "date": here["date"][:10],
        "vit_sentiment": here["vit_sentiment"],
        "commit": here["commit"],
        "packages": {name: here["packages"][name] for name in ("jax", "numpy", "polars")},
        "languages": [config.filter.language] if config.filter.language else [],
        "teacher": dict(teacher),
        "rules": {k: str(v) for k, v in config_fields.leaves(config).items() if _is_rule(k)},
        "funnel": {
            f"{stage}: {what}": count
            for stage, counts in found.funnel.items()
            for what, count in counts.items()
        },
    }


def _is_rule(field: str) -> bool:
    """Whether it says which photos are there, and under which label."""
    return not field.startswith(("teacher.", "fetch.", "write."))


def class_table(parts: Mapping[str, pl.DataFrame]) -> tuple[Sequence[str], list[list[Any]]]:
    """Header and rows: photos of each split, of each class, and groups."""
    table = []
    for part, photos in parts.items():
        counts = [int((photos["teacher_label"] == i).sum()) for i in range(len(CLASSES))]
        human = int((photos["human_label"] >= 0).sum())
        table.append([part, len(photos), *counts, photos["group"].n_unique(), human])
    return ("split", "photos", *CLASSES, "groups", "human labels"), table


def _problems(problems: Problems) -> str:
    if not problems.rows:
        return html.paragraph("None.")
    kinds = pl.DataFrame({"problem": [row[2] for row in problems.rows]})
    # Names of tweets and files differ from row to row: one kind is what remains without numbers.
    kind = pl.col("problem").str.replace_all(r"\d+", "N")
    counted = kinds.group_by(kind).len().sort("len", "problem", descending=[True, False])
    return html.table(("problem", "rows"), counted.head(20).rows())
