"""The study of noisy teachers: trains and evaluates its cases, and collects what is known."""

import pathlib
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from input_pipeline.problems import Problems
from input_pipeline.sources import open_source
from vit_sentiment.evaluation import comparison, single
from vit_sentiment.inference.model import load
from vit_sentiment.reporting import metric_log
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say
from vit_sentiment.studying import cases
from vit_sentiment.studying.cases import BASELINE, Case, ShouldStop, Study
from vit_sentiment.studying.drawn import LABELLED
from vit_sentiment.studying.methods import METHODS, NOISES
from vit_sentiment.training import workdir as workdirs
from vit_sentiment.training.run import Job, train_jobs

_LABEL = "human_label"
_EVALUATION = "evaluation"


def train(study: Study, should_stop: ShouldStop) -> bool:
    """Draws, trains and evaluates what is not complete; whether it came to the end.

    Raises:
      UserError: a case failed, or its folder holds one of another config.
      subprocess.CalledProcessError: a command that draws has a defect.
    """
    todo = list(cases.cases(study))
    for number, case in enumerate(todo, start=1):
        if should_stop(0):
            return False
        say(f"run {number} of {len(todo)}: {case.noise}, seed {case.seed}, {case.method}")
        try:
            if not _one(case, should_stop):
                return False
        except (UserError, subprocess.CalledProcessError):
            if should_stop(0):  # Ctrl-C ends the commands that draw, too.
                return False
            raise
    return True


def _one(case: Case, should_stop: ShouldStop) -> bool:
    dataset = cases.data(case)
    config = cases.config(case, dataset, cases.matrix(case, dataset))
    out = case.workdir / _EVALUATION
    if (out / single.METRICS_FILE).exists():
        if not workdirs.belongs(config, case.workdir):
            raise UserError(f"{case.workdir}: holds a run of another config; choose another --out")
        return True
    photos = cases.parts(case, config, should_stop)
    if photos is None or not train_jobs(
        [Job(config, case.workdir, "", photos)], "never", should_stop
    ):
        return False
    title = f"{case.method}, noise {case.noise}, seed {case.seed}"
    settings = single.Settings(_LABEL, config.validation.batch_size, report_images=False)
    single.evaluate(
        load(case.workdir, checkpoint=cases.CHECKPOINT),
        open_source(dataset, "test"),
        out,
        settings,
        Problems("fail"),
        title=title,
        log=metric_log.read(case.workdir),
        warnings=(),
    )
    return True


def collect(study: Study) -> dict[str, Any]:
    """What is known by now, as JSON values.

    Returns:
      `noises`: for each noise that has complete methods, its `teacher` and `majority` (accuracy by
      seed) and its `methods`, those that are complete with all seeds; and the names of those that
      are not, `incomplete`.
    """
    found, incomplete = [], []
    for noise in study.noises:
        by_method: dict[str, list[Case]] = {}
        for case in cases.cases(study):
            if case.noise == noise:
                by_method.setdefault(case.method, []).append(case)
        done = {name: own for name, own in by_method.items() if all(map(_is_complete, own))}
        incomplete += [f"{noise}/{name}" for name in by_method if name not in done]
        if done:
            found.append(_noise(noise, done))
    return {
        "checkpoint": cases.CHECKPOINT,
        "count": study.count,
        "seeds": list(study.seeds),
        "noises": found,
        "incomplete": incomplete,
    }


def _is_complete(case: Case) -> bool:
    return (case.workdir / _EVALUATION / single.METRICS_FILE).exists()


def _noise(noise: str, done: Mapping[str, Sequence[Case]]) -> dict[str, Any]:
    results = {name: [_result(case) for case in own] for name, own in done.items()}
    any_results = next(iter(results.values()))
    against = _against_baseline(done)
    some = next(iter(done.values()))
    estimates = [files.read_json(p) for c in some if (p := c.folder / cases.MATRIX_FILE).exists()]
    return {
        "noise": noise,
        "what": NOISES[noise].what,
        "matrix": NOISES[noise].matrix,
        "estimated": estimates,
        "teacher": [result["teacher"]["accuracy"] for result in any_results],
        "majority": [result["model"]["majority"] for result in any_results],
        "methods": [
            {
                "method": name,
                "what": METHODS[name].what,
                "workdirs": [str(case.workdir) for case in done[name]],
                **comparison.spread([result["model"] for result in runs]),
                "interval_95": interval([result["model"]["accuracy"] for result in runs]),
                "against_hard": against.get(name),
            }
            for name, runs in results.items()
        ],
    }


def interval(values: Sequence[float]) -> list[float] | None:
    """The 95 % interval of a mean over seeds by Student's t; None of one seed."""
    import scipy.stats

    if len(values) < 2:
        return None
    margin = scipy.stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1)
    margin /= np.sqrt(len(values))
    return [float(np.mean(values) - margin), float(np.mean(values) + margin)]


def _against_baseline(done: Mapping[str, Sequence[Case]]) -> dict[str, dict[str, Any]]:
    """Paired tests of each method with the baseline, on the test photos of all seeds together."""
    if BASELINE not in done:
        return {}
    sources = [open_source(_dataset(case), "test") for case in done[BASELINE]]
    gold = np.concatenate([source.labels_required(_LABEL) for source in sources])
    # Tweets are unique over seeds, by their ids.
    groups = np.concatenate([source.index["group"].to_numpy() for source in sources])
    predicted = {name: [_predicted(own, sources[0].classes)] for name, own in done.items()}
    tests = {}
    for name in done:
        if name != BASELINE:
            pair = {name: predicted[name], BASELINE: predicted[BASELINE]}
            (tests[name],) = comparison.compare(gold, pair, groups, len(sources[0].classes))
    for test in (*comparison.TESTED, "mcnemar"):
        corrected = comparison.holm([result[test]["p"] for result in tests.values()])
        for result, p in zip(tests.values(), corrected, strict=True):
            result[test]["p_holm"] = p
    return tests


def _dataset(case: Case) -> str:
    return str(case.folder / "data" / LABELLED)


def _predicted(own: Sequence[Case], classes: Sequence[str]) -> np.ndarray:
    """The predicted class indices [N] of all seeds, one after another."""
    path = pathlib.Path(_EVALUATION, single.PREDICTIONS_FILE)
    tables = [
        pl.read_csv(case.workdir / path, schema_overrides={"path": pl.String}) for case in own
    ]
    names = pl.concat([table.select("label") for table in tables])["label"]
    return np.array([classes.index(name) for name in names])


def _result(case: Case) -> dict[str, Any]:
    return files.read_json(case.workdir / _EVALUATION / single.METRICS_FILE)
