"""From a config to the plan of a run: the model, the stages, and the steps at which to validate."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import optax
from ml_collections import ConfigDict

from vit_sentiment.models.description import ModelDescription, sizes
from vit_sentiment.runtime.errors import UserError

SIZE_FIELDS = ("patch_size", "hidden_size", "num_layers", "num_heads", "mlp_size")
TRAINABLE = ("all", "head")
SCHEDULES = ("constant", "cosine", "linear", "step")


@dataclasses.dataclass(frozen=True)
class Stage:
    """Steps [start, stop) of a run, in which `trainable` learns by `schedule(step - start)`."""

    trainable: str
    start: int
    stop: int
    schedule: optax.Schedule


def describe_model(config: ConfigDict, classes: Sequence[str]) -> ModelDescription:
    """The model description that `config.model` and the dataset's classes amount to."""
    fields: dict[str, Any] = config.model.to_dict()
    variant = fields.pop("variant")
    given = {k: v for k in SIZE_FIELDS if (v := fields.pop(k)) is not None}
    if variant:
        given = {**sizes(variant), **given}
    if missing := [name for name in SIZE_FIELDS if name not in given]:
        raise UserError(f"config.model: without a variant, set {', '.join(missing)} too")
    return ModelDescription(
        **given,
        **{k: fields[k] for k in fields if k not in ("head_hidden", "output_mask")},
        head_hidden=fields["head_hidden"] or None,
        output_mask=fields["output_mask"] or None,
        num_classes=len(classes),
        classes=tuple(classes),
    )


def epoch_end(epochs: float, rows: int, batch_size: int) -> int:
    """The first step by which `epochs` passes over `rows` are complete; batches may straddle."""
    return math.ceil(round(epochs * rows, 6) / batch_size)


def plan_stages(config: ConfigDict, rows: int) -> list[Stage]:
    """The stages one after another; a stage in epochs ends where whole passes would end."""
    stages: list[Stage] = []
    start, passes = 0, 0.0
    for number, stage in enumerate(config.stages):
        where = f"config.stages[{number}]"
        if min(stage.epochs, stage.steps) < 0 or bool(stage.epochs) == bool(stage.steps):
            raise UserError(
                f"{where}: expected epochs or steps above 0 and the other one 0, found epochs "
                f"{stage.epochs}, steps {stage.steps}"
            )
        if stage.learning_rate < 0:
            raise UserError(f"{where}.learning_rate: is negative: {stage.learning_rate}")
        if stage.epochs:
            passes += stage.epochs
            length = epoch_end(passes, rows, config.data.batch_size) - start
        else:
            length = stage.steps
            passes = (start + length) * config.data.batch_size / rows
        if length < 1:
            raise UserError(f"{where}: has no steps")
        if stage.trainable not in TRAINABLE:
            raise UserError(f"{where}.trainable: expected all or head, found {stage.trainable!r}")
        stages.append(
            Stage(stage.trainable, start, start + length, _schedule(stage, length, where))
        )
        start += length
    if not stages:
        raise UserError("config.stages: expected at least one stage")
    return stages


def _schedule(stage: ConfigDict, steps: int, where: str) -> optax.Schedule:
    peak, warmup = stage.learning_rate, stage.warmup_steps
    if not 0 <= warmup < steps:
        raise UserError(
            f"{where}.warmup_steps: expected 0 or more and fewer than the stage's {steps} steps, "
            f"found {warmup}"
        )
    rising, length = optax.linear_schedule(0.0, peak, warmup), steps - warmup
    if stage.schedule == "constant":
        falling = optax.constant_schedule(peak)
    elif stage.schedule == "cosine":
        falling = optax.cosine_decay_schedule(peak, length)
    elif stage.schedule == "linear":
        falling = optax.linear_schedule(peak, 0.0, length)
    elif stage.schedule == "step":
        places = [round(share * steps) - warmup for share in stage.step_at]
        if any(not 0 < share < 1 for share in stage.step_at) or any(p < 1 for p in places):
            raise UserError(
                f"{where}.step_at: expected shares between 0 and 1, after the warm-up, found "
                f"{tuple(stage.step_at)}"
            )
        falling = optax.piecewise_constant_schedule(peak, dict.fromkeys(places, stage.step_factor))
    else:
        raise UserError(
            f"{where}.schedule: expected one of {', '.join(SCHEDULES)}, found {stage.schedule!r}"
        )
    return optax.join_schedules([rising, falling], [warmup]) if warmup else falling


def learning_rate(stages: Sequence[Stage]) -> optax.Schedule:
    """The learning rate at each step of the run."""
    return optax.join_schedules(
        [stage.schedule for stage in stages], [stage.start for stage in stages[1:]]
    )


def validation_steps(config: ConfigDict, rows: int, total: int) -> frozenset[int]:
    """Steps after which to validate; the last one always."""
    steps = {total}
    if every := config.validation.every_steps:
        steps.update(range(every, total, every))
    if every := config.validation.every_epochs:
        epoch = every
        while (end := epoch_end(epoch, rows, config.data.batch_size)) < total:
            steps.add(end)
            epoch += every
    return frozenset(steps)
