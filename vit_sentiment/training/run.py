"""Training runs in their workdirs: one, or several seeds of the same one."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from checkpoints import google_npz, orbax_store
from input_pipeline.loader import training_batches
from input_pipeline.sources import Source
from vit_sentiment.inference.model import load
from vit_sentiment.models.classifier import count_parameters
from vit_sentiment.reporting import manifest
from vit_sentiment.reporting.metric_log import MetricLog
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say
from vit_sentiment.training import checks, model_card, step, train_report, validation
from vit_sentiment.training import workdir as workdirs
from vit_sentiment.training.loop import Member, Run, train_loop
from vit_sentiment.training.setup import Setup, make_run, prepare

AT_ONCE = ("auto", "always", "never")
_MOST_AT_ONCE = 30_000_000
"""Parameters up to which a model (Ti, S) leaves room on an accelerator for others beside it."""

ShouldStop = Callable[[int], bool]
Runs = dict[tuple[Any, ...], tuple[Run, validation.Count]]
"""What is compiled, by the number of runs in it and `Setup.program`."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A run to do.

    Attributes:
      name: its own among several.
      data: for training and validation; None: what the config names.
    """

    config: ConfigDict
    workdir: pathlib.Path
    name: str = ""
    data: tuple[Source, Source] | None = None


@dataclasses.dataclass
class _Opened:
    """A run whose checkpoints are open, with the state to go on from."""

    job: Job
    setup: Setup
    checkpoints: orbax_store.Checkpoints
    state: step.TrainState
    start: int
    scores: list[float]


def train(config: ConfigDict, workdir: pathlib.Path, should_stop: ShouldStop) -> bool:
    """Trains or resumes the run that `config` describes in `workdir`; whether it is complete.

    Args:
      should_stop: see `stopping.stop_requests`.

    Raises:
      UserError: the config, the data or the workdir do not allow it; the loss is not finite.
    """
    return train_jobs([Job(config, workdir)], "never", should_stop)


def train_seeds(
    config: ConfigDict,
    workdir: pathlib.Path,
    seeds: Sequence[int],
    at_once: str,
    should_stop: ShouldStop,
) -> bool:
    """The same for several seeds, in `workdir`/seed-0 and so on; whether all are complete.

    Args:
      at_once: `always`: one vmapped step trains all seeds; `never`: one seed after another;
        `auto`: all at once on accelerators, for models that leave them room.
    """
    if (workdir / workdirs.RUN_FILE).exists():
        raise UserError(f"{workdir}: is the workdir of a single run; choose another for --seeds")
    jobs = []
    for seed in seeds:
        own = config.copy_and_resolve_references()
        own.seed = seed
        jobs.append(Job(own, workdir / f"seed-{seed}", f"seed {seed}"))
    complete = train_jobs(jobs, at_once, should_stop)
    begun = [job.workdir for job in jobs if (job.workdir / manifest.FILE).exists()]
    if begun and jax.process_index() == 0:
        say(f"report: {train_report.write_seeds(workdir, begun, complete)}")
    return complete


def train_jobs(jobs: Sequence[Job], at_once: str, should_stop: ShouldStop) -> bool:
    """Trains or resumes runs whose configs differ in their seeds at most; whether all are complete.

    Args:
      at_once: see `train_seeds`.
    """
    checks.check(jobs[0].config)
    with contextlib.ExitStack() as locks:
        locks.enter_context(_memory_told())
        for job in jobs:
            locks.enter_context(workdirs.only_one(job.workdir))
        shared = prepare(jobs[0].config) if jobs[0].data is None else None
        setups = [shared or prepare(job.config, job.data) for job in jobs]
        pairs = list(zip(jobs, setups, strict=True))
        groups = [pairs] if _together(at_once, setups) else [[pair] for pair in pairs]
        runs: Runs = {}
        return all(_train_group(runs, group, should_stop) for group in groups)


@contextlib.contextmanager
def _memory_told() -> Iterator[None]:
    """Lack of memory is the config's mistake; in a sweep, that of one point."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        text = str(error)
        if not text.startswith("RESOURCE_EXHAUSTED"):
            raise
        raise UserError(
            f"too little memory ({text.splitlines()[0]}); try config.execution.remat=blocks, "
            "config.accumulate, config.mesh.fsdp, smaller batches or a smaller model"
        ) from error


def _together(at_once: str, setups: Sequence[Setup]) -> bool:
    if at_once == "auto":
        small = count_parameters(setups[0].abstract.params) <= _MOST_AT_ONCE
        wanted = small and jax.default_backend() != "cpu"
    else:
        wanted = at_once == "always"
    if wanted and len({setup.program for setup in setups}) > 1:
        say("the runs differ in steps, validations or class weights: they go one after another")
        return False
    return wanted


def _train_group(runs: Runs, pairs: Sequence[tuple[Job, Setup]], should_stop: ShouldStop) -> bool:
    with contextlib.ExitStack() as stack:
        opened = [_open(job, setup, stack) for job, setup in pairs]
        rest = [run for run in opened if not _is_complete(run)]
        groups = [rest] if len({run.start for run in rest}) == 1 else [[run] for run in rest]
        if len(groups) > 1:
            say("the runs stopped at different steps: they go on one after another")
        complete = all(_advance(runs, group, should_stop) for group in groups)
    trained = {run.job.workdir for run in rest}
    for job, setup in pairs:
        if complete:
            _export_best(job)
        is_new = job.workdir in trained or not (job.workdir / train_report.REPORT_FILE).exists()
        if is_new and jax.process_index() == 0:
            page = train_report.write(job.workdir, setup.total, complete)
            model_card.write(job.workdir)
            say(f"report: {page}")
    return complete


def _open(job: Job, setup: Setup, stack: contextlib.ExitStack) -> _Opened:
    config, workdir = job.config, job.workdir
    workdirs.claim(config, workdir, setup.train_data, setup.validation_data)
    checkpoints = stack.enter_context(
        orbax_store.Checkpoints(workdir, keep_latest=config.keep_latest)
    )
    restored = checkpoints.restore_latest(setup.abstract.items())
    if restored is None:
        state, start = (
            step.init_state(setup.abstract, setup.description, setup.optimizer, config),
            0,
        )
        workdirs.write_description(
            config, workdir, setup.description, state, setup.train_data, setup.validation_data
        )
    else:
        start, items = restored
        state = step.TrainState.from_items(items)
    scores = validation.past_scores(config, workdir, start)
    return _Opened(job, setup, checkpoints, state, start, scores)


def _is_complete(run: _Opened) -> bool:
    if run.start < run.setup.total and not validation.enough(run.job.config, run.scores):
        return False
    say(f"{run.job.workdir}: training is already complete at step {run.start}")
    return True


def _advance(runs: Runs, group: Sequence[_Opened], should_stop: ShouldStop) -> bool:
    """Trains runs that are at the same step to their end; whether they reached it."""
    start, setup = group[0].start, group[0].setup
    _announce(setup, group)
    if start and jax.process_index() == 0:
        for run in group:
            manifest.note_resumption(run.job.workdir, start)
    key = (len(group), setup.program)
    if key not in runs:  # Compiled once for runs that follow each other.
        runs[key] = (
            make_run(setup, len(group)),
            validation.make_count(setup.config, setup.description, setup.mesh),
        )
    how, count = runs[key]
    with contextlib.ExitStack() as stack:
        members = [_member(run, count, stack) for run in group]
        states = [run.state for run in group]
        state = states[0] if len(states) == 1 else step.stack(states)
        for run in group:
            del run.state  # The first step consumes it.
        del states
        complete = train_loop(how, state, members, start, should_stop)
    for run in group:
        at = run.checkpoints.latest_step()
        outcome = f"complete at step {at}" if complete else f"stopped and saved at step {at}"
        say(f"{run.job.workdir}: {outcome}")
    return complete


def _member(run: _Opened, count: validation.Count, stack: contextlib.ExitStack) -> Member:
    config, workdir, setup = run.job.config, run.job.workdir, run.setup
    unreadable = stack.enter_context(
        contextlib.closing(workdirs.Unreadable(workdir, setup.train_data))
    )
    batches = stack.enter_context(
        training_batches(
            setup.train_data,
            setup.settings,
            batch_size=config.data.batch_size,
            seed=config.seed,
            shuffle=config.data.shuffle,
            start=run.start,
            process=jax.process_index(),
            processes=jax.process_count(),
        )
    )
    log = stack.enter_context(MetricLog(workdir, run.start, jax.process_index()))
    validate = validation.make_evaluator(
        config,
        count,
        setup.validation_data,
        # Workers take seconds to start each time.
        dataclasses.replace(setup.settings, num_workers=0),
        setup.mesh,
    )
    name, scores = run.job.name, run.scores
    return Member(name, run.checkpoints, log, scores, batches, validate, unreadable.add)


def _announce(setup: Setup, group: Sequence[_Opened]) -> None:
    config, start = setup.config, group[0].start
    names = ", ".join(run.job.name for run in group if run.job.name)
    if start:
        say(f"resuming{f' {names}' if names else ''} at step {start}")
    say(
        f"{f'{names}: ' if names else ''}{count_parameters(setup.abstract.params):,} parameters, "
        f"{setup.mesh.size} {jax.devices()[0].device_kind} device(s), {len(setup.train_data)} "
        f"training and {len(setup.validation_data)} validation photos, label {config.data.label}, "
        f"steps {start} to {setup.total} of {config.data.batch_size} photos"
    )
    if not config.init_from and any(stage.trainable == "head" for stage in config.stages):
        say(
            "warning: a stage trains the head alone, on a backbone of random weights (no init_from)"
        )
    if config.assumed:
        say(f"assumed, since the original does not document it: {', '.join(config.assumed)}")


def _export_best(job: Job) -> None:
    """The best weights as one file that every tool for Google's checkpoints reads.

    Several processes leave this to the next start of a single one: restoring is a joint effort.
    """
    path = job.workdir / workdirs.BEST_FILE
    if jax.process_count() == 1 and not path.exists():
        ema = job.config.validation.weights == "ema"
        best = load(job.workdir, checkpoint="best-ema" if ema else "best")
        google_npz.write(path, best.params, best.description)
        say(f"the best weights are in {path}")
