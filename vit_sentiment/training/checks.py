"""What a config must not say; told all at once, before anything is opened or compiled."""

import math
from typing import Any

from ml_collections import ConfigDict

from input_pipeline.problems import POLICIES
from input_pipeline.sources import LABELS
from vit_sentiment.models.execution import ATTENTIONS, REMATS
from vit_sentiment.runtime import config_fields
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import augment, optimizers, validation

INIT_HEADS = ("fresh", "keep")
TUPLES: dict[str, Any] = {
    "model.image_size": int,
    "init_image_size": int,
    "model.input_range": int | float,
    "model.output_mask": int | float,
    "step_at": int | float,
}
"""What the tuples that nothing else checks hold."""


def check(config: ConfigDict) -> None:
    """Raises one UserError that lists every field with an impossible value."""
    choices = {
        "init_head": INIT_HEADS,
        "execution.attention": ATTENTIONS,
        "execution.remat": REMATS,
        "data.label": LABELS,
        "data.on_error": POLICIES,
        "optimizer.name": optimizers.NAMES,
        "optimizer.decays": optimizers.DECAYS,
        "validation.metric": validation.METRICS,
        "validation.weights": validation.WEIGHTS,
    }
    at_least = {
        "seed": 0,
        "data.batch_size": 1,
        "data.num_threads": -1,
        "data.num_workers": 0,
        "validation.batch_size": 1,
        "validation.every_steps": 0,
        "validation.every_epochs": 0,
        "optimizer.clip_norm": 0,
        "optimizer.weight_decay": 0,
        "keep_latest": 1,
        "accumulate": 1,
        "early_stopping.patience": 0,
        "early_stopping.min_delta": 0,
        "log_every": 1,
    }
    values = config_fields.leaves(config)
    if problems := _no_numbers(values):  # Not to be compared below.
        raise UserError("; ".join(f"config.{problem}" for problem in problems))
    problems = [
        f"{name}: expected one of {', '.join(known)}, found {values[name]!r}"
        for name, known in choices.items()
        if values[name] not in known
    ]
    problems += [
        f"{name}: expected at least {least}, found {values[name]}"
        for name, least in at_least.items()
        if values[name] is None or values[name] < least
    ]
    problems += [
        f"{name}: expected at least 0 and less than 1, found {values[name]}"
        for name in ("loss.label_smoothing", "optimizer.b1", "optimizer.b2", "ema_decay")
        if not 0 <= values[name] < 1
    ]
    problems += [
        f"{name}: expected at least 0 and at most 1, found {values[name]}"
        for name in ("loss.soft_weight", "loss.generalised_q")
        if not 0 <= values[name] <= 1
    ]
    problems += [
        f"{name}: expected more than 0, found {values[name]}"
        for name in ("optimizer.eps", "loss.temperature", "optimizer.layer_decay")
        if not values[name] > 0
    ]
    problems += augment.problems(config.augment)
    if config.validation.weights == "ema" and not config.ema_decay:
        problems.append("validation.weights: there is no average without ema_decay")
    if config.loss.soft_weight and config.data.label != "teacher_label":
        problems.append("loss.soft_weight: probabilities are a teacher's; data.label must be too")
    if problems:
        raise UserError("; ".join(f"config.{problem}" for problem in problems))


def _no_numbers(values: dict[str, Any]) -> list[str]:
    """What is no finite number where one belongs, in a field or within its tuple."""
    found = []
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            found.append(f"{name}: expected a finite number, found {value}")
        kind = TUPLES.get(name.rpartition("].")[2])
        if kind and not all(isinstance(part, kind) and math.isfinite(part) for part in value):
            what = "whole" if kind is int else "finite"
            found.append(f"{name}: expected {what} numbers, found {tuple(value)}")
    return found
