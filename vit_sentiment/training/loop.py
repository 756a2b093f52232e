"""The loop: steps, validation, checkpoints and metrics, read from top to bottom."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from checkpoints.orbax_store import UNSCORED, Checkpoints
from input_pipeline.records import Batch
from vit_sentiment.reporting.metric_log import MetricLog
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress, say
from vit_sentiment.training.plan import Stage
from vit_sentiment.training.step import Step, TrainState


@dataclasses.dataclass(frozen=True)
class Run:
    """What the loop needs to know; everything else is behind these functions.

    Attributes:
      stages: the stages, and `steps` their jitted steps.
      put: host batches, one for each member, to sharded arrays.
      split: a state to those of the members.
      score: metrics to the number that the best checkpoint has most of.
      enough: whether a run with these scores ends early.
      validation_steps: after which to validate and save.
      batch_size: over all processes.
      log_every: steps between rows of training metrics.
    """

    stages: Sequence[Stage]
    steps: Sequence[Step]
    put: Callable[[Sequence[Batch]], dict[str, jax.Array]]
    split: Callable[[TrainState], Sequence[TrainState]]
    score: Callable[[dict[str, float]], float]
    enough: Callable[[Sequence[float]], bool]
    validation_steps: frozenset[int]
    batch_size: int
    log_every: int


@dataclasses.dataclass
class Member:
    """What belongs to one of the runs that are trained side by side; mostly there is one.

    Attributes:
      name: said before its lines; empty for a single run.
      scores: of its validations so far.
      batches: its data.
      validate: parameters to metrics.
      unreadable: is told of masked photos: (record numbers).
      ended: whether it has ended early; it is not saved or validated any more.
    """

    name: str
    checkpoints: Checkpoints
    log: MetricLog
    scores: list[float]
    batches: Iterator[Batch]
    validate: Callable[[Any], dict[str, float]]
    unreadable: Callable[[np.ndarray], None]
    ended: bool = False

    def save(self, state: TrainState, step: int, score: float) -> None:
        """Saves the state, unless a checkpoint of this step exists."""
        if self.checkpoints.latest_step() != step:
            self.checkpoints.save(step, state.items(), score)

    def say(self, text: str) -> None:
        """Says a line, with the run's name where there are several."""
        say(f"{self.name}: {text}" if self.name else text)


def train_loop(
    run: Run,
    state: TrainState,
    members: Sequence[Member],
    step: int,
    should_stop: Callable[[int], bool],
) -> bool:
    """Trains from `step` to the end of the last stage, or until all members have ended early.

    Args:
      should_stop: whether to save and stop before the step after this one.

    Returns:
      Whether training is complete; it is not when `should_stop` said so, and then the state has
      been saved.

    Raises:
      UserError: a loss is not finite; says at which step. Nothing of that step is saved.
    """
    total = run.stages[-1].stop
    images = run.batch_size * len(members)
    meter = _Meter(run, members)
    with progress("train", total * images, "images", step * images) as tick:
        while step < total and not all(member.ended for member in members):
            if should_stop(step):
                meter.flush()
                for member, own in zip(members, run.split(state), strict=True):
                    if not member.ended:
                        member.save(own, step, UNSCORED)
                return False
            with meter.waiting():
                batches = [next(member.batches) for member in members]
            for member, batch in zip(members, batches, strict=True):
                if not batch["mask"].all():
                    member.unreadable(batch["index"][~batch["mask"]])
            stage = next(number for number, s in enumerate(run.stages) if step < s.stop)
            state, metrics = run.steps[stage](state, run.put(batches))
            step += 1
            meter.add(step, metrics)
            tick(images, meter.note())
            if step in run.validation_steps:
                meter.flush()
                with meter.paused():
                    for member, own in zip(members, run.split(state), strict=True):
                        if not member.ended:
                            _validate(run, member, own, step)
        meter.flush()
    return True


def _validate(run: Run, member: Member, state: TrainState, step: int) -> None:
    values = {f"validation/{k}": v for k, v in member.validate(state.params).items()}
    if state.ema is not None:
        values |= {f"validation_ema/{k}": v for k, v in member.validate(state.ema).items()}
    member.log.write(step, values)
    shown = ", ".join(f"{k.removeprefix('validation/')} {v:.4f}" for k, v in values.items())
    member.say(f"step {step}: validation {shown}")
    score = run.score(values)
    member.save(state, step, score)
    member.scores.append(score)
    if run.enough(member.scores):
        member.ended = True
        member.say(f"step {step}: {len(member.scores)} validations, no better; ends early")


class _Meter:
    """Training metrics, fetched one step late, so that the devices never wait for the host."""

    def __init__(self, run: Run, members: Sequence[Member]) -> None:
        self._run, self._members = run, members
        self._pending: tuple[int, dict[str, jax.Array]] | None = None
        self._rows: list[dict[str, np.ndarray]] = []
        self._since = time.monotonic()
        self._waited = 0.0
        self._shown = ""

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time of its block as waiting for data."""
        start = time.monotonic()
        yield
        self._waited += time.monotonic() - start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Keeps the time of its block out of the speed."""
        start = time.monotonic()
        yield
        self._since += time.monotonic() - start

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Takes the metrics of a step that may still be computing."""
        self._fetch()
        self._pending = (step, metrics)

    def flush(self) -> None:
        """Waits for the last step, so that its loss is known to be finite."""
        self._fetch()

    def note(self) -> str:
        """The latest averages, for the progress bar."""
        return self._shown

    def _fetch(self) -> None:
        if self._pending is None:
            return
        step, metrics = self._pending
        self._pending = None
        # Values of all members, along an axis that a single one lacks.
        row = {name: np.atleast_1d(value) for name, value in jax.device_get(metrics).items()}
        for number, member in enumerate(self._members):
            # The loss is that of the parameters before the step, the update is what changes them.
            loss, gradient, update = (
                float(row[k][number]) for k in ("loss", "gradient_norm", "update_norm")
            )
            if not member.ended and not all(map(math.isfinite, (loss, gradient, update))):
                whose = f"{member.name}: " if member.name else ""
                raise UserError(
                    f"{whose}NaN or infinity at step {step}: the loss is {loss}, the norm of the "
                    f"gradient {gradient}, of the update {update}; no checkpoint holds this step. "
                    "Lower the learning rate, lengthen the warm-up, or clip gradients "
                    "(config.optimizer.clip_norm)"
                )
        self._rows.append(row)
        if step % self._run.log_every == 0 or step == self._run.stages[-1].stop:
            self._write(step)

    def _write(self, step: int) -> None:
        seconds = time.monotonic() - self._since
        images = len(self._rows) * self._run.batch_size * len(self._members)
        means = {name: np.mean([row[name] for row in self._rows], axis=0) for name in self._rows[0]}
        means["learning_rate"] = self._rows[-1]["learning_rate"]
        speed = {
            "speed/images_per_second": images / seconds,
            "speed/data_wait_share": self._waited / seconds,
        }
        for number, member in enumerate(self._members):
            if not member.ended:
                own = {f"train/{name}": float(values[number]) for name, values in means.items()}
                member.log.write(step, own | speed)
        self._shown = (
            f"step {step} loss {means['loss'].mean():.4f} "
            f"data wait {speed['speed/data_wait_share']:.0%}"
        )
        self._rows, self._since, self._waited = [], time.monotonic(), 0.0
