import io

import cv2
import matplotlib
import numpy as np
import pytest
from PIL import Image

from vit_sentiment.reporting import heat_map


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (50, 75, 3)).astype(np.uint8)


HEAT = np.array([[0.1, 0.2, 0.1], [0.1, 0.4, 0.1]], np.float32)


def test_without_colour_the_photo_is_unchanged(photo):
    np.testing.assert_array_equal(heat_map.overlay(photo, HEAT, alpha=0), photo)


def test_colours_run_from_the_least_to_the_most_over_the_photo(photo):
    found = heat_map.overlay(photo, HEAT, alpha=1)
    assert (found.shape, found.dtype) == (photo.shape, np.uint8)
    colours = matplotlib.colormaps["magma"]
    np.testing.assert_array_equal(found[0, 0], colours(0, bytes=True)[:3])
    # Patches are 25 by 25; from the centre of the most on to the edge.
    np.testing.assert_array_equal(found[37:, 37], [colours(255, bytes=True)[:3]] * 13)
    # Almost half way between the centres of two patches.
    np.testing.assert_array_equal(found[-1, 24], colours(round(0.48 * 255), bytes=True)[:3])
    lightness = cv2.cvtColor(found, cv2.COLOR_RGB2GRAY)[-1]
    assert (np.diff(lightness[12:38].astype(int)) >= 0).all()
    assert (np.diff(lightness[37:63].astype(int)) <= 0).all()


def test_half_a_colour_lies_over_half_a_faded_photo():
    photo = np.full((4, 4, 3), (200, 100, 0), np.uint8)
    found = heat_map.overlay(photo, HEAT, alpha=0.5)
    grey = round(0.299 * 200 + 0.587 * 100)
    black = matplotlib.colormaps["magma"](0, bytes=True)[:3]
    expected = 0.25 * photo[0, 0] + 0.25 * grey + 0.5 * np.array(black)
    np.testing.assert_allclose(found[0, 0], expected, atol=1)


@pytest.mark.parametrize("heat", [np.zeros((2, 3)), np.full((2, 3), 1 / 6)])
def test_an_even_map_has_one_colour(photo, heat):
    found = heat_map.overlay(photo, heat, alpha=1)
    np.testing.assert_array_equal(np.unique(found.reshape(-1, 3), axis=0), [found[0, 0]])
    np.testing.assert_array_equal(found[0, 0], matplotlib.colormaps["magma"](0, bytes=True)[:3])


def test_the_scale_of_a_map_does_not_matter(photo):
    expected = heat_map.overlay(photo, HEAT)
    np.testing.assert_allclose(heat_map.overlay(photo, HEAT * 1e-3), expected, atol=2)


@pytest.mark.parametrize(("suffix", "format", "error"), [(".png", "PNG", 0), (".jpg", "JPEG", 12)])
def test_files_have_the_colours_of_the_image(suffix, format, error):
    image = np.full((16, 24, 3), (250, 120, 10), np.uint8)
    with Image.open(io.BytesIO(heat_map.encode(image, suffix))) as file:
        assert file.format == format
        np.testing.assert_allclose(np.asarray(file).astype(int), image, atol=error)


def pyplots():
    from matplotlib import pyplot

    return pyplot.get_fignums()


def test_a_figure_has_the_photo_and_its_maps_side_by_side(photo, tmp_path):
    photo[:] = (0, 0, 255)
    path = tmp_path / "new" / "a.png"
    before = pyplots()
    heat_map.write_figure(path, photo, {"rollout": HEAT, "other": HEAT.T}, "cash $5 to $6_7\nok")
    assert pyplots() == before
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]
    with Image.open(path) as file:
        figure = np.asarray(file.convert("RGB"))
    assert figure.shape[1] > 2 * figure.shape[0]
    # The photo's blue fills a rectangle at the left.
    rows, columns = np.nonzero((figure == (0, 0, 255)).all(-1))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert len(rows) == height * width
    assert width / height == pytest.approx(75 / 50, rel=0.02)
    assert columns.max() < figure.shape[1] / 3
    # Each panel shows its own map.
    one = figure[rows.min() : rows.max(), columns.max() + 20 :][:, :width]
    assert np.ptp(one.astype(int)) > 100
    first = path.read_bytes()
    heat_map.write_figure(path, photo, {"rollout": HEAT, "other": HEAT.T}, "cash $5 to $6_7\nok")
    assert path.read_bytes() == first
