"""Augmentation as a whole: nothing by default, the same draws everywhere, impossible configs."""

import json
import pathlib

import augment_on_eight
import jax
import numpy as np
import pytest
from augmenting import ALL, KEY, NOISE, augmented, jitted, plain

from configs import common
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import augment, checks


def test_everything_is_off_by_default_and_then_nothing_changes():
    for images in (NOISE, NOISE.astype(np.uint8), NOISE / 7):
        changed, share = augmented(images)
        assert np.array_equal(changed, images.astype(np.float32))
        assert share is None
    text = jitted(()).lower(NOISE, ALL, KEY).as_text()
    assert "stablehlo.add" not in text
    assert augment.mix(NOISE, None) is NOISE


EVERYTHING = augment_on_eight.everything().to_dict()


def test_the_same_key_draws_the_same_and_another_one_another():
    first, share = augmented(NOISE, **EVERYTHING)
    again, share_again = augmented(NOISE, **EVERYTHING)
    assert np.array_equal(first, again)
    assert np.array_equal(share, share_again)
    other, other_share = augmented(NOISE, key=jax.random.key(8), **EVERYTHING)
    assert np.all(np.any(first != other, axis=(1, 2, 3)))
    assert np.mean(share != other_share) > 0.9
    assert first.min() >= 0
    assert first.max() <= 255


def test_switching_an_operation_on_leaves_the_draws_of_the_others():
    black = plain(0, 0, 0)
    alone, _ = augmented(black, erase=0.5)
    assert 0 < np.mean(alone > 0) < 1
    assert np.array_equal(augmented(black, flip=0.5, brightness=0.5, erase=0.5)[0], alone)


def test_rows_draw_from_their_number_and_not_from_the_size_of_the_batch():
    black = plain(0, 0, 0)
    more, _ = augmented(black, erase=0.5)
    some, _ = augmented(black[:8], mask=ALL[:8], erase=0.5)
    assert np.array_equal(some, more[:8])
    assert not np.array_equal(more[:8], more[8:16])


def test_it_compiles_once_for_all_keys():
    step = jitted(tuple(EVERYTHING.items()))
    step(NOISE, ALL, KEY)
    compiled = step._cache_size()
    for seed in range(3):
        step(NOISE, ALL, jax.random.fold_in(KEY, seed))
    assert step._cache_size() == compiled


def test_a_batch_split_over_eight_devices_draws_the_same(run):
    done = run("training.augment_on_eight", devices=8, cwd=pathlib.Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["rows_on_each"] == [augment_on_eight.ROWS // 8]
    assert found["shares"] == found["shares_of_one"]
    assert found["pixels"] < 1e-2
    assert found["changed"] > 10
    assert found["gathers"] == []


WRONG = {
    "flip": 2.0,
    "brightness": -0.1,
    "contrast": 1.5,
    "saturation": float("nan"),
    "hue": 0.6,
    "erase": 1.01,
    "mixup": -1.0,
    "cutmix": float("inf"),
    "crop_area": (0.0, 1.0),
    "crop_ratio": (1.3, 0.7),
    "erase_area": (0.1, 1.5),
    "erase_ratio": (1.0,),
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_value_is_named(field):
    config = common.get_config()
    config.augment[field] = WRONG[field]
    (problem,) = augment.problems(config.augment)
    assert problem.startswith(f"augment.{field}: expected ")
    assert problem.endswith(f", found {WRONG[field]}")
    with pytest.raises(UserError, match=rf"^config\.augment\.{field}: expected "):
        checks.check(config)


@pytest.mark.parametrize(
    "values", [(), (0.1, 0.2, 0.3), ("a", 1.0), (0.1, None), (float("nan"), 1.0), (-1.0, 1.0)]
)
def test_ranges_are_two_numbers_above_zero(values):
    config = common.get_config()
    for field in augment.RANGES:
        config.augment[field] = values
    assert len(augment.problems(config.augment)) == len(augment.RANGES)


def test_all_problems_are_told_at_once_and_possible_values_have_none():
    config = common.get_config().augment
    assert augment.problems(config) == []
    assert augment.problems(augment_on_eight.everything()) == []
    config.update(WRONG)
    assert len(augment.problems(config)) == len(WRONG)
    assert augment.problems(config)[0] == (
        "augment.flip: expected a probability from 0 to 1, found 2.0"
    )
