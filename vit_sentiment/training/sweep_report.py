"""The table of a sweep, and the report and the CSV that hold it."""

import csv
import pathlib
from typing import Any

from vit_sentiment.reporting import figures, html, manifest
from vit_sentiment.runtime import files

RESULT_FILE = "sweep.json"
TABLE_FILE = "sweep.csv"
REPORT_FILE = "sweep.html"

Table = tuple[list[str], list[list[Any]]]


def notes(swept: dict[str, Any], folder: pathlib.Path) -> list[str]:
    """What a reader of the table must know, before the best row is taken for a result.

    Args:
      swept: see `sweeping.collect`.
    """
    points, texts = swept["points"], []
    if swept["incomplete"]:
        total = len(points) + len(swept["failed"]) + len(swept["incomplete"])
        texts.append(f"{len(swept['incomplete'])} of {total} points are not complete.")
    if len({str(run["validated_on"]) for found in points for run in found["runs"]}) > 1:
        texts.append(
            "Points were validated on different photos or labels; their figures cannot be compared."
        )
    if points:
        texts.append(
            f"{swept['metric']} is of the validation split, at each run's best step: it chose step "
            f"and point, so the first row is optimistic. Judge that point on photos that had no "
            f"part in it: vit_sentiment.evaluate --workdir={folder / points[0]['point']} --data=..."
        )
    if points and len(swept["seeds"]) == 1:
        texts.append(
            "One seed for each point: the order of the rows may be luck. Give more, such as "
            "--seeds=0,1,2, before the first row is called a result."
        )
    return texts


def table(swept: dict[str, Any], fields: list[str]) -> Table:
    """A row for each complete point, best first, and below them one for each that failed."""
    header = [*fields, f"validation {swept['metric']}", "best step", "steps", "images/s"]
    rows = [
        [
            *(str(found["values"][field]) for field in fields),
            _mean_and_deviation(found),
            ", ".join(str(run["best_step"]) for run in found["runs"]),
            found["steps"],
            _rounded(found["images_per_second"]),
        ]
        for found in swept["points"]
    ]
    if not swept["failed"]:
        return header, rows
    rows = [[*row, None] for row in rows]
    rows += [
        [*(str(found["values"][field]) for field in fields), "failed", *[None] * 3, found["error"]]
        for found in swept["failed"]
    ]
    return [*header, "error"], rows


def _mean_and_deviation(found: dict[str, Any]) -> str:
    if found["deviation"] is None:
        return html.cell(found["mean"])
    return f"{html.cell(found['mean'])} ± {html.cell(found['deviation'])}"


def _rounded(speed: float | None) -> int | None:
    return None if speed is None else round(speed)


def report(
    title: str,
    swept: dict[str, Any],
    axes: dict[str, list[Any]],
    texts: list[str],
    facts: dict[str, Any],
) -> str:
    """The whole document.

    Args:
      axes: see `sweeping.parse_grid`.
      texts: see `notes`.
      facts: shown at the end.
    """
    seeds = ", ".join(map(str, swept["seeds"]))
    best = ""
    if swept["points"]:
        best = f"Best validation {swept['metric']}: {_mean_and_deviation(swept['points'][0])}. "
    told = (
        f"{best}{len(swept['points'])} complete points, trained with "
        f"the seeds {seeds}; mean and sample standard deviation over the seeds."
    )
    parts = [html.table(*table(swept, list(axes)))]
    for field, values in axes.items():
        if _is_numeric(values) and len(swept["points"]) > 1:
            points = [
                (found["values"][field], found["mean"], found["deviation"])
                for found in swept["points"]
            ]
            svg = figures.swept(points, field, f"validation {swept['metric']}")
            caption = "Each point is one row of the table; bars: deviation over its seeds."
            parts.append(html.figure(svg, caption))
    return html.page(title, told, [("Points", parts)], facts, warnings=texts)


def _is_numeric(values: list[Any]) -> bool:
    return len(values) > 1 and all(type(value) in (int, float) for value in values)


def write(
    folder: pathlib.Path,
    title: str,
    swept: dict[str, Any],
    axes: dict[str, list[Any]],
    facts: dict[str, Any],
) -> None:
    """Writes `sweep.json`, `sweep.csv`, `sweep.html` and the manifest; arguments as in `report`."""
    texts = notes(swept, folder)
    result = {"grid": axes, **swept, "notes": texts}
    files.write_json(folder / RESULT_FILE, result)
    _write_csv(folder / TABLE_FILE, swept, list(axes))
    manifest.write(folder, {**facts, "grid": axes, "seeds": swept["seeds"]})
    shown = {"seeds": swept["seeds"], **axes}
    files.write_text(folder / REPORT_FILE, report(title, swept, axes, texts, shown))


def _write_csv(path: pathlib.Path, swept: dict[str, Any], fields: list[str]) -> None:
    """One row for each point that is complete or failed; empty where there is nothing."""
    metric, seeds = swept["metric"], swept["seeds"]
    header = ["point", *fields, f"{metric}_mean", f"{metric}_deviation"]
    header += [f"{metric}_seed_{seed}" for seed in seeds]
    header += ["steps", "images_per_second", "error"]
    rows = [
        [found["point"], *(found["values"][field] for field in fields), found["mean"]]
        + [found["deviation"], *(run["best"] for run in found["runs"])]
        + [found["steps"], found["images_per_second"], None]
        for found in swept["points"]
    ]
    rows += [
        [found["point"], *(found["values"][field] for field in fields)]
        + [None] * (4 + len(seeds))
        + [found["error"]]
        for found in swept["failed"]
    ]
    with (
        files.replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([header, *rows])
