"""Augmentation against Pillow, OpenCV, colorsys, SciPy and written-out NumPy.

The draws depend on the key alone, not on the pixels: what was drawn is read off test cards (ramps,
plain colours), and what that does to photos of noise is then computed by the other libraries.
"""

import colorsys
import functools
import json
import pathlib

import augment_on_eight
import cv2
import jax
import numpy as np
import pytest
import scipy.stats
from PIL import Image

from configs import common
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import augment, checks

ROWS, HEIGHT, WIDTH = 400, 16, 24
PIXELS = HEIGHT * WIDTH
SIZE = np.array([HEIGHT, WIDTH])
KEY = jax.random.key(7)
NOISE = np.random.default_rng(0).integers(0, 256, (ROWS, HEIGHT, WIDTH, 3)).astype(np.float32)
ALL = np.ones(ROWS, bool)
MIXUP, CUTMIX = {"mixup": 0.4}, {"cutmix": 0.5}
CROP = {"crop_area": (0.1, 0.3), "crop_ratio": (0.8, 1.25)}
COLOURS = ("brightness", "contrast", "saturation")


@functools.cache
def jitted(settings):
    config = common.get_config().augment
    config.update(dict(settings))
    step = functools.partial(augment.augment, config)
    # Compiling is most of the time here.
    return jax.jit(step, compiler_options={"xla_backend_optimization_level": 0})


def augmented(images, key=KEY, mask=ALL, **settings):
    changed, mixing = jitted(tuple(settings.items()))(images, mask, key)
    assert changed.dtype == np.float32
    assert changed.shape == images.shape
    return np.array(changed), None if mixing is None else np.array(mixing.share)


def plain(*colour):
    """Photos of one colour."""
    return np.broadcast_to(np.array(colour, np.float32), NOISE.shape)


def assert_uniform(values, low, high):
    """All within the range, and spread evenly over it."""
    slack = 1e-4 * (high - low)
    assert low - slack <= values.min()
    assert values.max() <= high + slack
    assert scipy.stats.kstest(values, "uniform", (low, high - low)).pvalue > 0.01


def drawn_boxes(settings):
    """Corners and sizes [N, 2] of the boxes that are cropped, read off ramps."""
    ramps = np.stack([*np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")] * 2, -1)
    ramps = np.broadcast_to(ramps[None, ..., :3].astype(np.float32), NOISE.shape)
    found, _ = augmented(ramps, **settings)
    # In the middle a linear interpolation of a ramp is that ramp's line through pixel centres.
    rows, columns = found[:, :, WIDTH // 2, 0], found[:, HEIGHT // 2, :, 1]
    steps, starts = [], []
    for line, size in ((rows, HEIGHT), (columns, WIDTH)):
        one, other = size // 2 - 1, size // 2
        step = line[:, other] - line[:, one]
        steps.append(step * size)
        starts.append(line[:, one] + 0.5 - step * (one + 0.5))
    return np.stack(starts, -1), np.stack(steps, -1)


def test_everything_is_off_by_default_and_then_nothing_changes():
    for images in (NOISE, NOISE.astype(np.uint8), NOISE / 7):
        changed, share = augmented(images)
        assert np.array_equal(changed, images.astype(np.float32))
        assert share is None
    text = jitted(()).lower(NOISE, ALL, KEY).as_text()
    assert "stablehlo.add" not in text
    assert augment.mix(NOISE, None) is NOISE


def test_a_flip_mirrors_whole_photos_and_spares_the_others():
    changed, _ = augmented(NOISE, flip=0.3)
    mirrored = np.array(
        [np.array_equal(a, b[:, ::-1]) for a, b in zip(changed, NOISE, strict=True)]
    )
    same = np.array([np.array_equal(a, b) for a, b in zip(changed, NOISE, strict=True)])
    assert np.array_equal(mirrored, ~same)
    assert scipy.stats.binomtest(int(mirrored.sum()), ROWS, 0.3).pvalue > 0.01
    assert np.array_equal(augmented(NOISE, flip=1.0)[0], NOISE[:, :, ::-1])


def test_a_crop_is_pillows_resize_of_the_box():
    changed, _ = augmented(NOISE, **CROP)
    corners, sizes = drawn_boxes(CROP)
    for row in range(40):
        (top, left), (bottom, right) = corners[row], corners[row] + sizes[row]
        for channel in range(3):
            photo = Image.fromarray(NOISE[row, :, :, channel])
            box = (max(left, 0), max(top, 0), min(right, WIDTH), min(bottom, HEIGHT))
            expected = photo.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box)
            # The box is known to some 1e-4 pixels, of which each is up to 255 levels.
            np.testing.assert_allclose(changed[row, :, :, channel], expected, rtol=0, atol=0.1)


def test_boxes_have_uniform_areas_and_places_and_log_uniform_ratios():
    corners, sizes = drawn_boxes(CROP)
    assert_uniform(sizes.prod(-1) / PIXELS, *CROP["crop_area"])
    assert_uniform(np.log(sizes[:, 1] / sizes[:, 0]), *np.log(CROP["crop_ratio"]))
    for axis in range(2):
        assert_uniform(corners[:, axis] / (SIZE - sizes)[:, axis], 0, 1)


def test_boxes_that_do_not_fit_are_clipped_to_the_photo():
    corners, sizes = drawn_boxes({"crop_area": (0.5, 1.0), "crop_ratio": (0.2, 5.0)})
    assert np.all(corners > -1e-3)
    assert np.all(corners + sizes < SIZE + 1e-3)
    full = np.isclose(sizes, SIZE, rtol=0, atol=1e-3)
    assert full.any(0).all()
    area = sizes.prod(-1) / PIXELS
    assert area[~full.any(-1)].min() > 0.5
    assert area.min() < 0.5


def grey(images):
    return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])[..., None]


@pytest.mark.parametrize("name", COLOURS)
def test_colour_factors_are_uniform_and_blend_as_torchvision_does(name):
    card = plain(80, 100, 120).copy()
    card[:, HEIGHT // 2 :] += 20
    seen = augmented(card, **{name: 0.4})[0]
    upper, lower = seen[:, 0, 0], seen[:, -1, 0]
    factors = {
        "brightness": upper[:, 0] / 80,
        "contrast": (lower - upper)[:, 0] / 20,
        "saturation": (upper[:, 2] - upper[:, 0]) / 40,
    }[name]
    assert_uniform(factors, 0.6, 1.4)
    factors = factors[:, None, None, None]
    other = {
        "brightness": 0.0,
        "contrast": grey(NOISE).mean((1, 2, 3), keepdims=True),
        "saturation": grey(NOISE),
    }[name]
    expected = np.clip(factors * NOISE + (1 - factors) * other, 0, 255)
    changed, _ = augmented(NOISE, **{name: 0.4})
    np.testing.assert_allclose(changed, expected, rtol=0, atol=0.01)


def test_hue_turns_as_colorsys_has_it():
    seen = augmented(plain(255, 0, 0), hue=0.2)[0][:, 0, 0] / 255
    turns = np.array([colorsys.rgb_to_hsv(*colour)[0] for colour in seen.tolist()])
    turns = (turns + 0.5) % 1 - 0.5
    assert_uniform(turns, -0.2, 0.2)
    photos = NOISE.copy()
    photos[:, 0] = np.array([[0, 0, 0], [255, 255, 255], [9, 9, 9], [7, 7, 3]])[
        np.arange(WIDTH) % 4
    ]
    changed, _ = augmented(photos, hue=0.2)
    for row in range(20):
        for before, after in zip(
            photos[row].reshape(-1, 3).tolist(), changed[row].reshape(-1, 3), strict=True
        ):
            hue, saturation, value = colorsys.rgb_to_hsv(*before)
            expected = colorsys.hsv_to_rgb((hue + turns[row]) % 1, saturation, value)
            np.testing.assert_allclose(after, expected, rtol=0, atol=0.01)


def test_colours_follow_each_other_in_the_documented_order():
    strengths = {"brightness": 0.9, "contrast": 0.9, "saturation": 0.9, "hue": 0.5}
    changed, _ = augmented(NOISE, **strengths)
    expected = NOISE
    for name, strength in strengths.items():
        expected, _ = augmented(expected, **{name: strength})
    np.testing.assert_allclose(changed, expected, rtol=0, atol=0.01)
    assert changed.min() == 0
    assert changed.max() == 255


@functools.cache
def erased():
    """Settings, and which pixels they erase [N, H, W]."""
    settings = {"erase": 0.6, "erase_area": (0.05, 0.3), "erase_ratio": (0.5, 2.0)}
    seen = augmented(plain(0, 0, 0), **settings)[0]
    assert set(np.unique(seen)) == {0, np.float32(augment.GREY)}
    return settings, seen[..., 0] > 0


def box_of(pixels):
    """Top, left, height and width of the box that the True pixels are."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    box = rows[0], columns[0], np.ptp(rows) + 1, np.ptp(columns) + 1
    assert pixels.sum() == box[2] * box[3]
    return box


def test_erasing_paints_a_box_grey_and_leaves_the_rest():
    settings, where = erased()
    changed, _ = augmented(NOISE, **settings)
    expected = np.where(where[..., None], np.float32(127.5), NOISE)
    assert np.array_equal(changed, expected)


def test_erased_boxes_have_the_areas_and_ratios_that_the_config_says():
    _, where = erased()
    hit = where.any((1, 2))
    assert scipy.stats.binomtest(int(hit.sum()), ROWS, 0.6).pvalue > 0.01
    found = np.array([box_of(pixels) for pixels in where[hit]])
    top, left, height, width = found.T
    # Edges are on whole pixels: each size is off by up to half of one.
    assert np.all((height - 0.5) * (width - 0.5) <= 0.3 * PIXELS)
    assert np.all((height + 0.5) * (width + 0.5) >= 0.05 * PIXELS)
    assert np.all((width - 0.5) / (height + 0.5) <= 2)
    assert np.all((width + 0.5) / (height - 0.5) >= 0.5)
    mean = (height * width).mean() / PIXELS
    assert abs(mean - 0.175) < 4 * (0.25 / np.sqrt(12)) / np.sqrt(hit.sum())
    for start, size, whole in ((top, height, HEIGHT), (left, width, WIDTH)):
        assert start.min() == 0
        assert (start + size).max() == whole
        places = (start + 0.5) / (whole - size + 1)
        assert abs(places.mean() - 0.5) < 4 / np.sqrt(12 * hit.sum())


def targets():
    return np.random.default_rng(1).dirichlet(np.ones(3), ROWS).astype(np.float32)


def test_mixup_blends_with_the_mirrored_batch_by_beta_shares():
    changed, share = augmented(NOISE, **MIXUP)
    weight = share.astype(np.float64)[:, None, None, None]
    expected = weight * NOISE + (1 - weight) * NOISE[::-1]
    np.testing.assert_allclose(changed, expected, rtol=0, atol=1e-3)
    assert scipy.stats.kstest(share, "beta", (0.4, 0.4)).pvalue > 0.01


def test_targets_are_mixed_by_the_same_shares():
    _, share = augmented(NOISE, **MIXUP)
    expected = [
        s * own + (1 - s) * other
        for s, own, other in zip(share, targets(), targets()[::-1], strict=True)
    ]
    found = np.array(augment.mix(targets(), augment.Mixing(share)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=0, atol=1e-6)


def test_cutmix_pastes_a_box_of_the_partner_and_its_area_is_the_share():
    changed, share = augmented(NOISE, **CUTMIX)
    own = (changed == NOISE).all(-1)
    other = (changed == NOISE[::-1]).all(-1)
    assert (own | other).all()
    # Pixels that both photos happen to share could be either's; noise has next to none.
    assert (own & other).mean() < 1e-5
    np.testing.assert_allclose(share, own.mean((1, 2)), rtol=0, atol=1e-6)
    cut = [box_of(pixels) for pixels in other if pixels.any()]
    assert len(cut) > 0.8 * ROWS
    inner = np.array([b for b in cut if b[0] > 0 and b[1] > 0 and b[0] + b[2] < HEIGHT])
    # The same share of height and width, each cut off to whole pixels.
    inner = inner[inner[:, 1] + inner[:, 3] < WIDTH]
    assert len(inner) > 20
    assert np.all(np.abs(inner[:, 2] / HEIGHT - inner[:, 3] / WIDTH) < 1 / HEIGHT)


def test_cutmix_shares_are_those_of_a_simulation():
    """Yun et al.'s code, written out: box of the area 1 - lambda, clipped at the borders."""
    random, expected = np.random.default_rng(2), []
    for _ in range(5000):
        side = np.sqrt(1 - random.beta(0.5, 0.5))
        area = 1
        for whole in SIZE:
            size, centre = int(whole * side), random.integers(whole)
            start = centre - size // 2
            area *= min(start + size, whole) - max(start, 0)
        expected.append(1 - area / PIXELS)
    _, share = augmented(NOISE, **CUTMIX)
    assert scipy.stats.ks_2samp(share, expected).pvalue > 0.01


def test_with_both_on_a_coin_decides_for_each_row():
    changed, share = augmented(NOISE, **MIXUP, **CUTMIX)
    own, other = (changed == NOISE).all(-1), (changed == NOISE[::-1]).all(-1)
    cut = (own | other).all((1, 2))
    assert scipy.stats.binomtest(int(cut.sum()), ROWS, 0.5).pvalue > 0.01
    np.testing.assert_allclose(share[cut], own[cut].mean((1, 2)), rtol=0, atol=1e-6)
    weight = share[~cut][:, None, None, None]
    expected = weight * NOISE[~cut] + (1 - weight) * NOISE[::-1][~cut]
    np.testing.assert_allclose(changed[~cut], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("method", [MIXUP, CUTMIX], ids=["mixup", "cutmix"])
def test_rows_without_a_photo_mix_with_no_other(method):
    mask = np.arange(ROWS) % 7 != 2
    changed, share = augmented(NOISE, mask=mask, **method)
    alone = ~(mask & mask[::-1])
    assert 0 < alone.sum() < ROWS
    assert np.array_equal(changed[alone], NOISE[alone])
    assert np.all(share[alone] == 1)
    assert np.array_equal(changed[~alone], augmented(NOISE, **method)[0][~alone])
    mixed = np.array(augment.mix(targets(), augment.Mixing(share)))
    assert np.array_equal(mixed[alone], targets()[alone])


def test_a_row_in_the_middle_stays_as_it_is():
    changed, _ = augmented(NOISE[:5], mask=ALL[:5], **MIXUP)
    np.testing.assert_allclose(changed[2], NOISE[2], rtol=0, atol=1e-3)


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
    _, share = augmented(NOISE, **MIXUP)
    _, share_with = augmented(NOISE, flip=0.5, **MIXUP)
    assert np.array_equal(share, share_with)


def test_rows_draw_from_their_number_and_not_from_the_size_of_the_batch():
    _, some = augmented(NOISE[:5], mask=ALL[:5], **MIXUP)
    _, more = augmented(NOISE, **MIXUP)
    assert np.array_equal(some, more[:5])
    assert len(set(some.tolist())) == 5


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
