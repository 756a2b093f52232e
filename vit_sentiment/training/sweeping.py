"""A sweep: the points of a grid of fields, each trained in a folder of its own, and its results."""

import ast
import copy
import dataclasses
import hashlib
import itertools
import json
import pathlib
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_flags import config_path

from vit_sentiment.evaluation.comparison import LOWER_IS_BETTER
from vit_sentiment.reporting import metric_log
from vit_sentiment.runtime import config_fields
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say
from vit_sentiment.training import validation
from vit_sentiment.training import workdir as workdirs
from vit_sentiment.training.run import train_seeds

_NOT_SWEPT = {
    "seed": "every point is trained with the seeds of --seeds",
    "validation.metric": "points are compared by it",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST = 100
"""Characters of a point's name; file systems take 255 bytes."""


@dataclasses.dataclass(frozen=True)
class Point:
    """One point of the grid.

    Attributes:
      name: of its folder; depends on `values` alone.
      values: of the swept fields.
      config: the base config with these values.
    """

    name: str
    values: dict[str, Any]
    config: ConfigDict


def parse_axis(config: ConfigDict, text: str) -> tuple[str, list[Any]]:
    """Field and values of `field=1,2,3`, or of `field=[(0.5, 1.0), (0.8, 1.0)]`, a Python list.

    Raises:
      UserError: it is not of that form; there is no such field; a value is not of its type.
    """
    field, equals, listed = text.partition("=")
    if not equals:
        raise UserError("expected FIELD=VALUE,VALUE,...")
    if field in _NOT_SWEPT:
        raise UserError(f"{field} is not swept: {_NOT_SWEPT[field]}")
    kind, now = config_fields.find(config, field)
    if listed.startswith("["):
        try:
            items = ast.literal_eval(listed)
        except (ValueError, SyntaxError) as error:
            raise UserError(f"not a Python list: {listed}") from error
    elif kind is tuple:
        raise UserError(f"{field} is a tuple; give its values as a list, [{now!r}, ...]")
    else:
        items = listed.split(",")
    values = [config_fields.convert(config, field, item) for item in items]
    if not values:
        raise UserError(f"{field} has no values")
    twice = [value for number, value in enumerate(values) if value in values[:number]]
    if twice:
        raise UserError(f"{field} is {twice[0]!r} twice")
    return field, values


def parse_grid(config: ConfigDict, texts: Sequence[str]) -> dict[str, list[Any]]:
    """Values by field; see `parse_axis`."""
    axes: dict[str, list[Any]] = {}
    for text in texts:
        try:
            field, values = parse_axis(config, text)
            if field in axes:
                raise UserError(f"{field} is swept twice; give all its values at once")
        except UserError as error:
            raise UserError(f"--grid={text}: {error}") from error
        axes[field] = values
    return axes


def make_points(config: ConfigDict, axes: Mapping[str, Sequence[Any]]) -> list[Point]:
    """All points of the grid; the last field changes fastest."""
    points = []
    for combination in itertools.product(*axes.values()):
        values = dict(zip(axes, combination, strict=True))
        own = copy.deepcopy(config)  # ConfigDict's own copies share the stages.
        for field, value in values.items():
            config_path.set_value(field, own, value)
        points.append(Point(point_name(values), values, own))
    return points


def point_name(values: Mapping[str, Any]) -> str:
    """A file name such as `optimizer.name=lion+stages.0.learning_rate=0.001`.

    It does not depend on the order of the fields. What a name cannot hold (a path, a long text) is
    replaced or cut, and then a hash of the values is added. No commas, since `evaluate` separates
    workdirs with them, and no brackets, which shells expand.
    """
    parts, is_exact = [], True
    for field, value in sorted(values.items()):
        safe, is_safe = _value_name(value)
        parts.append(f"{field.replace('[', '.').replace(']', '')}={safe}")
        is_exact = is_exact and is_safe
    name = "+".join(parts)
    if is_exact and len(name) <= _LONGEST:
        return name
    hashed = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}-{hashed}"


def _value_name(value: Any) -> tuple[str, bool]:
    """A value in file names, and whether no other value is written so."""
    if isinstance(value, tuple):
        flat = all(isinstance(item, (int, float)) for item in value)
        return "_".join(_value_name(item)[0] for item in value), flat
    if isinstance(value, str):
        safe = _UNSAFE.sub("-", value)
        return safe, safe == value
    return repr(value), True


def train_points(
    points: Sequence[Point],
    folder: pathlib.Path,
    seeds: Sequence[int],
    at_once: str,
    should_stop: Callable[[int], bool],
) -> tuple[bool, dict[str, str]]:
    """Trains or resumes the points one after another, in `folder`/POINT/seed-N.

    Args:
      at_once, should_stop: see `run.train_seeds`.

    Returns:
      Whether it came to its end, which it does not when `should_stop` said so; and what was wrong
      with points that failed, by their name.
    """
    failed: dict[str, str] = {}
    for number, point in enumerate(points, start=1):
        if should_stop(0):
            return False, failed
        say(f"point {number} of {len(points)}: {point.name}")
        try:
            complete = train_seeds(point.config, folder / point.name, seeds, at_once, should_stop)
        except UserError as error:
            failed[point.name] = str(error)
            say(f"point {number} of {len(points)} failed: {error}")
            continue
        if not complete:
            return False, failed
    return True, failed


def collect(
    points: Sequence[Point], folder: pathlib.Path, seeds: Sequence[int], failed: Mapping[str, str]
) -> dict[str, Any]:
    """What is known of the points by now, whoever trained them, as JSON values.

    Args:
      failed: see `train_points`.

    Returns:
      `points`: those that are complete with all seeds, best first by the mean over the seeds of
      each one's best `metric` on the validation split; `failed`, with why; and the names of those
      that are neither, `incomplete`.
    """
    problems = dict(failed)
    complete = []
    for point in points:
        if point.name in problems:
            continue
        try:
            complete += [found] if (found := _collect(point, folder, seeds)) else []
        except UserError as error:
            problems[point.name] = str(error)
    metric = points[0].config.validation.metric
    order = 1 if metric in LOWER_IS_BETTER else -1
    done = {found["point"] for found in complete} | problems.keys()
    return {
        "metric": metric,
        "seeds": list(seeds),
        "points": sorted(complete, key=lambda found: order * found["mean"]),
        "failed": [
            {"point": point.name, "values": point.values, "error": problems[point.name]}
            for point in points
            if point.name in problems
        ],
        "incomplete": [point.name for point in points if point.name not in done],
    }


def _collect(point: Point, folder: pathlib.Path, seeds: Sequence[int]) -> dict[str, Any] | None:
    """One point's results, None where a seed is not complete."""
    runs = []
    for seed in seeds:
        workdir = folder / point.name / f"seed-{seed}"
        if not (workdir / workdirs.BEST_FILE).exists():
            return None
        own = copy.deepcopy(point.config)
        own.seed = seed
        if not workdirs.belongs(own, workdir):
            raise UserError(f"{workdir}: holds a run of another config; choose another --workdir")
        runs.append({"seed": seed, **_best(own, workdir)})
    means = [run["best"] for run in runs]
    speeds = [run["images_per_second"] for run in runs if run["images_per_second"]]
    return {
        "point": point.name,
        "values": point.values,
        "runs": runs,
        "mean": statistics.fmean(means),
        "deviation": statistics.stdev(means) if len(means) > 1 else None,
        "steps": max(run["steps"] for run in runs),
        "images_per_second": statistics.median(speeds) if speeds else None,
    }


def _best(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """The validation metric of a run at its best step, of several equal ones the last."""
    rows = metric_log.read(workdir)
    best = validation.best(config, rows)
    if best is None:
        raise UserError(f"{workdir / metric_log.FILE}: holds no validation")
    speeds = [speed for row in rows if (speed := row.get("speed/images_per_second"))]
    recipe = workdirs.recipe(workdir)
    return {
        "best": best[1],
        "best_step": best[0],
        "steps": max(row["step"] for row in rows),
        "images_per_second": statistics.median(speeds) if speeds else None,
        "validated_on": [recipe["validation"], recipe["config.data.label"]],
    }
