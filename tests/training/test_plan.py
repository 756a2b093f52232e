"""Stages, learning rates and validation steps from a config."""

import math

import pytest

from configs import common
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import plan


def config(*stages, batch_size=4, **validation):
    value = common.get_config()
    value.data.batch_size = batch_size
    value.stages = tuple(common.stage(**stage) for stage in stages)
    value.validation.update(validation)
    return value


def bounds(stages):
    return [(stage.trainable, stage.start, stage.stop) for stage in stages]


def test_stages_in_epochs_and_in_steps_follow_each_other():
    stages = plan.plan_stages(config({"trainable": "head", "epochs": 2.0}, {"steps": 7}), 20)
    assert bounds(stages) == [("head", 0, 10), ("all", 10, 17)]


@pytest.mark.parametrize(
    ("epochs", "rows", "steps"),
    [(1.0, 10, 3), (2.0, 10, 5), (3.0, 10, 8), (0.5, 10, 2), (1.0, 3, 1)],
)
def test_a_stage_ends_with_the_batch_that_completes_its_last_pass(epochs, rows, steps):
    (stage,) = plan.plan_stages(config({"epochs": epochs}), rows)
    assert (stage.start, stage.stop) == (0, steps)
    assert (steps - 1) * 4 < epochs * rows <= steps * 4


@pytest.mark.parametrize("rows", [7, 10, 13, 160])
def test_each_stage_sees_the_photos_of_its_epochs_to_within_a_batch(rows):
    stages = plan.plan_stages(config({"epochs": 1.0}, {"epochs": 5.0}), rows)
    for stage, epochs in zip(stages, (1, 5), strict=True):
        assert abs((stage.stop - stage.start) * 4 - epochs * rows) < 4


def test_a_fraction_that_floats_cannot_hold_is_not_rounded_up():
    (stage,) = plan.plan_stages(config({"epochs": 0.1}, batch_size=3), 30)
    assert stage.stop == 1
    (stage,) = plan.plan_stages(config({"epochs": 1.1}, batch_size=11), 10)
    assert stage.stop == 1


def test_cosine_with_warm_up_follows_the_formula():
    peak, warmup, steps = 0.01, 5, 20
    (stage,) = plan.plan_stages(
        config(
            {"steps": steps, "learning_rate": peak, "schedule": "cosine", "warmup_steps": warmup}
        ),
        100,
    )
    for step in range(steps + 1):
        expected = peak * step / warmup
        if step >= warmup:
            expected = peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
        assert float(stage.schedule(step)) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_linear_with_warm_up_follows_the_formula():
    fields = {"steps": 20, "learning_rate": 0.01, "schedule": "linear", "warmup_steps": 5}
    (stage,) = plan.plan_stages(config(fields), 100)
    for step in range(21):
        expected = 0.01 * step / 5 if step < 5 else 0.01 * (20 - step) / 15
        assert float(stage.schedule(step)) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_steps_multiply_at_shares_of_the_stage():
    fields = {"steps": 20, "learning_rate": 1.0, "schedule": "step", "warmup_steps": 2}
    (stage,) = plan.plan_stages(config({**fields, "step_at": (0.5, 0.8), "step_factor": 0.1}), 100)
    found = [float(stage.schedule(step)) for step in range(20)]
    expected = [0.0, 0.5, *[1.0] * 8, *[0.1] * 6, *[0.01] * 4]
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("step_at", [(0.0,), (1.0,), (0.1, 0.5)])
def test_steps_come_after_the_warm_up_and_before_the_end(step_at):
    fields = {"steps": 20, "schedule": "step", "warmup_steps": 2, "step_at": step_at}
    with pytest.raises(UserError, match=r"config\.stages\[0\]\.step_at: expected shares"):
        plan.plan_stages(config(fields), 100)


def test_learning_rates_of_stages_restart_with_each():
    stages = plan.plan_stages(
        config(
            {"steps": 10, "learning_rate": 0.5},
            {"steps": 10, "learning_rate": 0.1, "warmup_steps": 4},
        ),
        100,
    )
    rate = plan.learning_rate(stages)
    expected = [0.5] * 10 + [0, 0.025, 0.05, 0.075] + [0.1] * 6
    assert [float(rate(step)) for step in range(20)] == pytest.approx(expected)


def test_validation_by_epochs_by_steps_and_at_the_end():
    assert plan.validation_steps(config(every_epochs=1), 10, 8) == {3, 5, 8}
    assert plan.validation_steps(config(every_epochs=2), 10, 9) == {5, 9}
    assert plan.validation_steps(config(every_epochs=0, every_steps=4), 10, 10) == {4, 8, 10}
    assert plan.validation_steps(config(every_epochs=1, every_steps=4), 10, 8) == {3, 4, 5, 8}
    assert plan.validation_steps(config(every_epochs=0), 10, 10) == {10}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], r"config\.stages: expected at least one"),
        ([{}], r"config\.stages\[0\]: expected epochs or steps above 0"),
        ([{"epochs": 1.0, "steps": 3}], r"config\.stages\[0\]: expected epochs or steps above 0"),
        ([{"steps": 3}, {"steps": 0}], r"config\.stages\[1\]: .* found epochs 0\.0, steps 0"),
        ([{"epochs": -1.0}], r"config\.stages\[0\]: .* found epochs -1\.0"),
        ([{"steps": 3, "trainable": "tail"}], r"stages\[0\]\.trainable: .*found 'tail'"),
        ([{"steps": 3, "schedule": "square"}], r"stages\[0\]\.schedule: .*found 'square'"),
        ([{"steps": 3, "warmup_steps": 3}], r"stages\[0\]\.warmup_steps: .* 3 steps, found 3$"),
        ([{"steps": 3, "warmup_steps": -1}], r"stages\[0\]\.warmup_steps: .* 3 steps, found -1$"),
    ],
)
def test_mistakes_in_stages_are_named(stages, message):
    with pytest.raises(UserError, match=message):
        plan.plan_stages(config(*stages), 10)


def test_the_model_takes_its_sizes_from_the_variant_and_single_fields():
    value = common.get_config()
    value.model.num_layers = 2
    description = plan.describe_model(value, ("bad", "good"))
    assert (description.hidden_size, description.mlp_size, description.num_layers) == (768, 3072, 2)
    assert description.patch_size == 16
    assert description.classes == ("bad", "good")
    assert description.num_classes == 2
    assert description.head_hidden == 32
    assert description.output_mask is None


def test_a_model_without_a_variant_needs_all_sizes():
    value = common.get_config()
    value.model.update(variant="", hidden_size=16, num_heads=2)
    with pytest.raises(UserError, match="set patch_size, num_layers, mlp_size too"):
        plan.describe_model(value, ("a", "b"))
