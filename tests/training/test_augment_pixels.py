"""What augmentation does to one photo, against Pillow, OpenCV, colorsys and written-out NumPy."""

import colorsys
import functools

import cv2
import numpy as np
import pytest
import scipy.stats
from augmenting import (
    ALL,
    HEIGHT,
    KEY,
    NOISE,
    PIXELS,
    ROWS,
    SIZE,
    WIDTH,
    assert_uniform,
    augmented,
    box_of,
    jitted,
    plain,
)
from PIL import Image

from vit_sentiment.training import augment

CROP = {"crop_area": (0.1, 0.3), "crop_ratio": (0.9, 1.6)}
COLOURS = ("brightness", "contrast", "saturation")


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


def test_a_crop_of_white_is_white():
    changed, _ = augmented(plain(255, 255, 255), **CROP)
    assert changed.max() == 255
    np.testing.assert_allclose(changed, 255, rtol=0, atol=1e-3)


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
    # As in training, where what is computed twice in one program may be rounded in two ways.
    changed = np.array(jitted(tuple(strengths.items()), level=3)(NOISE, ALL, KEY)[0])
    expected = NOISE
    for name, strength in strengths.items():
        expected, _ = augmented(expected, **{name: strength})
    np.testing.assert_allclose(changed, expected, rtol=0, atol=0.01)
    assert changed.min() == 0
    assert changed.max() == 255


@functools.cache
def erased():
    """Settings, and which pixels they erase [N, H, W]."""
    settings = {"erase": 0.6, "erase_area": (0.05, 0.3), "erase_ratio": (0.8, 3.0)}
    seen = augmented(plain(0, 0, 0), **settings)[0]
    assert set(np.unique(seen)) == {0, np.float32(augment.GREY)}
    return settings, seen[..., 0] > 0


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
    assert np.all((width - 0.5) / (height + 0.5) <= 3)
    assert np.all((width + 0.5) / (height - 0.5) >= 0.8)
    mean = (height * width).mean() / PIXELS
    assert abs(mean - 0.175) < 4 * (0.25 / np.sqrt(12)) / np.sqrt(hit.sum())
    for start, size, whole in ((top, height, HEIGHT), (left, width, WIDTH)):
        assert start.min() == 0
        assert (start + size).max() == whole
        places = (start + 0.5) / (whole - size + 1)
        assert abs(places.mean() - 0.5) < 4 / np.sqrt(12 * hit.sum())
