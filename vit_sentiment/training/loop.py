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
      put: a host batch to sharded arrays.
      validate: parameters to metrics.
      score: metrics to the number that the best checkpoint has most of.
      validation_steps: after which to validate and save.
      batch_size: over all processes.
      log_every: steps between rows of training metrics.
      unreadable: is told of masked photos: (record numbers).
    """

    stages: Sequence[Stage]
    steps: Sequence[Step]
    put: Callable[[Batch], dict[str, jax.Array]]
    validate: Callable[[Any], dict[str, float]]
    score: Callable[[dict[str, float]], float]
    validation_steps: frozenset[int]
    batch_size: int
    log_every: int
    unreadable: Callable[[np.ndarray], None]


def train_loop(
    run: Run,
    state: TrainState,
    batches: Iterator[Batch],
    checkpoints: Checkpoints,
    log: MetricLog,
    should_stop: Callable[[int], bool],
) -> tuple[TrainState, bool]:
    """Trains from `state.step` to the end of the last stage.

    Args:
      should_stop: whether to save and stop before the step after this one.

    Returns:
      The state, and whether training is complete; it is not when `should_stop` said so, and then
      the state has been saved.

    Raises:
      UserError: the loss is not finite; says at which step. Nothing of that step is saved.
    """
    step, total = int(state.step), run.stages[-1].stop
    meter = _Meter(run, log)
    with progress("train", total * run.batch_size, "images", step * run.batch_size) as tick:
        while step < total:
            if should_stop(step):
                meter.flush()
                if checkpoints.latest_step() != step:
                    _save(checkpoints, state, step, UNSCORED)
                return state, False
            with meter.waiting():
                batch = next(batches)
            if not batch["mask"].all():
                run.unreadable(batch["index"][~batch["mask"]])
            stage = next(number for number, s in enumerate(run.stages) if step < s.stop)
            state, metrics = run.steps[stage](state, run.put(batch))
            step += 1
            meter.add(step, metrics)
            tick(run.batch_size, meter.note())
            if step in run.validation_steps:
                meter.flush()
                with meter.paused():
                    values = run.validate(state.params)
                    log.write(step, {f"validation/{k}": v for k, v in values.items()})
                    shown = ", ".join(f"{k} {v:.4f}" for k, v in values.items())
                    say(f"step {step}: validation {shown}")
                    _save(checkpoints, state, step, run.score(values))
        meter.flush()
    return state, True


def _save(checkpoints: Checkpoints, state: TrainState, step: int, score: float) -> None:
    train = {"opt_state": state.opt_state, "step": state.step, "key": state.key}
    checkpoints.save(step, state.params, train, score)


class _Meter:
    """Training metrics, fetched one step late, so that the devices never wait for the host."""

    def __init__(self, run: Run, log: MetricLog) -> None:
        self._run, self._log = run, log
        self._pending: tuple[int, dict[str, jax.Array]] | None = None
        self._rows: list[dict[str, float]] = []
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
        row = {name: float(value) for name, value in jax.device_get(metrics).items()}
        # The loss is that of the parameters before the step, the update is what changes them.
        loss, gradient, update = (row[k] for k in ("loss", "gradient_norm", "update_norm"))
        if not all(map(math.isfinite, (loss, gradient, update))):
            raise UserError(
                f"NaN or infinity at step {step}: the loss is {loss}, the norm of the gradient "
                f"{gradient}, of the update {update}; no checkpoint holds this step. Lower the "
                "learning rate, lengthen the warm-up, or clip gradients "
                "(config.optimizer.clip_norm)"
            )
        self._rows.append(row)
        if step % self._run.log_every == 0 or step == self._run.stages[-1].stop:
            self._write(step)

    def _write(self, step: int) -> None:
        seconds = time.monotonic() - self._since
        values = {
            f"train/{name}": float(np.mean([row[name] for row in self._rows]))
            for name in self._rows[0]
        }
        values["train/learning_rate"] = self._rows[-1]["learning_rate"]
        values["speed/images_per_second"] = len(self._rows) * self._run.batch_size / seconds
        values["speed/data_wait_share"] = self._waited / seconds
        self._log.write(step, values)
        self._shown = (
            f"step {step} loss {values['train/loss']:.4f} "
            f"data wait {values['speed/data_wait_share']:.0%}"
        )
        self._rows, self._since, self._waited = [], time.monotonic(), 0.0
