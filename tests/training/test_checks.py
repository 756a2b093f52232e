"""Impossible values of a config are told before anything is opened."""

import pytest

from configs import common
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import checks

WRONG = {
    "seed": -1,
    "log_every": 0,
    "keep_latest": 0,
    "data.label": "gold",
    "data.on_error": "Fail",
    "data.batch_size": 0,
    "data.num_threads": -2,
    "data.num_workers": -1,
    "init_head": "old",
    "execution.attention": "flash",
    "execution.remat": "all",
    "loss.soft_weight": 1.5,
    "loss.generalised_q": -0.1,
    "loss.temperature": 0.0,
    "accumulate": 0,
    "ema_decay": 1.0,
    "optimizer.layer_decay": 0.0,
    "validation.weights": "best",
    "early_stopping.patience": -1,
    "early_stopping.min_delta": -0.5,
    "loss.label_smoothing": 1.0,
    "optimizer.name": "adam",
    "optimizer.decays": "none",
    "optimizer.b1": 1.0,
    "optimizer.b2": -0.1,
    "optimizer.eps": 0.0,
    "optimizer.clip_norm": -1.0,
    "optimizer.weight_decay": -0.1,
    "validation.metric": "f2",
    "validation.batch_size": 0,
    "validation.every_steps": -1,
    "validation.every_epochs": -1,
}

NO_NUMBERS = {
    "model.image_size": (2.5, "a"),
    "model.input_range": ("a", "b"),
    "model.layer_norm_epsilon": float("nan"),
    "init_image_size": (1.5, 1.5),
    "optimizer.weight_decay": float("inf"),
}


def changed(**fields):
    config = common.get_config()
    config.update_from_flattened_dict(fields)
    return config


def test_the_defaults_are_possible():
    """It raises where they are not."""
    assert checks.check(common.get_config()) is None


@pytest.mark.parametrize("field", [*WRONG, *NO_NUMBERS])
def test_a_wrong_value_is_named(field):
    value = (WRONG | NO_NUMBERS)[field]
    with pytest.raises(UserError) as error:
        checks.check(changed(**{field: value}))
    assert str(error.value).startswith(f"config.{field}: expected ")
    assert str(value) in str(error.value)


def test_all_wrong_values_are_told_at_once():
    with pytest.raises(UserError) as error:
        checks.check(changed(**WRONG))
    for field in WRONG:
        assert f"config.{field}: " in str(error.value)


def test_only_a_teacher_has_probabilities():
    fields = {"loss.soft_weight": 0.5, "data.label": "human_label"}
    with pytest.raises(UserError, match=r"loss\.soft_weight: probabilities are a teacher's"):
        checks.check(changed(**fields))


def test_an_average_cannot_be_selected_where_there_is_none():
    with pytest.raises(UserError, match=r"validation\.weights: there is no average"):
        checks.check(changed(**{"validation.weights": "ema"}))
    checks.check(changed(**{"validation.weights": "ema", "ema_decay": 0.9}))


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", float("nan")), ("learning_rate", float("inf")), ("step_at", ("a",))],
)
def test_a_stage_holds_finite_numbers(field, value):
    config = changed(stages=(common.stage(steps=2), common.stage(**{field: value})))
    with pytest.raises(UserError, match=rf"^config.stages\[1\].{field}: expected"):
        checks.check(config)
